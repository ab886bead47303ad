package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
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
	// MinScore keeps the detections that have at least one object, or a first
	// class, with at least this score, and with Label where that is set.
	MinScore float64
	// StartSeq starts at this place in the stream, and Since does not matter: to
	// resume, give one more than the [Message.StreamSeq] handled last.
	StartSeq uint64
	// Since starts with the detections published at this time, as far back as
	// they are kept; zero: from now on.
	Since time.Time
}

// Message is one detection as it arrived.
type Message struct {
	*vedette.Detection
	// Raw is the message itself, with fields that this release does not know.
	Raw []byte
	// StreamSeq is the message's place in the stream; 0 without a stream.
	StreamSeq uint64
	// Missed says that at least one detection of this camera and model between
	// the one before and this one did not arrive: it is no longer, or never was,
	// in the stream, or was lost on the way. Nothing is known of what came before
	// the first message, unless StartSeq is no longer there.
	Missed bool
}

// Detections calls handle for each stored detection that passes the filter, one
// after the other: those of each camera and model in frame order, each once. A
// lost connection or a restarted server costs no message. A handler that is slow
// makes later messages wait in the server.
//
// A server without the stream, or a user that may not read it, still has what is
// published from now on, with a warning in the log and [Message.Missed] where
// something was lost. History is [ErrNoStream] then.
//
// It returns when ctx ends, with its cause; when handle returns an error, with
// that; when the client is closed; or when the history asked for is not there
// ([ErrNoStream]).
func (c *Client) Detections(ctx context.Context, f Filter, handle func(Message) error) error {
	subject, err := c.subject(f)
	if err != nil {
		return err
	}
	r := &reader{client: c, filter: f, handle: handle, last: map[key]vedette.FrameID{}, missed: map[key]bool{}}
	messages, err := c.open(ctx, subject, r)
	for i := 0; i < patience && errors.Is(err, errSilent); i++ {
		c.log.Warn("the server's streams do not answer; trying again", "error", err)
		messages, err = c.open(ctx, subject, r)
	}
	switch {
	case err == nil:
		return c.fromStream(ctx, messages, r)
	case errors.Is(err, ErrNoStream) && f.StartSeq == 0 && f.Since.IsZero():
		c.log.Warn("detections are not stored here; what is lost on the way stays lost", "error", err)
		return c.live(ctx, subject, r)
	}
	return err
}

// patience is how often a server whose streams do not answer is asked again: a
// cluster that lost a server may take some seconds to choose a leader.
const patience = 5

// open begins to read stored messages at the place that the filter names.
func (c *Client) open(ctx context.Context, subject string, r *reader) (jetstream.MessagesContext, error) {
	ctx, answered := c.refusals.watch(ctx)
	defer answered()
	name := c.subjects.Stream("detections")
	stream, err := c.js.Stream(ctx, name)
	if err != nil {
		return nil, c.streamError(ctx, name, err)
	}
	state := stream.CachedInfo().State
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}, DeliverPolicy: jetstream.DeliverByStartSequencePolicy}
	switch {
	case r.filter.StartSeq > 0:
		cfg.OptStartSeq = r.filter.StartSeq
		// What was there is gone by age or size: of which cameras nobody knows.
		r.gone = state.FirstSeq > r.filter.StartSeq
	case !r.filter.Since.IsZero():
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &r.filter.Since
	default:
		// A number, not "new ones": the consumer begins there again when the
		// connection is lost before the first message.
		cfg.OptStartSeq = state.LastSeq + 1
	}
	consumer, err := stream.OrderedConsumer(ctx, cfg)
	if err != nil {
		return nil, c.streamError(ctx, name, err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		return nil, c.streamError(ctx, name, err)
	}
	return messages, nil
}

// fromStream reads stored messages, and goes on with those to come.
func (c *Client) fromStream(ctx context.Context, messages jetstream.MessagesContext, r *reader) error {
	name := c.subjects.Stream("detections")
	defer messages.Stop()
	defer context.AfterFunc(ctx, messages.Stop)()
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
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read stream %s: %w", name, err)
		}
		if err := r.read(m.Subject(), m.Data(), meta.Sequence.Stream); err != nil {
			return err
		}
	}
}

// live reads what is published from now on.
func (c *Client) live(ctx context.Context, subject string, r *reader) error {
	sub, err := c.nc.SubscribeSync(subject)
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // it fails only with the connection
	if c.nc.IsConnected() { // else it is refused later, if at all, and the log has that
		_ = c.nc.FlushTimeout(flushTimeout)
	}
	for {
		m, err := sub.NextMsgWithContext(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, nats.ErrSlowConsumer):
			continue // the log has it, and the next message shows it as missed
		case errors.Is(err, nats.ErrPermissionViolation):
			return fmt.Errorf("%w: check the prefix and the login", denied(err))
		case err != nil:
			return fmt.Errorf("read %s: %w", subject, err)
		}
		if err := r.read(m.Subject, m.Data, 0); err != nil {
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

// reader filters messages and notices what is missing.
type reader struct {
	client *Client
	filter Filter
	handle func(Message) error
	last   map[key]vedette.FrameID
	missed map[key]bool // since the last one handed on
	gone   bool         // something was missing before the first message
}

// read decodes a message and hands it on if it passes.
func (r *reader) read(subject string, raw []byte, streamSeq uint64) error {
	d := new(vedette.Detection)
	if err := json.Unmarshal(raw, d); err != nil {
		r.client.log.Warn("detection not understood", "subject", subject, "error", err)
		return nil
	}
	missed, ok := r.take(d)
	if !ok {
		return nil
	}
	return r.handle(Message{Detection: d, Raw: raw, StreamSeq: streamSeq, Missed: missed})
}

// take reports whether d passes, and whether something is missing before it.
func (r *reader) take(d *vedette.Detection) (missed, ok bool) {
	k := key{d.Camera, d.Model.Name}
	last, known := r.last[k]
	if known && last.Epoch == d.Epoch && d.Seq <= last.Seq {
		return false, false // seen; a live message can come twice
	}
	r.last[k] = vedette.FrameID{Camera: d.Camera, Epoch: d.Epoch, Seq: d.Seq}
	switch {
	case !known:
		r.missed[k] = r.gone
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

// matches says whether an object, or the first class, is what is looked for.
func (f Filter) matches(d *vedette.Detection) bool {
	if f.Label == "" && f.MinScore <= 0 {
		return true
	}
	wanted := func(label string, score float64) bool {
		return (f.Label == "" || label == f.Label) && score >= f.MinScore
	}
	if d.Objects != nil {
		for _, o := range *d.Objects {
			if wanted(o.Label, o.Score) {
				return true
			}
		}
	}
	return d.Classes != nil && len(*d.Classes) > 0 && wanted((*d.Classes)[0].Label, (*d.Classes)[0].Score)
}
