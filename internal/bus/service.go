package bus

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/vedette-io/vedette"
)

// ServiceName is the name under which every instance of a stage is found with
// the NATS micro services API (ADR-32), for example by "nats micro ls".
const ServiceName = "vedette"

// Metadata keys that AddService fills itself.
const (
	metaPrefix  = "prefix"  // subject prefix, so that sites on one bus are told apart
	metaVersion = "version" // the version as given, also where it is no semantic one
)

// ServiceStat is what one instance of a stage says about itself.
type ServiceStat struct {
	ID       string            `json:"id"`
	Version  string            `json:"version"`
	Metadata map[string]string `json:"metadata"`
	Started  time.Time         `json:"started"`
	// Data is the JSON of what the instance's stats function returned.
	Data json.RawMessage `json:"data"`
}

// AddService makes this process discoverable. metadata says what it is (stage,
// host); stats, which may be called from any goroutine, returns what it does,
// as a value that encodes to JSON. stop takes it off again; closing the bus
// does, too.
func (b *Bus) AddService(name, version string, metadata map[string]string, stats func() any) (stop func() error, err error) {
	meta := maps.Clone(metadata)
	if meta == nil {
		meta = map[string]string{}
	}
	meta[metaPrefix], meta[metaVersion] = b.prefix(), version
	svc, err := micro.AddService(b.control, micro.Config{
		Name: name, Version: semanticVersion(version), Metadata: meta,
		Description:  "streaming video-frame recognition",
		StatsHandler: func(*micro.Endpoint) any { return stats() },
		ErrorHandler: func(_ micro.Service, e *micro.NATSError) {
			b.log.Warn("service", "subject", e.Subject, "error", e.Description)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("announce service %s: %w", name, err)
	}
	// The API gives statistics by endpoint, so there must be one. Asked
	// directly, it answers with the same statistics.
	err = svc.AddEndpoint("stats", micro.HandlerFunc(func(r micro.Request) {
		if err := r.RespondJSON(stats()); err != nil {
			b.log.Warn("service statistics not sent", "error", err)
		}
	}), micro.WithEndpointSubject(b.subjects.Service(svc.Info().ID)), micro.WithEndpointQueueGroupDisabled())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("announce service %s: %w", name, err), svc.Stop())
	}
	return svc.Stop, b.control.Flush()
}

// ServiceStats asks every instance on this site for its statistics and gathers
// the answers that come within wait, sorted by stage, host and id. That nobody
// is there is no error.
func (b *Bus) ServiceStats(ctx context.Context, wait time.Duration) ([]ServiceStat, error) {
	subject, err := micro.ControlSubject(micro.StatsVerb, ServiceName, "")
	if err != nil {
		return nil, err
	}
	inbox := b.control.NewInbox()
	sub, err := b.control.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("ask for service statistics: %w", err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // it fails only with the connection
	asking, answered := b.denials.watch(ctx, subject)
	defer answered()
	if err := b.control.PublishRequest(subject, inbox, nil); err != nil {
		return nil, fmt.Errorf("ask for service statistics: %w", err)
	}
	within, cancel := context.WithTimeout(asking, wait)
	defer cancel()
	var found []ServiceStat
	for {
		m, err := sub.NextMsgWithContext(within)
		switch {
		case err != nil && asking.Err() != nil: // ctx ended, or we may not ask
			return nil, context.Cause(asking)
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrNoResponders):
			slices.SortFunc(found, func(x, y ServiceStat) int {
				return cmp.Or(cmp.Compare(x.Metadata["stage"], y.Metadata["stage"]),
					cmp.Compare(x.Metadata["host"], y.Metadata["host"]), cmp.Compare(x.ID, y.ID))
			})
			return found, nil
		case err != nil:
			return nil, fmt.Errorf("gather service statistics: %w", err)
		}
		var s micro.Stats
		if err := json.Unmarshal(m.Data, &s); err != nil {
			b.log.Warn("service statistics not understood", "error", err)
			continue
		}
		if s.Metadata[metaPrefix] != b.prefix() {
			continue // another site on the same bus
		}
		stat := ServiceStat{ID: s.ID, Version: s.Metadata[metaVersion], Metadata: s.Metadata, Started: s.Started}
		if len(s.Endpoints) > 0 {
			stat.Data = s.Endpoints[0].Data
		}
		found = append(found, stat)
	}
}

func (b *Bus) prefix() string { return cmp.Or(b.subjects.Prefix, vedette.DefaultPrefix) }

// semanticVersion turns a build's version into one that the services API
// accepts: "v1.2.3-dirty" becomes 1.2.3, what is none ("devel") becomes 0.0.0.
func semanticVersion(v string) string {
	if m := regexp.MustCompile(`^v?((?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*))(?:[-+]|$)`).FindStringSubmatch(v); m != nil {
		return m[1]
	}
	return "0.0.0"
}
