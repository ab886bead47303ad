package ingest

import (
	"context"
	"time"

	"github.com/vedette-io/vedette"
)

// newFrame fills in what every announcement of this camera has.
func (c *Camera) newFrame(seq uint64) *vedette.Frame {
	return &vedette.Frame{
		Schema: vedette.FrameSchema, Site: c.cfg.Site, Camera: c.cfg.ID,
		Epoch: c.position.epoch, Seq: seq, PublishTime: vedette.At(time.Now()),
	}
}

// untimed stamps an announcement that is about no decoded picture.
func (c *Camera) untimed(f *vedette.Frame) {
	f.CapturedAt = f.PublishTime
	f.CaptureTime, f.Clock = f.CapturedAt, vedette.ClockHost
	f.Sampled, f.SourceGap = c.position.sampled, c.position.gap
}

// deliverEnd closes the epoch.
func (c *Camera) deliverEnd(ctx context.Context, reason string) error {
	f := c.newFrame(c.position.seq)
	f.End, f.Reason = true, reason
	c.untimed(f)
	return c.deps.Output.Frame(ctx, f, func() {})
}

// deliverUnreadable announces the item at the current position as lost.
func (c *Camera) deliverUnreadable(ctx context.Context, item, reason string) error {
	f := c.newFrame(c.position.seq)
	f.Item, f.Unreadable, f.Reason = item, true, reason
	c.untimed(f)
	c.position.seq++
	return c.deps.Output.Frame(ctx, f, func() {})
}

// farewell is how long the last notice of an epoch may take when the context
// has already ended.
const farewell = time.Second

// endEpoch closes a live epoch, also when the camera is being stopped.
func (c *Camera) endEpoch(ctx context.Context, reason string) error {
	if ctx.Err() != nil {
		reason = "stopped"
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), farewell)
		defer cancel()
	}
	return c.deliverEnd(ctx, reason)
}
