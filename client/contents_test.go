package client_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/client"
	"github.com/vedette-io/vedette/internal/bus"
)

func TestContents(t *testing.T) {
	p := publish(t, bus.Config{Listen: "127.0.0.1:0"})
	c := connect(t, p.bus.Address())
	contents := func(recent int) client.Contents {
		t.Helper()
		got, err := c.Contents(t.Context(), recent)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := contents(10); got.Messages != 0 || len(got.Sources)+len(got.Labels) > 0 || !got.Last.IsZero() {
		t.Errorf("an empty stream has %+v", got)
	}
	p.write(t, detection("yard", 0, -1, "tree"), detection("gate", 0, -1, "person", "car"), detection("gate", 1, 0))
	classes := []vedette.Class{{Label: "day", Score: 0.8}, {Label: "night", Score: 0.2}}
	d := detection("gate", 2, 1)
	d.Objects, d.Classes = nil, &classes
	p.write(t, d)
	got := contents(100)
	want := []client.Source{{Camera: "gate", Model: "yolox", Messages: 3}, {Camera: "yard", Model: "yolox", Messages: 1}}
	if got.Messages != 4 || got.Looked != 4 || !slices.Equal(got.Sources, want) || !slices.Equal(got.Labels, []string{"car", "day", "person", "tree"}) || time.Since(got.Last) > time.Minute {
		t.Errorf("contents %+v", got)
	}
	if got := contents(1); got.Looked != 1 || !slices.Equal(got.Labels, []string{"day"}) || len(got.Sources) != 2 {
		t.Errorf("of the newest alone: %+v", got)
	}
	if got := contents(0); got.Looked != 0 || len(got.Labels) > 0 || len(got.Sources) != 2 {
		t.Errorf("without labels: %+v", got)
	}
	if _, err := connect(t, p.bus.Address(), client.Prefix("other")).Contents(t.Context(), 1); !errors.Is(err, client.ErrNoStream) {
		t.Errorf("without a stream: %v", err)
	}
}
