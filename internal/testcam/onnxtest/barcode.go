package onnxtest

import (
	"fmt"

	"github.com/vedette-io/vedette/internal/testcam/barcode"
	"github.com/vedette-io/vedette/models"
)

// BarcodeSize is the width and height of the bar-code reader's picture.
const BarcodeSize = 128

// BarcodeReader is a network that reads the codes of package barcode: input
// "images" [batch,3,128,128] of values 0…255 in any channel order, output
// "output" [batch,128,6], one row [x1,y1,x2,y2,score,class] for each cell of
// the grid in pixels of the input, as end-to-end detectors answer. The class
// is the cell's index and the score its brightness, 0 black to 1 white, so
// that the objects with a score of 0.5 and more are the white cells
// ([ReadBarcode]). Cells that carry no code always score 0.
//
// It uses Conv, Reshape, Mul and Concat only, so that every engine runs it.
func BarcodeReader(batch int) []byte { return BarcodeReaderOf(batch, BarcodeSize) }

// BarcodeReaderOf is [BarcodeReader] for pictures of size × size, a multiple of
// [BarcodeSize].
func BarcodeReaderOf(batch, size int) []byte {
	const cells = barcode.Cells
	cellW, cellH := size/barcode.Columns, size/barcode.Rows
	kernel := make([]float32, 3*cellH*cellW)
	inside := 3 * (cellW / 2) * (cellH / 2)
	for i := range kernel { // the middle half each way: edges may be blurred
		x, y := i%cellW, i/cellW%cellH
		if x >= cellW/4 && x < cellW-cellW/4 && y >= cellH/4 && y < cellH-cellH/4 {
			kernel[i] = 1 / (255 * float32(inside))
		}
	}
	var boxes, mask, classes []float32
	for range batch {
		for c := range cells {
			x, y := float32(c%barcode.Columns*cellW), float32(c/barcode.Columns*cellH)
			boxes = append(boxes, x, y, x+float32(cellW), y+float32(cellH))
			classes = append(classes, float32(c))
			mask = append(mask, 0)
			if hasCode(c) {
				mask[len(mask)-1] = 1
			}
		}
	}
	g := &Graph{
		Inputs:  []Value{{"images", Float, []int{batch, 3, size, size}}},
		Outputs: []Value{{"output", Float, []int{batch, cells, 6}}},
		Initializers: []Tensor{
			FloatTensor("kernel", []int{1, 3, cellH, cellW}, kernel),
			Int64Tensor("rows", []int{3}, []int64{int64(batch), cells, 1}),
			FloatTensor("mask", []int{batch, cells, 1}, mask),
			FloatTensor("boxes", []int{batch, cells, 4}, boxes),
			FloatTensor("classes", []int{batch, cells, 1}, classes),
		},
		Nodes: []Node{
			{Op: "Conv", Inputs: []string{"images", "kernel"}, Outputs: []string{"means"}, Attrs: []Attr{
				IntsAttr("kernel_shape", int64(cellH), int64(cellW)), IntsAttr("strides", int64(cellH), int64(cellW)),
				IntsAttr("pads", 0, 0, 0, 0), IntsAttr("dilations", 1, 1), IntAttr("group", 1),
			}},
			{Op: "Reshape", Inputs: []string{"means", "rows"}, Outputs: []string{"column"}},
			{Op: "Mul", Inputs: []string{"column", "mask"}, Outputs: []string{"scores"}},
			{Op: "Concat", Inputs: []string{"boxes", "scores", "classes"}, Outputs: []string{"output"}, Attrs: []Attr{IntAttr("axis", 2)}},
		},
	}
	return g.Marshal()
}

// BarcodeManifest says how to feed the reader and to read its answer. It names
// no file.
func BarcodeManifest() models.Manifest { return BarcodeManifestOf(BarcodeSize) }

// BarcodeManifestOf is that of [BarcodeReaderOf].
func BarcodeManifestOf(size int) models.Manifest {
	m := models.Manifest{
		Name: "barcode",
		Task: models.Detect,
		Input: models.Input{
			Width: size, Height: size, Layout: models.NCHW, Color: models.BGR,
			Resize: models.Stretch, Interpolation: models.Linear, Scale: 1, Type: models.Float32,
		},
		Output: models.Output{Decoder: "end2end", MinScore: 0.5, MaxObjects: barcode.Cells},
	}
	for c := range barcode.Cells {
		m.Labels = append(m.Labels, fmt.Sprintf("cell-%03d", c))
	}
	return m
}

// ReadBarcode reads number and clock from the classes of the objects found.
func ReadBarcode(classes []int) barcode.Reading {
	var white [barcode.Cells]bool
	for _, c := range classes {
		if c >= 0 && c < len(white) {
			white[c] = true
		}
	}
	return barcode.Decode(func(cell int) bool { return white[cell] })
}

func hasCode(cell int) bool {
	for _, first := range []int{barcode.Top, barcode.Clock, barcode.Bottom} {
		if cell >= first && cell < first+barcode.CodeCells {
			return true
		}
	}
	return false
}
