package bus

import (
	"time"

	"github.com/nats-io/nats.go"
)

// Connections are the bus's connections by name.
func (b *Bus) Connections() map[string]*nats.Conn {
	return map[string]*nats.Conn{"frames": b.frames, "tensors": b.tensors, "control": b.control}
}

// Sync is how the embedded server forces its store to the disk.
func (b *Bus) Sync() (always bool, interval time.Duration) {
	cfg := b.server.server.JetStreamConfig()
	return cfg.SyncAlways, cfg.SyncInterval
}

// SetAckTimeout makes a sender less patient; before the first Send.
func (s *FrameSender) SetAckTimeout(d time.Duration) { s.ackTimeout = d }

// Hurry makes a writer less patient; before the first Write.
func (w *DetectionWriter) Hurry() {
	w.times = writerTimes{
		ack: 300 * time.Millisecond, pause: 20 * time.Millisecond, grace: 500 * time.Millisecond,
		probe: 300 * time.Millisecond, probeAck: 100 * time.Millisecond, fence: 300 * time.Millisecond,
	}
}
