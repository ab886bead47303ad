package bus_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vedette-io/vedette/internal/bus"
)

// Models are the plant's: what one host of a hub puts there another fetches, file
// and all, and what nobody needs any more is gone for both.
func TestModelsOfAHub(t *testing.T) {
	hub := hubConfig(t)
	startTold(t, hub)
	east, west := startTold(t, hostConfig(t, "east", hub.Leafs, hub)), startTold(t, hostConfig(t, "west", hub.Leafs, hub))
	file := []byte("a network")
	sum := sha256.Sum256(file)
	m := bus.StoredModel{Name: "m", SHA256: hex.EncodeToString(sum[:]), Edition: "first", Manifest: []byte("task: detect"), ONNX: file}
	patient(t, "a model at the hub", func() bool { return east.PutModel(t.Context(), m) == nil })
	var got *bus.StoredModel
	patient(t, "the model of the other host", func() bool {
		var err error
		got, err = west.GetModel(t.Context(), "m", "first")
		return err == nil
	})
	if !cmp.Equal(*got, m) {
		t.Errorf("got %+v, want %+v", *got, m)
	}
	if err := west.DropModel(t.Context(), "m", "first", m.SHA256); err != nil {
		t.Fatal(err)
	}
	if _, err := east.GetModel(t.Context(), "m", "first"); !errors.Is(err, bus.ErrNoModel) {
		t.Errorf("a model that was dropped: %v", err)
	}
}
