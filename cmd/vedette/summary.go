package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// runTimes notes from when to when each camera gave pictures.
type runTimes struct {
	mu       sync.Mutex
	from, to map[string]time.Time
}

func newRunTimes() *runTimes {
	return &runTimes{from: map[string]time.Time{}, to: map[string]time.Time{}}
}

// state takes a change of a camera's state.
func (r *runTimes) state(s ingest.State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.from[s.Camera]; !known && s.Phase == ingest.Online {
		r.from[s.Camera] = s.Since
	}
	if s.Phase == ingest.Ended {
		r.to[s.Camera] = s.Since
	}
}

// took is how long a camera gave pictures until now; 0 if it never did.
func (r *runTimes) took(camera string, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	from, known := r.from[camera]
	if !known {
		return 0
	}
	if to, ended := r.to[camera]; ended {
		now = to
	}
	return max(now.Sub(from), 0)
}

// summary says at the end of a run what became of the frames, for each camera
// and model.
func (g *globals) summary(s pipeline.Status, times *runTimes) {
	now := time.Now()
	for _, c := range s.Cameras {
		took := times.took(c.ID, now)
		for _, model := range slices.Sorted(maps.Keys(c.Accounts)) {
			a := c.Accounts[model]
			if g.logFormat == "json" {
				g.log.Log(context.Background(), slog.LevelInfo, "account", "camera", c.ID, "model", model, "frames", a, "seconds", took.Seconds())
				continue
			}
			tell("camera %s, model %s: %s%s", c.ID, model, equation(a), pace(a.Captured, took)+lost(a))
		}
	}
}

// equation is an account as what was captured and what became of it.
func equation(a preprocess.Counts) string {
	text := fmt.Sprintf("captured %d = inferred %d", a.Captured, a.Inferred)
	if rest := notInferred(a); rest != "-" {
		text += " + " + strings.ReplaceAll(rest, ", ", " + ")
	}
	return text
}

// lost is what the equation lacks, since it was never captured.
func lost(a preprocess.Counts) string {
	if a.SourceGap == 0 {
		return ""
	}
	return fmt.Sprintf("; %s of the source lost (source_gap)", count(int(a.SourceGap), "frame"))
}

// pace is how long frames took, together and on average.
func pace(frames uint64, took time.Duration) string {
	if took <= 0 {
		return ""
	}
	return fmt.Sprintf("; %.1f s, %.1f frames/s", took.Seconds(), float64(frames)/took.Seconds())
}
