package bus

import (
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/vedette-io/vedette"
)

// SubscribeDetections calls handler for each detection published from now on,
// one after the other, and keeps what the handler has not taken yet in memory.
// It is meant for a command that prints them; stop waits for what was received.
func (b *Bus) SubscribeDetections(handler func(d *vedette.Detection, raw []byte)) (stop func() error, err error) {
	done := make(chan struct{})
	sub, err := b.control.Subscribe(b.subjects.Detections(), func(m *nats.Msg) {
		var d vedette.Detection
		if err := json.Unmarshal(m.Data, &d); err != nil {
			b.log.Warn("detection not understood", "subject", m.Subject, "error", err)
			return
		}
		handler(&d, m.Data)
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to detections: %w", err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nil, err
	}
	sub.SetClosedHandler(func(string) { close(done) })
	return func() error {
		if err := sub.Drain(); err != nil {
			return err
		}
		<-done
		return nil
	}, b.control.Flush()
}
