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

// Status is what one instance says of itself: in "vedette status --format
// json", and as the data of its NATS micro service.
type Status struct {
	Site    string         `json:"site"`
	Host    string         `json:"host"`
	PID     int            `json:"pid"`
	Started vedette.Time   `json:"started"`
	Time    vedette.Time   `json:"time"`
	Cameras []CameraStatus `json:"cameras"`
	Models  []ModelStatus  `json:"models"`
	// Degraded says that detections are published but cannot be stored.
	Degraded bool `json:"degraded"`
	// Bus counts what went wrong on the bus.
	Bus BusStatus `json:"bus"`
}

// CameraStatus is the state and the accounts of one camera.
type CameraStatus struct {
	ID         string       `json:"id"`
	Source     string       `json:"source"` // redacted
	Delivery   string       `json:"delivery"`
	Phase      string       `json:"phase"`
	Reason     string       `json:"reason"`
	Since      vedette.Time `json:"since"`
	FPS        float64      `json:"fps"` // the source's own rate; 0: unknown
	Reconnects uint64       `json:"reconnects"`
	Restarts   uint64       `json:"restarts"`
	// Accounts by model.
	Accounts map[string]preprocess.Counts `json:"accounts"`
}

// ModelStatus is a loaded model.
type ModelStatus struct {
	vedette.ModelRef
	Workers  int    `json:"workers"`
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

// Status is a snapshot of everything. It may be called at any time until
// Close.
func (p *Pipeline) Status() Status {
	c := p.bus.Counters()
	s := Status{
		Site: p.cfg.Site, Host: p.cfg.Host, PID: os.Getpid(), Started: vedette.At(p.began), Time: vedette.At(time.Now()),
		Degraded: p.writer.Degraded(),
		Bus: BusStatus{
			Address: p.bus.Address(), Disconnects: c.Disconnects.Load(), Reconnects: c.Reconnects.Load(),
			SlowConsumers: c.SlowConsumers.Load(), Errors: c.Errors.Load(),
		},
	}
	accounts := p.owner.Accounts()
	p.mu.Lock()
	for _, cam := range p.cfg.Cameras {
		st := p.states[cam.Ingest.ID]
		s.Cameras = append(s.Cameras, CameraStatus{
			ID: cam.Ingest.ID, Source: cam.Ingest.Source.String(), Delivery: string(cam.Owner.Delivery),
			Phase: string(cmp.Or(st.Phase, ingest.Connecting)), Reason: st.Reason, Since: vedette.At(st.Since), FPS: st.FPS,
			Reconnects: st.Reconnects, Restarts: st.Restarts, Accounts: accounts[cam.Ingest.ID],
		})
	}
	p.mu.Unlock()
	for _, m := range p.served {
		s.Models = append(s.Models, ModelStatus{ModelRef: m.Pool.Ref(), Workers: m.Pool.Workers(), Fallback: m.Fallback})
	}
	slices.SortFunc(s.Models, func(a, b ModelStatus) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

var errDegraded = errors.New("detections cannot be stored: check the space and the limits of the store")

// Ready says whether the pipeline does its work: every model is loaded, and
// the store takes detections. Cameras may be away.
func (p *Pipeline) Ready() error {
	if p.writer.Degraded() {
		return errDegraded
	}
	return nil
}
