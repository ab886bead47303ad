package pipeline

import (
	"cmp"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/obs"
	"github.com/vedette-io/vedette/internal/supervise"
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
	// Uses are the editions of models that this owner needs somebody to serve.
	Uses []ModelUse `json:"uses,omitempty"`
	// Stages is how long frames spent in each, of all cameras together: capture,
	// judge, preprocess, queue, infer, postprocess, publish. The owner says so.
	Stages []obs.StageTiming `json:"stages,omitempty"`
	// BoundsMillis are the upper bounds of the buckets of all timings.
	BoundsMillis []float64 `json:"bounds_ms"`
	// Store is where the server inside this process keeps what is published.
	Store *StoreStatus `json:"store,omitempty"`
	// Spool is that of the lossless frames of this instance's live cameras.
	Spool *SpoolStatus `json:"spool,omitempty"`
	// Degraded says that detections are published but cannot be stored.
	Degraded bool `json:"degraded"`
	// Bus counts what went wrong on the bus.
	Bus BusStatus `json:"bus"`
	// Processes are the stages that a supervisor keeps running.
	Processes []supervise.Status `json:"processes,omitempty"`
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
	// Degraded says, by model, why the camera is not looked at with it: the model
	// was taken out. Only its owner says so.
	Degraded map[string]string `json:"degraded,omitempty"`
	// Rates are those of the last seconds, by model.
	Rates map[string]obs.Rates `json:"rates,omitempty"`
	// Latency is the time from capture (decoded) to publication, by model.
	Latency map[string]obs.Timing `json:"latency,omitempty"`
}

// StoreStatus is the store of the server inside the process.
type StoreStatus struct {
	Path     string `json:"path"` // empty: a temporary one
	MaxBytes int64  `json:"max_bytes"`
}

// How an owner uses an edition of a model.
const (
	UseNow     = "now"     // frames are inferred with it
	UseWanted  = "wanted"  // as soon as somebody serves it
	UseLeaving = "leaving" // frames that were sent to it are still under way
)

// ModelUse is an edition of a model that an owner needs somebody to serve.
type ModelUse struct {
	Name    string `json:"name"`
	SHA256  string `json:"sha256"`
	Edition string `json:"edition"`
	State   string `json:"state"` // now, wanted or leaving
	// Since is since when it is wanted.
	Since   *vedette.Time `json:"since,omitempty"`
	Cameras int           `json:"cameras,omitempty"`
}

// StateLoading is the state of a model that is being loaded, beside the others
// of [infer.State]. With a reason that has failed, and is tried again.
const StateLoading = "loading"

// ModelStatus is a loaded model.
type ModelStatus struct {
	vedette.ModelRef
	// Edition names what the model answers: its file and its manifest.
	Edition string `json:"edition"`
	// Leaving says that the model was replaced or removed, and is served for as
	// long as owners use it.
	Leaving bool `json:"leaving,omitempty"`
	Workers int  `json:"workers"`
	// Credits is how many requests this instance wants at a time, of all owners
	// together; 0: no more, it is about to stop.
	Credits  int    `json:"credits"`
	Fallback string `json:"fallback,omitempty"`
	// Runs is how long runs of the engine took.
	Runs obs.Timing `json:"runs"`
	// State is ok; loading: it does not answer yet; reloading: it kept failing and is
	// being loaded anew; or out: that did not help, and its cameras are not looked at
	// with it for a while.
	State  string       `json:"state"`
	Reason string       `json:"reason,omitempty"` // of a state other than ok
	Since  vedette.Time `json:"since"`
	// Batches are the batch sizes that are prepared.
	Batches []int   `json:"batches"`
	Weight  float64 `json:"weight"`
	// Failures counts runs that gave no answer: CutOff those of them that took
	// too long, GivenUp those that did not heed that. Hanging of the latter go
	// on. Reloads is how often the model was loaded anew.
	Failures uint64 `json:"failures"`
	CutOff   uint64 `json:"cut_off"`
	GivenUp  uint64 `json:"given_up"`
	Hanging  int    `json:"hanging"`
	Reloads  uint64 `json:"reloads"`
}

// Trouble says what is wrong with the model; empty: nothing.
func (m *ModelStatus) Trouble() string {
	if m.State == "" || m.State == string(infer.StateOK) || m.State == StateLoading && m.Reason == "" { // or an older instance
		return ""
	}
	return m.State + ": " + m.Reason
}

// status is what this instance says of the model.
func (s *Served) status() ModelStatus {
	h := s.Pool.Health()
	return ModelStatus{
		ModelRef: s.Pool.Ref(), Edition: s.edition, Leaving: s.state.Load() != serves, Workers: s.Pool.Workers(), Credits: s.Pool.Credits(), Fallback: s.Fallback,
		State: string(h.State), Reason: h.Reason, Since: vedette.At(h.Since), Batches: s.Pool.Sizes(), Weight: cmp.Or(s.weight, 1),
		Failures: h.Failures, CutOff: h.CutOff, GivenUp: h.GivenUp, Hanging: h.Hanging, Reloads: h.Reloads,
	}
}

// BusStatus counts what went wrong on the bus.
type BusStatus struct {
	Address       string `json:"address"`
	Disconnects   uint64 `json:"disconnects"`
	Reconnects    uint64 `json:"reconnects"`
	SlowConsumers uint64 `json:"slow_consumers"`
	Errors        uint64 `json:"errors"`
	// Hub is the plant's server, where this host's, in this process, is a leaf node.
	Hub *HubStatus `json:"hub,omitempty"`
}

// HubStatus is how it stands with the plant's server.
type HubStatus struct {
	Domain    string       `json:"domain"`
	Connected bool         `json:"connected"` // since Since
	Since     vedette.Time `json:"since"`
	// Collects says that the hub has, or is getting, the detections that are stored
	// here; Waiting is how many it lacks, as far as is known.
	Collects bool   `json:"collects"`
	Waiting  uint64 `json:"waiting"`
	Reason   string `json:"reason,omitempty"` // why it is not connected, or does not collect
}

// hubStatus says how it stands with the hub; nil: there is none, or another
// process knows.
func hubStatus(s *bus.HubState) *HubStatus {
	if s == nil {
		return nil
	}
	return &HubStatus{Domain: s.Domain, Connected: s.Connected, Since: vedette.At(s.Since), Collects: s.Collects, Waiting: s.Waiting, Reason: s.Problem}
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
			SlowConsumers: c.SlowConsumers.Load(), Errors: c.Errors.Load(), Hub: hubStatus(p.bus.HubState()),
		},
	}
	s.BoundsMillis = obs.BoundsMillis()
	if p.cfg.Bus.URL == "" {
		s.Store = &StoreStatus{Path: p.cfg.Bus.Store, MaxBytes: p.cfg.Bus.MaxStore}
	}
	if p.owner != nil {
		s.Stages = p.deps.Metrics.Stages()
		s.Spool = p.spoolStatus()
	}
	s.Cameras = p.cameraStatus()
	s.Models, s.Uses = p.modelStatus(), p.uses()
	return s
}

// modelStatus is what is served here, or about to be: of each name the current
// one first.
func (p *Pipeline) modelStatus() (all []ModelStatus) {
	for _, svc := range p.services() {
		for _, one := range svc.all() {
			st := one.status()
			if p.leaving.Load() {
				st.Credits = 0
			}
			if !st.Leaving {
				st.Runs = p.deps.Metrics.Runs(st.Name)
			}
			all = append(all, st)
		}
	}
	p.mu.Lock()
	for _, st := range p.loading {
		all = append(all, *st)
	}
	p.mu.Unlock()
	slices.SortStableFunc(all, func(a, b ModelStatus) int { return cmp.Compare(a.Name, b.Name) })
	return all
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
		if p.owner != nil {
			s.Degraded = p.degraded(cam)
		}
		if p.runs.Ingest {
			s.Phase, s.Reason, s.Since, s.FPS = string(cmp.Or(st.Phase, ingest.Connecting)), st.Reason, vedette.At(st.Since), st.FPS
			s.Reconnects, s.Restarts, s.PlannedRestarts = st.Reconnects, st.Restarts, st.Planned
		}
		if len(s.Accounts) > 0 {
			s.Rates, s.Latency = map[string]obs.Rates{}, map[string]obs.Timing{}
		}
		for model := range s.Accounts {
			s.Rates[model] = p.deps.Metrics.Rates(s.ID, model)
			s.Latency[model] = p.deps.Metrics.Latency(s.ID, model)
		}
		all = append(all, s)
	}
	return all
}

// degraded says which of a camera's models were taken out.
func (p *Pipeline) degraded(cam Camera) map[string]string {
	var out map[string]string
	for _, d := range cam.Owner.Detect {
		if why := p.roster.out(p.roster.used(d.Model)); why != "" {
			if out == nil {
				out = map[string]string{}
			}
			out[d.Model] = why
		}
	}
	return out
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
