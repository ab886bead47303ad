package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/vedette-io/vedette"
)

// SubscribeDetections calls handler for each detection published from now on,
// one after the other, each once and in order for each camera and model, and
// keeps what the handler has not taken yet in memory. It is meant for a command
// that prints them; stop waits until the handler has taken what was received,
// however slow it is, and returns an error if ctx ends before that.
func (b *Bus) SubscribeDetections(ctx context.Context, handler func(d *vedette.Detection, raw []byte)) (stop func() error, err error) {
	type place struct {
		epoch string
		seq   uint64
	}
	latest := map[string]place{} // by subject
	sub, err := b.control.Subscribe(b.subjects.Detections(), func(m *nats.Msg) {
		if !meant(m, b.subjects.Detections()) {
			return
		}
		var d vedette.Detection
		if err := json.Unmarshal(m.Data, &d); err != nil {
			b.log.Warn("detection not understood", "subject", m.Subject, "error", err)
			return
		}
		// The writer repeats a message whose acknowledgement was lost.
		if p, seen := latest[m.Subject]; seen && p.epoch == d.Epoch && d.Seq <= p.seq {
			return
		}
		latest[m.Subject] = place{d.Epoch, d.Seq}
		handler(&d, m.Data)
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to detections: %w", err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nil, err
	}
	done := make(chan struct{})
	sub.SetClosedHandler(func(string) { close(done) })
	return func() error {
		if err := sub.Drain(); err != nil {
			return err
		}
		select {
		case <-done:
			return nil
		case <-ctx.Done():
		}
		// Interrupted: what is nearly done may still be taken.
		select {
		case <-done:
			return nil
		case <-time.After(interruptedDrain):
			left, _, _ := sub.Pending()
			return errors.Join(fmt.Errorf("%d detections were not taken: %w", left, context.Cause(ctx)), sub.Unsubscribe())
		}
	}, b.control.Flush()
}

// interruptedDrain is how long an interrupted subscriber may still take.
const interruptedDrain = time.Second

// Subscribe calls handler for each message published from now on that subject
// matches, one after the other. data is the handler's until it returns.
func (b *Bus) Subscribe(subject string, handler func(subject string, data []byte)) (stop func() error, err error) {
	sub, err := b.control.Subscribe(subject, func(m *nats.Msg) {
		if meant(m, subject) {
			handler(m.Subject, m.Data)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	return sub.Unsubscribe, b.control.Flush()
}

// Publish sends data on subject, to whoever listens now. While the bus is away
// it is an error: what is sent later would be stale.
func (b *Bus) Publish(subject string, data []byte) error {
	if !b.control.IsConnected() {
		return fmt.Errorf("publish %s: %w", subject, errAway)
	}
	if err := b.control.Publish(subject, data); err != nil {
		return fmt.Errorf("publish %s: %w", subject, err)
	}
	return nil
}
