package bus_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vedette-io/vedette/internal/bus"
)

func TestModelsOverTheBus(t *testing.T) {
	b := start(t, bus.Config{})
	if _, err := b.GetModel(t.Context(), "yolox"); !errors.Is(err, bus.ErrNoModel) {
		t.Errorf("a model that nobody stored: %v", err)
	}
	model := func(fill byte, manifest string) bus.StoredModel {
		onnx := bytes.Repeat([]byte{fill}, 300<<10) // several chunks
		sum := sha256.Sum256(onnx)
		return bus.StoredModel{Name: "yolox", SHA256: hex.EncodeToString(sum[:]), Manifest: []byte(manifest), ONNX: onnx}
	}
	first, second := model(1, "task: detect"), model(2, "task: detect")
	for _, m := range []bus.StoredModel{first, first, second, model(2, "task: classify"), first} {
		if err := b.PutModel(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		got, err := b.GetModel(t.Context(), "yolox")
		if err != nil {
			t.Fatal(err)
		}
		if !cmp.Equal(*got, m) {
			t.Errorf("fetched sha256 %.8s, manifest %q; stored %.8s, %q", got.SHA256, got.Manifest, m.SHA256, m.Manifest)
		}
	}
	wrong := model(3, "task: detect")
	wrong.ONNX = wrong.ONNX[1:]
	if err := b.PutModel(t.Context(), wrong); err != nil {
		t.Fatal(err)
	}
	if got, err := b.GetModel(t.Context(), "yolox"); err == nil {
		t.Errorf("a file with another hash was accepted: %.8s", got.SHA256)
	}
}

func TestSourceRuns(t *testing.T) {
	b := start(t, bus.Config{})
	if r, err := b.SourceRun(t.Context(), "gate"); err != nil || r != nil {
		t.Errorf("a source that never ran: %+v, %v", r, err)
	}
	if d, err := b.LastDetection(t.Context(), "gate", "m"); err != nil || d != nil {
		t.Errorf("without a stream: %+v, %v", d, err)
	}
	want := bus.SourceRun{Source: "abc", Epoch: "e1", Start: time.Unix(1e9, 0).UTC()}
	for range 2 {
		if err := b.PutSourceRun(t.Context(), "gate", want); err != nil {
			t.Fatal(err)
		}
		if r, err := b.SourceRun(t.Context(), "gate"); err != nil || !cmp.Equal(*r, want) {
			t.Errorf("noted %+v, found %+v, %v", want, r, err)
		}
		want.Ended = true
	}
}
