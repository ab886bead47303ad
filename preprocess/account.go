package preprocess

import (
	"maps"
	"sync"
)

// Reasons a frame is dropped for. A drop without a reason is a bug.
const (
	DropSampled     = "sampled"     // a lower rate was asked for
	DropStale       = "stale"       // a newer frame took its place (delivery latest)
	DropBus         = "bus"         // lost between ingest and preprocess
	DropOverwritten = "overwritten" // its ring slot was reused before it was read
	DropNoWorker    = "no_worker"   // nobody serves the model
	DropModelOut    = "model_out"   // the model keeps failing and was taken out
	DropShutdown    = "shutdown"    // the pipeline stopped first
	DropUnpublished = "unpublished" // the bus refused its result
	DropRestart     = "restart"     // captured while the camera had no owner
	DropStored      = "stored"      // an earlier owner published its result
)

// Counts is the account of one camera and model:
//
//	Captured = Gated + ΣDropped + Expired + Unfit + Failed + Inferred + InFlight
type Counts struct {
	Captured  uint64            `json:"captured"`
	Gated     uint64            `json:"gated"`
	Dropped   map[string]uint64 `json:"dropped"`
	Expired   uint64            `json:"expired"`
	Unfit     uint64            `json:"unfit"`
	Failed    uint64            `json:"failed"`
	Inferred  uint64            `json:"inferred"`
	InFlight  uint64            `json:"in_flight"`
	SourceGap uint64            `json:"source_gap"`
	// Unstored counts results, of the frames above, that were published live while
	// the store refused them: the stream lacks them, but for one that it took
	// without saying so.
	Unstored uint64 `json:"unstored"`
}

// Balance is Captured minus everything it must equal: zero, always.
func (c Counts) Balance() int64 {
	sum := c.Gated + c.Expired + c.Unfit + c.Failed + c.Inferred + c.InFlight
	for _, n := range c.Dropped {
		sum += n
	}
	return int64(c.Captured) - int64(sum)
}

// outcome is what finally became of a frame.
type outcome int

const (
	outGated outcome = iota
	outDropped
	outExpired
	outUnfit
	outFailed
	outInferred
)

// account keeps [Counts]: frames enter once and leave once.
type account struct {
	mu sync.Mutex
	c  Counts
	// entered and left, when set, mirror the account to the metrics.
	entered func(n uint64)
	left    func(result, reason string, n uint64)
}

var outcomeNames = [...]string{"gated", "dropped", "expired", "unfit", "failed", "inferred"}

func (a *account) enter(n uint64) {
	a.mu.Lock()
	a.c.Captured += n
	a.c.InFlight += n
	a.mu.Unlock()
	if a.entered != nil {
		a.entered(n)
	}
}

func (a *account) sourceGap(n uint64) {
	a.mu.Lock()
	a.c.SourceGap += n
	a.mu.Unlock()
}

func (a *account) unstored() {
	a.mu.Lock()
	a.c.Unstored++
	a.mu.Unlock()
}

func (a *account) leave(out outcome, reason string, n uint64) {
	if n == 0 {
		return
	}
	a.mu.Lock()
	a.c.InFlight -= n
	switch out {
	case outGated:
		a.c.Gated += n
	case outDropped:
		if a.c.Dropped == nil {
			a.c.Dropped = map[string]uint64{}
		}
		a.c.Dropped[reason] += n
	case outExpired:
		a.c.Expired += n
	case outUnfit:
		a.c.Unfit += n
	case outFailed:
		a.c.Failed += n
	case outInferred:
		a.c.Inferred += n
	}
	a.mu.Unlock()
	if a.left != nil {
		a.left(outcomeNames[out], reason, n)
	}
}

// counts is a snapshot.
func (a *account) counts() Counts {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.c
	c.Dropped = maps.Clone(c.Dropped)
	if c.Dropped == nil {
		c.Dropped = map[string]uint64{}
	}
	return c
}
