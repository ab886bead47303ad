package pipeline

import (
	"cmp"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/preprocess"
)

// Phases of an instance's life, as its announcements have them.
const (
	Birth  = "birth"
	Health = "health" // every second
	Death  = "death"  // it stopped by itself; one that was killed falls silent
)

// Status is what one instance says of itself: on its status subject every
// second, in "vedette status --format json", and as the data of its NATS micro
// service.
type Status struct {
	// Stage is ingest, preprocess or infer, or run for all of them in one.
	Stage    string         `json:"stage"`
	Instance string         `json:"instance"` // unique on the bus
	State    string         `json:"state"`    // birth, health or death
	Version  string         `json:"version"`
	Site     string         `json:"site"`
	Host     string         `json:"host"`
	PID      int            `json:"pid"`
	Started  vedette.Time   `json:"started"`
	Time     vedette.Time   `json:"time"`
	Cameras  []CameraStatus `json:"cameras"`
	Models   []ModelStatus  `json:"models"`
	// Degraded says that detections are published but cannot be stored.
	Degraded bool `json:"degraded"`
	// Bus counts what went wrong on the bus.
	Bus BusStatus `json:"bus"`
}

// CameraStatus is the state of one camera, from the instance that captures it,
// and its accounts, from its owner.
type CameraStatus struct {
	ID         string       `json:"id"`
	Source     string       `json:"source"` // redacted
	Delivery   string       `json:"delivery"`
	Phase      string       `json:"phase"` // empty: captured elsewhere
	Reason     string       `json:"reason"`
	Since      vedette.Time `json:"since"`
	FPS        float64      `json:"fps"` // the source's own rate; 0: unknown
	Reconnects uint64       `json:"reconnects"`
	Restarts   uint64       `json:"restarts"`
	// PlannedRestarts are those of capture processes that would have taken too
	// much; Reason says what.
	PlannedRestarts uint64 `json:"planned_restarts"`
	// Accounts by model; none: owned elsewhere.
	Accounts map[string]preprocess.Counts `json:"accounts,omitempty"`
}

// ModelStatus is a loaded model.
type ModelStatus struct {
	vedette.ModelRef
	Workers int `json:"workers"`
	// Credits is how many requests this instance wants at a time, of all owners
	// together; 0: no more, it is about to stop.
	Credits  int    `json:"credits"`
	Fallback string `json:"fallback,omitempty"`
}

// BusStatus counts what went wrong on the bus.
type BusStatus struct {
	Address       string `json:"address"`
	Disconnects   uint64 `json:"disconnects"`
	Reconnects    uint64 `json:"reconnects"`
	SlowConsumers uint64 `json:"slow_consumers"`
	Errors        uint64 `json:"errors"`
}

// Status is a snapshot of everything that this process does. It may be called
// at any time until Close.
func (p *Pipeline) Status() Status {
	c := p.bus.Counters()
	s := Status{
		Stage: p.cfg.Stages.name(), Instance: p.instance, State: Health, Version: p.deps.Version,
		Site: p.cfg.Site, Host: p.cfg.Host, PID: os.Getpid(), Started: vedette.At(p.began), Time: vedette.At(time.Now()),
		Degraded: p.writer != nil && p.writer.Degraded(),
		Bus: BusStatus{
			Address: p.bus.Address(), Disconnects: c.Disconnects.Load(), Reconnects: c.Reconnects.Load(),
			SlowConsumers: c.SlowConsumers.Load(), Errors: c.Errors.Load(),
		},
	}
	s.Cameras = p.cameraStatus()
	for _, m := range p.served {
		credits := m.Pool.Credits()
		if p.leaving.Load() {
			credits = 0
		}
		s.Models = append(s.Models, ModelStatus{ModelRef: m.Pool.Ref(), Workers: m.Pool.Workers(), Credits: credits, Fallback: m.Fallback})
	}
	slices.SortFunc(s.Models, func(a, b ModelStatus) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

func (p *Pipeline) cameraStatus() []CameraStatus {
	var accounts map[string]map[string]preprocess.Counts
	switch {
	case p.owner != nil:
		accounts = p.owner.Accounts()
	case !p.runs.Ingest:
		return nil
	}
	var all []CameraStatus
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, cam := range p.cfg.Cameras {
		st := p.states[cam.Ingest.ID]
		s := CameraStatus{
			ID: cam.Ingest.ID, Source: cam.Ingest.Source.String(), Delivery: string(cam.Owner.Delivery), Accounts: accounts[cam.Ingest.ID],
		}
		if p.runs.Ingest {
			s.Phase, s.Reason, s.Since, s.FPS = string(cmp.Or(st.Phase, ingest.Connecting)), st.Reason, vedette.At(st.Since), st.FPS
			s.Reconnects, s.Restarts, s.PlannedRestarts = st.Reconnects, st.Restarts, st.Planned
		}
		all = append(all, s)
	}
	return all
}

var errDegraded = errors.New("detections cannot be stored: check the space and the limits of the store")

// Ready says whether the pipeline does its work: every model is loaded, and
// the store takes detections. Cameras may be away.
func (p *Pipeline) Ready() error {
	if p.writer != nil && p.writer.Degraded() {
		return errDegraded
	}
	return nil
}
