package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/pipeline"
)

// outage is how long a camera stays away after that was noticed.
const outage = 4 * time.Second

// benchRecovery is one failure of a camera.
type benchRecovery struct {
	What string `json:"what"` // killed or frozen
	// Noticed is from the failure until the camera counted as offline, Back from
	// when the camera was there again until a detection was published.
	Noticed float64 `json:"noticed_s"`
	Back    float64 `json:"back_s"`
}

// cameraWatch is what the outside sees of one camera.
type cameraWatch struct {
	mu        sync.Mutex
	offline   bool
	published time.Time // the last detection
	changed   chan struct{}
}

func (c *cameraWatch) state(s ingest.State) {
	c.update(func() { c.offline = s.Phase == ingest.Offline || s.Phase == ingest.Connecting })
}

func (c *cameraWatch) seen(d *vedette.Detection) {
	if d.Status == vedette.StatusOK {
		c.update(func() { c.published = d.PublishTime.Time })
	}
}

func (c *cameraWatch) update(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.changed)
	c.changed = make(chan struct{})
}

// recoveryPatience is how long an event may take before the measurement is
// given up.
const recoveryPatience = time.Minute

// until waits for what done says, and returns how long that took.
func (c *cameraWatch) until(ctx context.Context, p *livePipeline, what string, done func() bool) (time.Duration, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, recoveryPatience, fmt.Errorf("%s: not within %v", what, recoveryPatience))
	defer cancel()
	for {
		c.mu.Lock()
		ok, changed := done(), c.changed
		c.mu.Unlock()
		if ok {
			return time.Since(began), nil
		}
		if err := p.await(ctx, changed); err != nil {
			return 0, err
		}
	}
}

// recovery measures how soon the failure of a camera is noticed, and how soon
// there are detections again when it is over.
func (w *benchWorker) recovery(ctx context.Context) (err error) {
	camera, err := newTestCamera(ctx, w.job.Clip)
	if err != nil {
		return err
	}
	defer camera.Close()
	cfg, err := w.cameraConfig(camera.URL(), false)
	if err != nil {
		return err
	}
	c := &cameraWatch{changed: make(chan struct{})}
	p, err := startPipeline(ctx, cfg, pipeline.Deps{Log: w.g.log, State: c.state}, c.seen)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if _, err := c.until(ctx, p, "first detection", func() bool { return !c.published.IsZero() }); err != nil {
		return err
	}
	if err := w.ready(); err != nil {
		return err
	}
	for range w.job.Rounds {
		for _, failure := range []struct {
			what  string
			begin func()
			end   func() error
		}{
			{what: "killed", begin: camera.Kill, end: camera.Restart},
			{what: "frozen", begin: camera.Freeze, end: func() error { camera.Resume(); return nil }},
		} {
			failure.begin()
			noticed, err := c.until(ctx, p, "a "+failure.what+" camera offline", func() bool { return c.offline })
			if err != nil {
				return err
			}
			if err := pause(ctx, outage); err != nil {
				return err
			}
			if err := failure.end(); err != nil {
				return err
			}
			again := time.Now()
			back, err := c.until(ctx, p, "a "+failure.what+" camera back", func() bool { return c.published.After(again) && !c.offline })
			if err != nil {
				return err
			}
			w.result.Recovery = append(w.result.Recovery, benchRecovery{
				What: failure.what, Noticed: round(noticed.Seconds(), 2), Back: round(back.Seconds(), 2),
			})
			if err := pause(ctx, time.Second); err != nil { // let it run on
				return err
			}
		}
	}
	return nil
}
