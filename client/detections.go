package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/vedette-io/vedette"
)

// Filter chooses detections; its zero value is every one from now on.
type Filter struct {
	Camera string // id; empty: all
	Model  string // name; empty: all
	// Label keeps the detections that have at least one object with this label,
	// or whose first class it is; empty: all, also those that saw nothing or
	// failed.
	Label string
	// Since starts with the detections published at this time, as far back as
	// they are kept; zero: from now on.
	Since time.Time
}

// Message is one detection as it arrived.
type Message struct {
	*vedette.Detection
	// Raw is the message itself, with fields that this release does not know.
	Raw []byte
	// Missed says that at least one detection of this camera and model between
	// the one before and this one did not arrive: it is no longer, or never was,
	// in the stream. Nothing is known of what came before the first message.
	Missed bool
}

// Detections calls handle for each stored detection that passes the filter, one
// after the other: those of each camera and model in frame order, each once. A
// lost connection or a restarted server costs no message. A handler that is slow
// makes later messages wait in the server.
//
// It returns when ctx ends, with its cause; when handle returns an error, with
// that; when the client is closed, or when there is nothing to read
// ([ErrNoStream]).
func (c *Client) Detections(ctx context.Context, f Filter, handle func(Message) error) error {
	subject, err := c.subject(f)
	if err != nil {
		return err
	}
	name := c.subjects.Stream("detections")
	stream, err := c.js.Stream(ctx, name)
	if err != nil {
		return c.streamError(ctx, name, err)
	}
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}}
	if f.Since.IsZero() {
		// A number, not "new ones": the consumer begins there again when the
		// connection is lost before the first message.
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, stream.CachedInfo().State.LastSeq+1
	} else {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &f.Since
	}
	consumer, err := stream.OrderedConsumer(ctx, cfg)
	if err != nil {
		return c.streamError(ctx, name, err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		return c.streamError(ctx, name, err)
	}
	defer messages.Stop()
	defer context.AfterFunc(ctx, messages.Stop)()
	r := reader{filter: f, last: map[key]vedette.FrameID{}, missed: map[key]bool{}}
	for {
		m, err := messages.Next()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && (c.nc.IsClosed() || errors.Is(err, jetstream.ErrMsgIteratorClosed)):
			return fmt.Errorf("read stream %s: the client was closed", name)
		case err != nil:
			return c.streamError(ctx, name, err)
		}
		d := new(vedette.Detection)
		if err := json.Unmarshal(m.Data(), d); err != nil {
			c.log.Warn("detection not understood", "subject", m.Subject(), "error", err)
			continue
		}
		missed, ok := r.take(d)
		if !ok {
			continue
		}
		if err := handle(Message{Detection: d, Raw: m.Data(), Missed: missed}); err != nil {
			return err
		}
	}
}

func (c *Client) subject(f Filter) (string, error) {
	camera, model := "*", "*"
	if f.Camera != "" {
		if err := vedette.CheckID(f.Camera); err != nil {
			return "", fmt.Errorf("camera: %w", err)
		}
		camera = f.Camera
	}
	if f.Model != "" {
		if err := vedette.CheckID(f.Model); err != nil {
			return "", fmt.Errorf("model: %w", err)
		}
		model = f.Model
	}
	return c.subjects.Detection(camera, model), nil
}

type key struct{ camera, model string }

// reader filters by label and notices what is missing.
type reader struct {
	filter Filter
	last   map[key]vedette.FrameID
	missed map[key]bool // since the last one handed on
}

// take reports whether d passes, and whether something is missing before it.
func (r *reader) take(d *vedette.Detection) (missed, ok bool) {
	k := key{d.Camera, d.Model.Name}
	last, known := r.last[k]
	r.last[k] = vedette.FrameID{Camera: d.Camera, Epoch: d.Epoch, Seq: d.Seq}
	switch {
	case !known:
	case last.Epoch == d.Epoch:
		r.missed[k] = r.missed[k] || d.PrevSeq != int64(last.Seq)
	default: // a new epoch, which begins with -1
		r.missed[k] = r.missed[k] || d.PrevSeq != -1
	}
	if !r.filter.matches(d) {
		return false, false
	}
	missed = r.missed[k]
	delete(r.missed, k)
	return missed, true
}

func (f Filter) matches(d *vedette.Detection) bool {
	if f.Label == "" {
		return true
	}
	if d.Objects != nil {
		for _, o := range *d.Objects {
			if o.Label == f.Label {
				return true
			}
		}
	}
	return d.Classes != nil && len(*d.Classes) > 0 && (*d.Classes)[0].Label == f.Label
}
