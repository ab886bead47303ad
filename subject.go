package vedette

import (
	"fmt"
	"strings"
)

// DefaultPrefix is the first token of every subject unless a site chooses
// another, so that several sites can share one bus.
const DefaultPrefix = "vedette"

// Subjects builds and parses the subjects of one site. It is the only place
// that knows their shape. The zero value uses [DefaultPrefix].
//
// Arguments must have passed [CheckID]; labels go through [Slug].
type Subjects struct{ Prefix string }

// CheckPrefix reports whether p can be used as a prefix: one id, or several
// joined by dots.
func CheckPrefix(p string) error {
	for token := range strings.SplitSeq(p, ".") {
		if err := CheckID(token); err != nil {
			return fmt.Errorf("subject prefix %q: %w", p, err)
		}
	}
	return nil
}

func (s Subjects) join(tokens ...string) string {
	p := s.Prefix
	if p == "" {
		p = DefaultPrefix
	}
	return p + "." + strings.Join(tokens, ".")
}

// All matches every subject of the site.
func (s Subjects) All() string { return s.join(">") }

// Frame carries references to the frames of a camera captured on host.
func (s Subjects) Frame(host, camera string) string { return s.join("frame", host, camera) }

// FramesOf matches every frame captured on host.
func (s Subjects) FramesOf(host string) string { return s.join("frame", host, ">") }

// Tensor carries the requests to one instance of a stage that serves model.
func (s Subjects) Tensor(model, instance string) string { return s.join("tensor", model, instance) }

// Work carries the frames of a lossless live camera that wait on their host's
// disk for inference by model.
func (s Subjects) Work(host, camera, model string) string {
	return s.join("work", host, camera, model)
}

// WorkOf matches everything that waits on host.
func (s Subjects) WorkOf(host string) string { return s.join("work", host, ">") }

// ParseWork returns the camera and model of a work subject of host.
func (s Subjects) ParseWork(host, subject string) (camera, model string, err error) {
	rest, ok := strings.CutPrefix(subject, s.join("work", host)+".")
	if ok {
		camera, model, ok = strings.Cut(rest, ".")
	}
	if !ok || CheckID(camera) != nil || CheckID(model) != nil {
		return "", "", fmt.Errorf("subject %q is not %s", subject, s.join("work", host, "<camera>", "<model>"))
	}
	return camera, model, nil
}

// Detection carries the results of model on camera, in frame order.
func (s Subjects) Detection(camera, model string) string { return s.join("detection", camera, model) }

// StoreDetection is where a detection is given to a stream that has subscribers
// behind more than one server: it becomes [Subjects.Detection] in there. What is
// published for those who listen is another message.
func (s Subjects) StoreDetection(camera, model string) string {
	return s.join("store", "detection", camera, model)
}

// Gather is below which a host's server sends what a hub collects.
func (s Subjects) Gather(host string) string { return s.join("gather", host) }

// Pull is below which a hub asks a host's server for it; generation is that of
// the host's store, see package bus.
func (s Subjects) Pull(host, generation string) string { return s.join("pull", host, generation) }

// Detections matches the results of every camera and model.
func (s Subjects) Detections() string { return s.join("detection", ">") }

// Track carries the tracked objects of a camera, frame by frame.
func (s Subjects) Track(camera string) string { return s.join("track", camera) }

// Event carries one kind of event of a camera; label is slugged.
func (s Subjects) Event(camera, typ, label string) string {
	return s.join("event", camera, typ, Slug(label))
}

// Events matches every event.
func (s Subjects) Events() string { return s.join("event", ">") }

// Result carries the verdicts of an inspection station.
func (s Subjects) Result(station string) string { return s.join("result", station) }

// Results matches every verdict.
func (s Subjects) Results() string { return s.join("result", ">") }

// Trigger carries the triggers of an inspection station.
func (s Subjects) Trigger(station string) string { return s.join("trigger", station) }

// Status carries birth, health and death of one instance of a stage.
func (s Subjects) Status(stage, instance string) string { return s.join("status", stage, instance) }

// Statuses matches the status of every instance of every stage.
func (s Subjects) Statuses() string { return s.join("status", ">") }

// Reload asks every instance to read its configuration again.
func (s Subjects) Reload() string { return s.join("control", "reload") }

// Service answers with the statistics of one discoverable instance; id is the
// instance's id in the NATS micro services API.
func (s Subjects) Service(id string) string { return s.join("service", id) }

// Stream is the name of the JetStream stream for a kind of message
// ("detections", "events", …): the prefix in upper case, an underscore, the
// kind in upper case. Dots of the prefix become underscores, since stream
// names have none.
func (s Subjects) Stream(kind string) string {
	return strings.ToUpper(strings.ReplaceAll(s.join(kind), ".", "_"))
}

// Bucket is the name of a key-value or object bucket.
func (s Subjects) Bucket(kind string) string {
	return strings.ReplaceAll(s.join(kind), ".", "_")
}

// ParseDetection returns the camera and model of a detection subject.
func (s Subjects) ParseDetection(subject string) (camera, model string, err error) {
	rest, ok := strings.CutPrefix(subject, s.join("detection")+".")
	if ok {
		camera, model, ok = strings.Cut(rest, ".")
	}
	if !ok || CheckID(camera) != nil || CheckID(model) != nil {
		return "", "", fmt.Errorf("subject %q is not %s", subject, s.join("detection", "<camera>", "<model>"))
	}
	return camera, model, nil
}

// ParseFrame returns the host and camera of a frame subject.
func (s Subjects) ParseFrame(subject string) (host, camera string, err error) {
	rest, ok := strings.CutPrefix(subject, s.join("frame")+".")
	if ok {
		host, camera, ok = strings.Cut(rest, ".")
	}
	if !ok || CheckID(host) != nil || CheckID(camera) != nil {
		return "", "", fmt.Errorf("subject %q is not %s", subject, s.join("frame", "<host>", "<camera>"))
	}
	return host, camera, nil
}
