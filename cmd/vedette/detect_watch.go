package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/pipeline"
)

// otherModel is the command that looks at the same sources for people and cars.
func otherModel(sources []string) string {
	return "vedette detect " + command(sources) + " --model yolox-nano"
}

// command is what to write for these sources on a command line. Without
// secrets: where there is one it is the word SOURCE.
func command(sources []string) string {
	if len(sources) != 1 {
		return "SOURCE…"
	}
	plain := regexp.MustCompile(`^[\w./:?=&@%+,-]*$`)
	switch src, err := ingest.ParseSource(sources[0]); {
	case err != nil, src.Redact(sources[0]) != sources[0]:
		return "SOURCE"
	case strings.ContainsAny(sources[0], "?&") || !plain.MatchString(sources[0]):
		return "'" + strings.ReplaceAll(sources[0], "'", `'\''`) + "'"
	}
	return sources[0]
}

// detectWatch follows a run of detect, to say at the end how it went.
type detectWatch struct {
	bar     progress
	began   time.Time
	shipped bool // the model is the built-in one because none was named
	// save and saveFrames are the folders for pictures.
	save, saveFrames string

	ok    atomic.Uint64
	bad   atomic.Uint64
	some  atomic.Uint64 // of ok: something was found
	unfit atomic.Uint64 // of ok: could not be judged
	mu    sync.Mutex
	fails []error
	first string // the first frame that failed, and why
	// left are the sources that end and have not.
	left map[string]bool
}

func newDetectWatch(o *detectOptions, cameras []pipeline.Camera) *detectWatch {
	w := &detectWatch{began: time.Now(), shipped: o.shipped, save: o.save, saveFrames: o.saveFrames, left: map[string]bool{}}
	for _, c := range cameras {
		if c.Ingest.Source.Finite() {
			w.left[c.Ingest.ID] = true
		}
	}
	return w
}

func (w *detectWatch) seen(d *vedette.Detection) {
	if d.Status == vedette.StatusFailed {
		if w.bad.Add(1) == 1 {
			w.mu.Lock()
			w.first = cmp.Or(d.Item, d.ID) + ": " + d.Reason
			w.mu.Unlock()
		}
	} else {
		w.ok.Add(1)
	}
	switch {
	case d.Status == vedette.StatusUnfit:
		w.unfit.Add(1)
	case d.Objects != nil && len(*d.Objects) > 0, d.Classes != nil && len(*d.Classes) > 0:
		w.some.Add(1)
	}
	w.bar.set(int(w.ok.Load() + w.bad.Load()))
}

func (w *detectWatch) failed(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.fails) == 0 { // the first says it; a full disk would fill the screen
		w.fails = append(w.fails, err)
	}
}

// state tells a person why nothing comes from a camera.
func (w *detectWatch) state(s ingest.State) {
	if s.Total > 0 {
		w.bar.total(int(s.Total))
	}
	if s.Phase == ingest.Ended {
		w.mu.Lock()
		delete(w.left, s.Camera)
		w.mu.Unlock()
	}
	if s.Phase == ingest.Offline && s.Reason != "" {
		tell("camera %s: %s; trying again", s.Camera, s.Reason)
	}
}

// summary tells a person how it went.
func (w *detectWatch) summary(sources []string) {
	all := w.ok.Load() + w.bad.Load()
	if all == 0 {
		return
	}
	if w.shipped && w.unfit.Load() == all {
		tell("none of these pictures is what the built-in model is for; for people and cars: %s", otherModel(sources))
	}
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return
	}
	took := time.Since(w.began)
	text := fmt.Sprintf("%s in %.1f s, %.1f a second; something was found in %d", count(int(all), "frame"), took.Seconds(), float64(all)/took.Seconds(), w.some.Load())
	if n := w.unfit.Load(); n > 0 {
		text += fmt.Sprintf(", %d cannot be judged", n)
	}
	if n := w.bad.Load(); n > 0 {
		text += fmt.Sprintf(", %d failed", n)
	}
	if w.save != "" {
		text += "; annotated pictures are in " + w.save
	}
	if w.saveFrames != "" {
		text += "; pictures as they were looked at are in " + w.saveFrames
	}
	tell("%s", text)
}

// verdict is the command's result.
func (w *detectWatch) verdict(ctx context.Context, err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Err() != nil { // what was found stands above
		switch {
		case len(w.fails) > 0:
			return errors.Join(w.fails...)
		case len(w.left) > 0:
			return context.Cause(ctx)
		}
		return nil // who looks at a live source has to stop it some time
	}
	err = errors.Join(append(w.fails, err)...)
	switch {
	case err != nil:
		if w.ok.Load()+w.bad.Load() == 0 && wrongSource(err) {
			return &usageError{err}
		}
		return err
	case w.bad.Load() > 0:
		return fmt.Errorf("%d of %d frames failed, the first was %s", w.bad.Load(), w.bad.Load()+w.ok.Load(), w.first)
	}
	return nil
}
