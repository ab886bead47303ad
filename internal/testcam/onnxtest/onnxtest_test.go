package onnxtest_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vedette-io/vedette/internal/testcam/barcode"
	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
)

// message is a decoded protobuf message: the values of each field in order.
type message map[protowire.Number][][]byte

func parse(t *testing.T, b []byte) message {
	t.Helper()
	m := message{}
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatalf("tag: %v", protowire.ParseError(n))
		}
		b = b[n:]
		n = protowire.ConsumeFieldValue(num, typ, b)
		if n < 0 {
			t.Fatalf("field %d: %v", num, protowire.ParseError(n))
		}
		value := b[:n]
		if typ == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(value)
		}
		m[num] = append(m[num], value)
		b = b[n:]
	}
	return m
}

func (m message) text(field protowire.Number) string {
	return string(bytes.Join(m[field], []byte(",")))
}

func (m message) ints(field protowire.Number) []int {
	var out []int
	for _, b := range m[field] {
		v, _ := protowire.ConsumeVarint(b)
		out = append(out, int(int64(v)))
	}
	return out
}

var graphs = map[string][]byte{
	"barcode":         onnxtest.BarcodeReader(1),
	"barcode batch":   onnxtest.BarcodeReader(4),
	"slow":            onnxtest.Slow(3),
	"dynamic":         onnxtest.ConvNet{Batch: -1, Size: 32, Layers: 2, Channels: 4, Classes: 3}.Marshal(),
	"unknown":         onnxtest.UnknownOperator(32),
	"several inputs":  onnxtest.SeveralInputs(32),
	"fails at run":    onnxtest.FailsWhenBright(32),
	"with a metadata": onnxtest.ConvNet{Batch: 1, Size: 8, Layers: 1, Channels: 2, Classes: 2, Metadata: map[string]string{"names": "{0: 'a'}", "stride": "8"}}.Marshal(),
}

func TestGraphsAreWellFormed(t *testing.T) {
	for name, b := range graphs {
		t.Run(name, func(t *testing.T) {
			model := parse(t, b)
			if len(model[7]) != 1 || len(model[8]) != 1 {
				t.Fatalf("%d graphs and %d opset imports, want one of each", len(model[7]), len(model[8]))
			}
			graph := parse(t, model[7][0])
			var known []string
			for _, in := range graph[11] {
				known = append(known, parse(t, in).text(1))
			}
			for _, init := range graph[5] {
				tensor := parse(t, init)
				known = append(known, tensor.text(8))
				size := map[int]int{1: 4, 7: 8}[tensor.ints(2)[0]]
				for _, d := range tensor.ints(1) {
					size *= d
				}
				if got := len(tensor[9][0]); got != size {
					t.Errorf("%s has %d bytes, want %d", tensor.text(8), got, size)
				}
			}
			for _, n := range graph[1] {
				node := parse(t, n)
				for _, in := range node[1] {
					if !slices.Contains(known, string(in)) {
						t.Errorf("%s reads %s before it is made", node.text(3), in)
					}
				}
				known = append(known, node.text(2))
			}
			for _, out := range graph[12] {
				if name := parse(t, out).text(1); !slices.Contains(known, name) {
					t.Errorf("nothing makes the output %s", name)
				}
			}
		})
	}
}

func TestMetadata(t *testing.T) {
	model := parse(t, graphs["with a metadata"])
	var got []string
	for _, b := range model[14] {
		entry := parse(t, b)
		got = append(got, entry.text(1)+"="+entry.text(2))
	}
	if want := []string{"names={0: 'a'}", "stride=8"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestBarcodeReaderReadsWhatIsDrawn runs the network as its file describes it,
// operator by operator, so that the file is checked without an engine.
func TestBarcodeReaderReadsWhatIsDrawn(t *testing.T) {
	const size = onnxtest.BarcodeSize
	graph := parse(t, parse(t, onnxtest.BarcodeReader(1))[7][0])
	var ops []string
	for _, n := range graph[1] {
		ops = append(ops, parse(t, n).text(4))
	}
	if want := []string{"Conv", "Reshape", "Mul", "Concat"}; !slices.Equal(ops, want) {
		t.Fatalf("operators %v, want %v", ops, want)
	}
	data := map[string][]float32{}
	for _, init := range graph[5] {
		tensor := parse(t, init)
		data[tensor.text(8)] = floats(tensor[9][0])
	}
	for _, n := range []uint32{0, 1, 0xaaaaaa, 1234567, barcode.Max} {
		pix := bytes.Repeat([]byte{200}, size*size*3)
		barcode.Draw(pix, size, size, 3*size, n)
		barcode.DrawClock(pix, size, size, 3*size, n^0x123456)
		var classes []int
		for cell, score := range conv(pix, data["kernel"]) {
			if score*data["mask"][cell] >= 0.5 {
				classes = append(classes, int(data["classes"][cell]))
			}
		}
		want := barcode.Reading{Number: n, HasNumber: true, Clock: n ^ 0x123456, HasClock: true}
		if got := onnxtest.ReadBarcode(classes); got != want {
			t.Errorf("%d: got %+v, want %+v", n, got, want)
		}
	}
}

func TestReadBarcodeOfForeignClasses(t *testing.T) {
	if got := onnxtest.ReadBarcode([]int{-1, 500, 3}); got.HasNumber {
		t.Errorf("read %+v", got)
	}
}

func TestBarcodeManifestMatchesTheNetwork(t *testing.T) {
	m := onnxtest.BarcodeManifest()
	if m.Input.Width != onnxtest.BarcodeSize || m.Input.Height != onnxtest.BarcodeSize {
		t.Errorf("input %dx%d", m.Input.Width, m.Input.Height)
	}
	if len(m.Labels) != barcode.Cells {
		t.Errorf("%d labels, want %d", len(m.Labels), barcode.Cells)
	}
}

// conv is the sum of kernel times the BGR picture, once a cell.
func conv(pix []byte, kernel []float32) []float32 {
	const size, w, h = onnxtest.BarcodeSize, onnxtest.BarcodeSize / barcode.Columns, onnxtest.BarcodeSize / barcode.Rows
	out := make([]float32, barcode.Cells)
	for cell := range out {
		x0, y0 := cell%barcode.Columns*w, cell/barcode.Columns*h
		for i, k := range kernel {
			c, y, x := i/(w*h), i/w%h, i%w
			out[cell] += k * float32(pix[((y0+y)*size+x0+x)*3+c])
		}
	}
	return out
}

func floats(raw []byte) []float32 {
	out := make([]float32, len(raw)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return out
}
