// Package drawn is a camera without OpenCV and without a process of its own,
// for tests: it draws pictures that show their numbers into a real ring and
// announces them on a real bus, as a capture process and its parent do. The
// pictures have the size and colours of the network that reads them
// (onnxtest.BarcodeReader), so that its tensors are made without OpenCV, too.
package drawn

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/ring"
	"github.com/vedette-io/vedette/internal/testcam/barcode"
	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
)

const (
	side   = onnxtest.BarcodeSize
	stride = 3 * side
)

// Camera sends frames. Its methods are for one goroutine.
type Camera struct {
	id     string
	every  bool
	epoch  string
	seq    uint64
	ring   *ring.Writer
	sender *bus.FrameSender
	free   chan int // slots that may be written
	held   sync.WaitGroup
}

// New makes a camera captured on host. With every, a slot is written again only
// once its frame was answered.
func New(b *bus.Bus, host, id string, every bool) (*Camera, error) {
	sender, err := b.NewFrameSender(host, id)
	if err != nil {
		return nil, err
	}
	w, err := ring.Create(ring.DefaultSlots, stride*side)
	if err != nil {
		return nil, errors.Join(err, sender.Close())
	}
	c := &Camera{
		id: id, every: every, ring: w, sender: sender, free: make(chan int, w.Slots()),
		epoch: new(vedette.Epochs).Next(time.Now()),
	}
	for slot := range w.Slots() {
		c.free <- slot
	}
	return c, nil
}

// Sent is the number of frames so far.
func (c *Camera) Sent() uint64 { return c.seq }

// Send draws and announces the next frame, which shows its seq. With every it
// waits for a slot until ctx ends.
func (c *Camera) Send(ctx context.Context) error {
	var slot int
	select {
	case slot = <-c.free:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	now := vedette.At(time.Now())
	barcode.Draw(c.ring.Begin(slot), side, side, stride, uint32(c.seq))
	f := vedette.Frame{
		Schema: vedette.FrameSchema, Camera: c.id, Epoch: c.epoch, Seq: c.seq,
		CaptureTime: now, CapturedAt: now, Clock: vedette.ClockHost, CaptureMillis: 0.1,
		Width: side, Height: side, Format: vedette.BGR24, Ref: c.ring.Commit(slot, stride, stride*side),
	}
	c.seq++
	if !c.every {
		c.free <- slot // slots take turns
		return c.sender.Send(ctx, &f, nil)
	}
	c.held.Add(1)
	return c.sender.Send(ctx, &f, func() {
		c.free <- slot
		c.held.Done()
	})
}

// Run sends n frames, one each period; 0 is as fast as they are answered.
func (c *Camera) Run(ctx context.Context, n int, period time.Duration) error {
	tick := time.NewTicker(max(period, time.Nanosecond))
	defer tick.Stop()
	for range n {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := c.Send(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Wait waits until every lossless frame was answered.
func (c *Camera) Wait() { c.held.Wait() }

// Close ends the camera, whatever is unanswered.
func (c *Camera) Close() error { return errors.Join(c.sender.Close(), c.ring.Close()) }
