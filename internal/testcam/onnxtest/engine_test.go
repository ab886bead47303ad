package onnxtest_test

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/internal/ort"
	"github.com/vedette-io/vedette/internal/testcam/barcode"
	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
	"github.com/vedette-io/vedette/models"
)

func onnxruntime(t *testing.T) engine.Engine {
	t.Helper()
	e, err := ort.New(slog.New(slog.DiscardHandler))
	if errors.Is(err, ort.ErrNoLibrary) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func load(t *testing.T, e engine.Engine, onnx []byte, in models.Input, batch int) engine.Runner {
	t.Helper()
	m, err := e.Load(t.Context(), onnx, engine.LoadOptions{Input: in, Device: "cpu"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() }) // the runner's Close counts
	r, err := m.NewRunner(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestBarcodeReaderInONNXRuntime(t *testing.T) {
	const size, batch = onnxtest.BarcodeSize, 2
	r := load(t, onnxruntime(t), onnxtest.BarcodeReader(batch), onnxtest.BarcodeManifest().Input, batch)
	for n := range uint32(20) {
		number := n * 0x51f15 & barcode.Max
		pix := make([]byte, 3*size*size)
		barcode.Draw(pix, size, size, 3*size, number)
		barcode.DrawClock(pix, size, size, 3*size, ^number&barcode.Max)
		for b := range batch {
			for i, v := range pix { // BGR pixels to planes
				r.Input().F32[(b*3+i%3)*size*size+i/3] = float32(v)
			}
		}
		out, err := r.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := barcode.Reading{Number: number, HasNumber: true, Clock: ^number & barcode.Max, HasClock: true}
		for b := range batch {
			var classes []int
			for _, row := range rows(out[0].F32)[b*barcode.Cells : (b+1)*barcode.Cells] {
				if row[4] >= 0.5 {
					classes = append(classes, int(row[5]))
				}
			}
			if got := onnxtest.ReadBarcode(classes); got != want {
				t.Errorf("picture %d: %+v, want %+v", b, got, want)
			}
		}
	}
}

func rows(out []float32) [][]float32 {
	var rows [][]float32
	for ; len(out) >= 6; out = out[6:] {
		rows = append(rows, out[:6])
	}
	return rows
}

func TestFailsWhenBright(t *testing.T) {
	in := models.Input{Width: 16, Height: 16, Layout: models.NCHW, Color: models.BGR, Type: models.Float32}
	r := load(t, onnxruntime(t), onnxtest.FailsWhenBright(16), in, 1)
	fill := func(v float32) {
		for i := range r.Input().F32 {
			r.Input().F32[i] = v
		}
	}
	fill(99)
	if _, err := r.Run(t.Context()); err != nil {
		t.Errorf("dark picture: %v", err)
	}
	fill(101)
	if _, err := r.Run(t.Context()); err == nil {
		t.Error("no error for a bright picture")
	}
	fill(50)
	if _, err := r.Run(t.Context()); err != nil {
		t.Errorf("dark picture after a failure: %v", err)
	}
}

func TestUnknownOperatorIsRefusedByName(t *testing.T) {
	in := models.Input{Width: 16, Height: 16, Layout: models.NCHW, Color: models.BGR, Type: models.Float32}
	_, err := onnxruntime(t).Load(t.Context(), onnxtest.UnknownOperator(16), engine.LoadOptions{Input: in})
	if err == nil || !strings.Contains(err.Error(), "NoSuchOperator") {
		t.Errorf("error %v, want one with the operator's name", err)
	}
}
