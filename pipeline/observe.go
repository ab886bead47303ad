package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/obs"
	"github.com/vedette-io/vedette/preprocess"
)

// observer feeds the metrics.
type observer struct{ m *obs.Metrics }

func (o observer) Captured(camera, model string, n uint64) { o.m.Captured(camera, model, n) }
func (o observer) Frames(camera, model, result, reason string, n uint64) {
	o.m.Frames(camera, model, result, reason, n)
}
func (o observer) SourceGap(camera string, n uint64) { o.m.SourceGap(camera, n) }
func (o observer) Unstored(camera, model string)     { o.m.Unstored(camera, model) }
func (o observer) Stage(stage, camera, model string, d time.Duration) {
	o.m.StageDuration(stage, camera, model, d)
}
func (o observer) Latency(camera, model string, d time.Duration) {
	o.m.DetectionLatency(camera, model, d)
}

// timedWriter tells the metrics how long a result took in the stages that the
// owner itself does not time, and gives the bus's errors the names that it knows.
type timedWriter struct {
	preprocess.Writer
	m *obs.Metrics
}

func (w timedWriter) Write(ctx context.Context, d *vedette.Detection, done func(error)) {
	stage := func(name string, ms float64) {
		w.m.StageDuration(name, d.Camera, d.Model.Name, time.Duration(ms*float64(time.Millisecond)))
	}
	stage("capture", d.Timing.Capture)
	if d.Timing.Infer > 0 { // a worker had it
		stage("queue", d.Timing.Queue)
		stage("infer", d.Timing.Infer)
		stage("postprocess", d.Timing.Postprocess)
	}
	w.Writer.Write(ctx, d, func(err error) {
		if errors.Is(err, bus.ErrUnstored) {
			err = fmt.Errorf("%w: %w", preprocess.ErrUnstored, err)
		}
		done(err)
	})
}
