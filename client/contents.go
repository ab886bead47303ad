package client

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/vedette-io/vedette"
)

// Contents is what is stored of detections at a moment.
type Contents struct {
	Messages uint64
	Last     time.Time // when the newest was stored; zero: there is none
	// Sources are the cameras and models that detections are stored of, sorted.
	Sources []Source
	// Labels are those of the newest detections, sorted, and Looked is how many
	// of these were looked at.
	Labels []string
	Looked int
}

// Source is one camera and model.
type Source struct {
	Camera, Model string
	Messages      uint64
}

// Contents says which cameras and models detections are stored of, and which
// labels the newest of them have, at most recent. It is for a person, or a
// program, that gets nothing and wants to know whether a name is wrong. Without
// the stream, or the right to ask, it is [ErrNoStream].
func (c *Client) Contents(ctx context.Context, recent int) (Contents, error) {
	ctx, answered := c.refusals.watch(ctx)
	defer answered()
	name := c.subjects.Stream("detections")
	stream, err := c.js.Stream(ctx, name)
	if err != nil {
		return Contents{}, c.streamError(ctx, name, err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(c.subjects.Detections()))
	if err != nil {
		return Contents{}, c.streamError(ctx, name, err)
	}
	out := Contents{Messages: info.State.Msgs}
	if out.Messages > 0 {
		out.Last = info.State.LastTime
	}
	for subject, n := range info.State.Subjects {
		camera, model, err := c.subjects.ParseDetection(subject)
		if err == nil {
			out.Sources = append(out.Sources, Source{camera, model, n})
		}
	}
	slices.SortFunc(out.Sources, func(a, b Source) int {
		return cmp.Or(cmp.Compare(a.Camera, b.Camera), cmp.Compare(a.Model, b.Model))
	})
	if recent > 0 && out.Messages > 0 {
		start := info.State.LastSeq - min(info.State.LastSeq-1, uint64(recent)-1)
		if err := c.labels(ctx, stream, start, recent, &out); err != nil {
			return Contents{}, c.streamError(ctx, name, err)
		}
	}
	return out, nil
}

// labels collects the labels of stored messages.
func (c *Client) labels(ctx context.Context, stream jetstream.Stream, start uint64, most int, out *Contents) error {
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: start})
	if err != nil {
		return err
	}
	batch, err := consumer.FetchNoWait(most)
	if err != nil {
		return err
	}
	labels := map[string]bool{}
	for m := range batch.Messages() {
		var d vedette.Detection
		if json.Unmarshal(m.Data(), &d) != nil {
			continue // of a version that this one does not know
		}
		out.Looked++
		if d.Objects != nil {
			for _, o := range *d.Objects {
				labels[o.Label] = true
			}
		}
		if d.Classes != nil && len(*d.Classes) > 0 {
			labels[(*d.Classes)[0].Label] = true
		}
	}
	out.Labels = slices.Sorted(maps.Keys(labels))
	return batch.Error()
}
