package bus

import (
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A stream of detections takes what is published on their subjects, as
// everybody who listens does. Where servers are connected as hub and leaf nodes
// that would be wrong: what is published on a host is heard at the hub, too,
// whose stream would take it a second time, besides what it collects of the
// host's stream, and would answer the writer as if it were the host's.
//
// So there what is stored and what is heard are apart: the writer gives a
// detection to the stream on a subject of its own, which never leaves the
// server's side of a leaf node, and publishes it for those who listen. The
// stream knows it by the same subject in both cases, so that readers need not
// care. Which case it is says the stream's configuration, and writers follow it.

// setApart makes want take detections on a subject of their own.
func (b *Bus) setApart(want *jetstream.StreamConfig) {
	want.Subjects = []string{b.subjects.StoreDetection("*", "*")}
	want.SubjectTransform = &jetstream.SubjectTransformConfig{
		Source: b.subjects.StoreDetection("*", "*"), Destination: b.subjects.Detection("{{wildcard(1)}}", "{{wildcard(2)}}"),
	}
}

// isApart reports whether a stream takes detections on a subject of their own.
func (b *Bus) isApart(have jetstream.StreamConfig) bool {
	return slices.Equal(have.Subjects, []string{b.subjects.StoreDetection("*", "*")})
}

// sameIntake brings two configurations of the stream of detections together in
// how they take them: one that is apart stays so, and one that is not becomes
// so if that is wanted, which loses nothing. It reports whether have changed.
func (b *Bus) sameIntake(have, want *jetstream.StreamConfig) (changed bool) {
	switch {
	case b.isApart(*have) && slices.Equal(want.Subjects, []string{b.subjects.Detections()}):
		b.setApart(want)
	case b.isApart(*want) && slices.Equal(have.Subjects, []string{b.subjects.Detections()}):
		b.setApart(have)
		return true
	}
	return false
}

// joinable makes the configuration of a hub's stream one that collects what
// hosts stored, if it is one of detections at all.
func (b *Bus) joinable(have *jetstream.StreamConfig) error {
	want := b.detections(Limits{})
	b.setApart(&want)
	b.sameIntake(have, &want)
	if b.isApart(*have) {
		b.setApart(have) // an older server may have left out the transform
	}
	return differences(*have, want)
}

// intake is where a detection of subject is given to the stream.
func (b *Bus) intake(subject string) string {
	if !b.apart.Load() {
		return subject
	}
	camera, model, err := b.subjects.ParseDetection(subject)
	if err != nil {
		return subject // it was built by this program
	}
	return b.subjects.StoreDetection(camera, model)
}

// lookIntake asks how the stream takes detections by now: a hub's changes when
// the first host becomes a leaf node of it.
func (b *Bus) lookIntake(ctx context.Context, wait time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	stream, err := b.js.Stream(ctx, b.subjects.Stream("detections"))
	if err != nil {
		return // asked again with the next attempt
	}
	if apart := b.isApart(stream.CachedInfo().Config); apart != b.apart.Swap(apart) {
		b.log.Info("the stream of detections takes them on another subject now", "apart", apart)
	}
}
