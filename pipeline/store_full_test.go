//go:build cv

package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/client"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/testkit"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// TestStoreFull: the disk of the store fills up while cameras of all kinds are
// watched, and is cleared. Whoever listens live notices nothing, the state says
// degraded meanwhile, and what the stream lacks afterwards is in the account.
func TestStoreFull(t *testing.T) {
	const fps, more = 15, 40
	dir := testkit.Disk(t, "size=24m")
	m := reader()
	m.Engine, m.Workers = "gorgonia", 1
	source := fmt.Sprintf("synthetic://bars?width=320&height=180&fps=%d", fps)
	kinds := map[string]preprocess.Delivery{"line-a": preprocess.Every, "line-b": preprocess.Every, "gate": preprocess.Latest, "yard": preprocess.Latest}
	cfg := pipeline.Config{Models: []pipeline.Model{m}, Bus: bus.Config{Store: filepath.Join(dir, "store"), Listen: "127.0.0.1:0"}}
	for id, delivery := range kinds {
		cfg.Cameras = append(cfg.Cameras, camera(t, id, source, delivery, m))
	}
	r := start(t, cfg)
	goOn := func(what string) {
		t.Helper()
		began := time.Now()
		r.await(fmt.Sprintf("%d results of each camera %s", more, what), func() bool {
			for id := range kinds {
				n := 0
				for _, d := range r.out {
					if d.Camera == id && d.CaptureTime.After(began) {
						n++
					}
				}
				if n < more {
					return false
				}
			}
			return true
		})
	}
	goOn("before")
	if err := r.Ready(); err != nil || r.Status().Degraded {
		t.Errorf("before: %v", err)
	}
	full := time.Now()
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 32<<20), 0o600); err == nil {
		t.Fatal("it is not full")
	}
	r.poll("a state that says degraded", func() bool { return r.Status().Degraded })
	noticed := time.Since(full)
	if err := r.Ready(); err == nil {
		t.Error("it says that it is ready")
	}
	goOn("with a full disk")
	if !r.Status().Degraded {
		t.Error("it is not degraded any more, with a full disk")
	}
	cleared := time.Now()
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	r.poll("a store that works again", func() bool { return !r.Status().Degraded })
	back := time.Since(cleared)
	goOn("after")
	t.Logf("noticed after %v, stored again %v after there was room", noticed.Round(time.Millisecond), back.Round(time.Millisecond))
	r.checkStoreFull(kinds)
}

// poll waits for something that nobody tells.
func (r *rig) poll(what string, ok func() bool) {
	r.t.Helper()
	for range 400 {
		if ok() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	r.t.Fatalf("timed out waiting for %s", what)
}

// checkStoreFull stops, and compares what was heard live with what is stored and
// with the accounts.
func (r *rig) checkStoreFull(kinds map[string]preprocess.Delivery) {
	t := r.t
	t.Helper()
	r.cancel()
	if err := r.wait(); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
	stored := r.stored()
	for _, id := range slices.Sorted(maps.Keys(kinds)) {
		account := r.counts(id)
		var heard []*vedette.Detection
		lacking, failed := 0, 0
		for _, d := range r.of(id) {
			if n := len(heard); n > 0 && heard[n-1].ID == d.ID {
				continue // live, the one at which it was noticed can come again
			}
			heard = append(heard, d)
			switch {
			case d.Status == vedette.StatusFailed && d.Reason == preprocess.FailedSpoolFull:
				failed++
			case d.Status != vedette.StatusOK:
				t.Errorf("%s: %s %s", d.ID, d.Status, d.Reason)
			}
			if !stored[d.ID] {
				lacking++
			}
			delete(stored, d.ID)
		}
		checkChain(t, heard)
		t.Logf("%s (%s): %d results live, of which the stream lacks %d; account: %d captured, %d inferred, %d failed (spool_full %d), dropped %v, unstored %d",
			id, kinds[id], len(heard), lacking, account.Captured, account.Inferred, account.Failed, failed, account.Dropped, account.Unstored)
		// A result may be stored whose acknowledgement was lost.
		if lacking == 0 || account.Unstored > uint64(lacking)+2 || uint64(lacking) > account.Unstored {
			t.Errorf("%s: the stream lacks %d, and the account says %d", id, lacking, account.Unstored)
		}
		if kinds[id] != preprocess.Every {
			continue
		}
		if first := heard[0]; int(heard[len(heard)-1].Seq-first.Seq) != len(heard)-1 {
			t.Errorf("%s: %d results from seq %d to %d", id, len(heard), first.Seq, heard[len(heard)-1].Seq)
		}
	}
	if len(stored) > 0 {
		t.Errorf("%d results are stored that nobody heard", len(stored))
	}
}

// stored are the ids in the stream.
func (r *rig) stored() map[string]bool {
	t := r.t
	t.Helper()
	streams, err := r.Bus().Streams(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(streams, func(s bus.StreamStat) bool { return s.Name == "VEDETTE_DETECTIONS" })
	c, err := client.Connect(r.Bus().Address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	all, enough := map[string]bool{}, errors.New("enough")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err = c.Detections(ctx, client.Filter{StartSeq: 1}, func(m client.Message) error {
		if all[m.Detection.ID] {
			t.Errorf("%s is stored twice", m.Detection.ID)
		}
		all[m.Detection.ID] = true
		if len(all) == int(streams[i].Messages) {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatalf("%d of %d read: %v", len(all), streams[i].Messages, err)
	}
	return all
}
