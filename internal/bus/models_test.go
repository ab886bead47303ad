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
	if _, err := b.GetModel(t.Context(), "yolox", ""); !errors.Is(err, bus.ErrNoModel) {
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
		got, err := b.GetModel(t.Context(), "yolox", "")
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
	if got, err := b.GetModel(t.Context(), "yolox", ""); err == nil {
		t.Errorf("a file with another hash was accepted: %.8s", got.SHA256)
	}
}

// Editions of a model stand beside each other until one is dropped; a file goes
// with the last that needs it.
func TestEditionsOfAModel(t *testing.T) {
	b := start(t, bus.Config{})
	put := func(fill byte, edition string) bus.StoredModel {
		t.Helper()
		onnx := bytes.Repeat([]byte{fill}, 1000)
		sum := sha256.Sum256(onnx)
		m := bus.StoredModel{Name: "yolox", SHA256: hex.EncodeToString(sum[:]), Edition: edition, Manifest: []byte("edition " + edition), ONNX: onnx}
		if err := b.PutModel(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	all := []bus.StoredModel{put(1, "a"), put(1, "b"), put(2, "c")}
	for _, m := range all {
		if got, err := b.GetModel(t.Context(), "yolox", m.Edition); err != nil || !cmp.Equal(*got, m) {
			t.Errorf("edition %s: %+v, %v", m.Edition, got, err)
		}
	}
	latest := func() string {
		t.Helper()
		got, err := b.GetManifest(t.Context(), "yolox", "")
		if err != nil {
			t.Fatal(err)
		}
		return string(got.Manifest)
	}
	if got := latest(); got != "edition c" {
		t.Errorf("the latest is %q", got)
	}
	for i, want := range []struct{ file, other bool }{{true, true}, {false, true}, {false, true}} { // c is still the latest
		m := all[i]
		for range 2 {
			if err := b.DropModel(t.Context(), m.Name, m.Edition, m.SHA256); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.GetManifest(t.Context(), m.Name, m.Edition); !errors.Is(err, bus.ErrNoModel) {
			t.Errorf("edition %s was dropped: %v", m.Edition, err)
		}
		_, err := b.GetModelFile(t.Context(), all[0].SHA256)
		_, otherErr := b.GetModelFile(t.Context(), all[2].SHA256)
		if (err == nil) != want.file || (otherErr == nil) != want.other {
			t.Errorf("without edition %s: its file %v, the other one %v", m.Edition, err, otherErr)
		}
	}
	if got := latest(); got != "edition c" {
		t.Errorf("the latest is %q", got)
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
