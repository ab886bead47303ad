//go:build cv

package pipeline_test

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/proc"
	"github.com/vedette-io/vedette/internal/testcam"
	"github.com/vedette-io/vedette/internal/testcam/camtest"
	"github.com/vedette-io/vedette/internal/testcam/clip"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// TestAllCamerasDieAndReturn: many cameras are cut off together, as by a switch,
// and come back together, while the store of detections is at its limit. In the
// soak they are 40 and away for a minute, which stands for ten: the waiting in
// between is the same however long it lasts.
func TestAllCamerasDieAndReturn(t *testing.T) {
	const fps, limit = 10, 1 << 20
	many, away := 10, 6*time.Second
	if os.Getenv("VEDETTE_SOAK") != "" {
		many, away = 40, time.Minute
	}
	film := camtest.Clip(t, clip.Spec{Width: 160, Height: 120, FPS: fps, Frames: 10 * fps, GOP: fps})
	m := reader()
	m.Engine, m.Workers = "gorgonia", 1
	var sources []*testcam.Camera
	var cams []pipeline.Camera
	for i := range many {
		c := camtest.RTSP(t, testcam.Options{Video: testcam.Video{Clip: film}})
		sources = append(sources, c)
		cams = append(cams, camera(t, fmt.Sprintf("cam-%02d", i), c.URL(), preprocess.Latest, m))
	}
	r := start(t, pipeline.Config{Models: []pipeline.Model{m}, Cameras: cams, Limits: bus.Limits{Bytes: limit}})
	all := func(phase ingest.Phase) func() bool {
		return func() bool { return len(last(r.states, phase)) == many }
	}
	r.await("every camera", all(ingest.Online))
	r.await("the store at its limit", func() bool { return len(r.out) > 1300 })
	before := memory(t)
	cut := time.Now()
	for _, c := range sources {
		c.Kill()
	}
	r.await("every camera missed", all(ingest.Offline))
	noticed := time.Since(cut)
	time.Sleep(away)
	during := memory(t)
	back := time.Now()
	for _, c := range sources {
		if err := c.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	first := map[string]time.Duration{} // results of new epochs
	r.await("a result of every camera", func() bool {
		for _, d := range r.out {
			if _, seen := first[d.Camera]; !seen && d.CaptureTime.After(back) {
				first[d.Camera] = d.PublishTime.Sub(back)
			}
		}
		return len(first) == many
	})
	r.await("a while", func() bool { return time.Since(back) > 8*time.Second })
	after := memory(t)
	stored, err := r.Bus().Streams(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stored {
		if s.Name == "VEDETTE_DETECTIONS" && (s.Bytes > limit || s.Bytes < limit/2) {
			t.Errorf("%d bytes are stored, the limit is %d", s.Bytes, limit)
		}
	}
	r.end() // which checks that the accounts are closed
	var times []time.Duration
	for _, d := range first {
		times = append(times, d)
	}
	slices.Sort(times)
	t.Logf("%d cameras: all missed after %.1f s; away for %v; results again after %.1f to %.1f s; memory %d, %d, %d MiB before, during and after",
		many, noticed.Seconds(), away, times[0].Seconds(), times[len(times)-1].Seconds(), before>>20, during>>20, after>>20)
	if during > before*11/10+(20<<20) || after > before*12/10+(20<<20) {
		t.Error("memory grows with an outage")
	}
}

// last are the cameras whose last state has a phase.
func last(states []ingest.State, phase ingest.Phase) map[string]bool {
	out := map[string]bool{}
	for _, s := range states {
		if s.Phase == phase {
			out[s.Camera] = true
		} else {
			delete(out, s.Camera)
		}
	}
	return out
}

// memory is what this process and its captures have for themselves.
func memory(t *testing.T) (sum int64) {
	t.Helper()
	for _, pid := range append(captures(t), os.Getpid()) {
		if n, err := proc.Private(pid); err == nil { // it may have ended
			sum += n
		}
	}
	return sum
}
