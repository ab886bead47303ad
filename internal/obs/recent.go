package obs

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// RecentSeconds is how far back rates and quantiles of [Timing] look.
const RecentSeconds = 10

// recentSamples is how many durations are kept for quantiles: those of ten
// seconds at 25 a second, fewer seconds where more come.
const recentSamples = 256

// buckets are the upper bounds of all histograms, in seconds: from 1 ms, where
// a stage is no cost, to 5 s, where a frame is of no use any more; 0.1 and 0.3
// are the latency budgets.
func buckets() []float64 {
	return []float64{0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5}
}

// BoundsMillis are the upper bounds of the buckets of a [Timing].
func BoundsMillis() []float64 {
	bounds := buckets()
	for i := range bounds {
		bounds[i] *= 1000
	}
	return bounds
}

// Timing is how long something took: a histogram since the start, and what was
// lately.
type Timing struct {
	Count     uint64  `json:"count"`
	SumMillis float64 `json:"sum_ms"`
	// Counts are those of the buckets of [BoundsMillis], each without the ones
	// before it; one more counts what is beyond.
	Counts []uint64 `json:"counts"`
	// PerSecond and the quantiles are of the last [RecentSeconds]; 0 if there
	// was nothing.
	PerSecond float64 `json:"per_s"`
	P50Millis float64 `json:"p50_ms"`
	P99Millis float64 `json:"p99_ms"`
}

// StageTiming is how long frames spent in a stage, of all cameras together.
type StageTiming struct {
	Stage string `json:"stage"`
	Model string `json:"model,omitempty"` // empty: done once for all models
	Timing
}

// Rates are frames a second, lately.
type Rates struct {
	Captured float64 `json:"captured"`
	Inferred float64 `json:"inferred"`
}

// key is what something is measured of; camera, model and stage are empty where
// it is measured of all together.
type key struct{ kind, stage, camera, model string }

// Kinds of what is measured.
const (
	kindStage    = "stage"
	kindLatency  = "latency"
	kindEngine   = "engine"
	kindCaptured = "captured"
	kindInferred = "inferred"
)

// recent keeps what the status of a running program shows. It is not taken
// from the registry, which knows no lately.
type recent struct {
	now    func() time.Time
	bounds []float64

	mu      sync.Mutex
	timings map[key]*timing
	rates   map[key]*window
}

func newRecent() *recent {
	return &recent{now: time.Now, bounds: buckets(), timings: map[key]*timing{}, rates: map[key]*window{}}
}

// timing is a Timing at work.
type timing struct {
	counts  []uint64
	sum     float64 // seconds
	window  window
	samples []sample // the newest is before next
	next    int
}

type sample struct {
	at      time.Time
	seconds float64
}

func (r *recent) observe(k key, d time.Duration) {
	s, now := seconds(d), r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.timings[k]
	if t == nil {
		t = &timing{counts: make([]uint64, len(r.bounds)+1), window: window{began: now}}
		r.timings[k] = t
	}
	at, _ := slices.BinarySearch(r.bounds, s)
	t.counts[at]++
	t.sum += s
	t.window.add(now, 1)
	if len(t.samples) < recentSamples {
		t.samples = append(t.samples, sample{now, s})
		return
	}
	t.samples[t.next] = sample{now, s}
	t.next = (t.next + 1) % recentSamples
}

func (r *recent) count(k key, n uint64) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.rates[k]
	if w == nil {
		w = &window{began: now}
		r.rates[k] = w
	}
	w.add(now, n)
}

func (r *recent) rate(k key) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.rates[k]; w != nil {
		return w.perSecond(r.now())
	}
	return 0
}

// timing returns the Timing of a key.
func (r *recent) timing(k key) Timing {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.timings[k].read(r.now())
}

// read works out a Timing; that of nothing is zero.
func (t *timing) read(now time.Time) Timing {
	out := Timing{Counts: make([]uint64, len(buckets())+1)}
	if t == nil {
		return out
	}
	copy(out.Counts, t.counts)
	for _, n := range t.counts {
		out.Count += n
	}
	out.SumMillis = millis(t.sum)
	out.PerSecond = t.window.perSecond(now)
	var lately []float64
	for _, s := range t.samples {
		if now.Sub(s.at) <= RecentSeconds*time.Second {
			lately = append(lately, s.seconds)
		}
	}
	slices.Sort(lately)
	out.P50Millis, out.P99Millis = quantile(lately, 0.5), quantile(lately, 0.99)
	return out
}

// quantile is the nearest rank of sorted seconds, in milliseconds.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return millis(sorted[min(len(sorted)-1, int(q*float64(len(sorted))))])
}

// millis rounds to a microsecond.
func millis(seconds float64) float64 { return float64(int64(seconds*1e6+0.5)) / 1000 }

// stages are the timings of stages, sorted.
func (r *recent) stages() []StageTiming {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []StageTiming
	for k, t := range r.timings {
		if k.kind == kindStage {
			out = append(out, StageTiming{Stage: k.stage, Model: k.model, Timing: t.read(r.now())})
		}
	}
	slices.SortFunc(out, func(a, b StageTiming) int {
		return cmp.Or(strings.Compare(a.Model, b.Model), strings.Compare(a.Stage, b.Stage))
	})
	return out
}

func (r *recent) forget(which func(key) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.timings, func(k key, _ *timing) bool { return which(k) })
	maps.DeleteFunc(r.rates, func(k key, _ *window) bool { return which(k) })
}

// window counts by second, for as many as rates look back, and the one that is
// not over yet.
type window struct {
	began   time.Time
	seconds [RecentSeconds + 1]int64
	counts  [RecentSeconds + 1]uint64
}

func (w *window) add(now time.Time, n uint64) {
	second := now.Unix()
	i := second % int64(len(w.counts))
	if w.seconds[i] != second {
		w.seconds[i], w.counts[i] = second, 0
	}
	w.counts[i] += n
}

// perSecond is the rate over the last whole seconds, or over the time since the
// first was counted where that is less.
func (w *window) perSecond(now time.Time) float64 {
	until := now.Unix() // this second is not over
	from := max(until-RecentSeconds, w.began.Unix())
	if from == until { // it began just now
		from, until = until, until+1
	}
	sum := uint64(0)
	for i, second := range w.seconds {
		if second >= from && second < until {
			sum += w.counts[i]
		}
	}
	return float64(sum) / float64(until-from)
}
