package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vedette-io/vedette/client"
	"github.com/vedette-io/vedette/internal/strictyaml"
)

const (
	// silence is how long watch shows nothing before it says why that may be.
	silence = 3 * time.Second
	// lookedAt is how many of the newest detections are searched for labels.
	lookedAt = 500
)

// explainSilence says, if nothing was shown for a moment, what there is on the
// bus: a name that is mistyped would be waited for for ever. It goes on waiting:
// the camera may come. stop ends it.
func explainSilence(ctx context.Context, c *client.Client, f client.Filter, some *atomic.Bool) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-time.After(silence):
		case <-ctx.Done():
			return
		}
		if some.Load() {
			return
		}
		within, cancel := context.WithTimeout(ctx, 2*silence)
		defer cancel()
		contents, err := c.Contents(within, lookedAt)
		if ctx.Err() != nil || some.Load() {
			return
		}
		fmt.Fprintf(os.Stderr, "vedette: nothing yet: %s; still waiting\n", whySilent(f, contents, err, time.Now()))
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// whySilent says what a filter may miss.
func whySilent(f client.Filter, c client.Contents, err error, now time.Time) string {
	var cameras, models []string
	for _, s := range c.Sources {
		if !slices.Contains(cameras, s.Camera) {
			cameras = append(cameras, s.Camera)
		}
		if (f.Camera == "" || f.Camera == s.Camera) && !slices.Contains(models, s.Model) {
			models = append(models, s.Model)
		}
	}
	switch {
	case err != nil:
		return err.Error()
	case c.Messages == 0:
		return "no camera's detections are stored on this server under this prefix"
	case f.Camera != "" && !slices.Contains(cameras, f.Camera):
		return missing("camera", f.Camera, cameras)
	case f.Model != "" && !slices.Contains(models, f.Model):
		of := ""
		if f.Camera != "" {
			of = " of camera " + f.Camera
		}
		return missing("model", f.Model, models) + of
	case f.Label != "" && !slices.Contains(c.Labels, f.Label):
		text := fmt.Sprintf("none of the newest %s has the label %q", count(c.Looked, "detection"), f.Label)
		if len(c.Labels) > 0 {
			text += fmt.Sprintf("%s; they have %s", strictyaml.DidYouMean(f.Label, c.Labels), list(c.Labels))
		}
		return text
	}
	return fmt.Sprintf("the newest detection of any camera is %s old; there are %s", span(now.Sub(c.Last)), list(cameras))
}

func missing(what, name string, there []string) string {
	return fmt.Sprintf("no detection of a %s %q is stored%s; there are %s", what, name, strictyaml.DidYouMean(name, there), list(there))
}

// list names what is there, but not hundreds.
func list(names []string) string {
	const most = 40
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
