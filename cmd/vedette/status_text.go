package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/vedette-io/vedette/internal/obs"
	"github.com/vedette-io/vedette/internal/supervise"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// write shows the plant as text.
func (p *plantStatus) write(w io.Writer) error {
	site := ""
	for _, s := range p.said {
		site = cmp.Or(site, s.Site)
	}
	fmt.Fprintf(w, "site %s on %s\n\n", cmp.Or(site, "-"), p.Server)
	cameras, notes := p.cameras()
	if len(cameras.rows) > 0 {
		if err := cameras.write(w); err != nil {
			return err
		}
		for _, n := range notes {
			fmt.Fprintln(w, n)
		}
		fmt.Fprintln(w)
	}
	for _, t := range []table{p.models(), p.instances(), p.streams()} {
		if len(t.rows) == 0 {
			continue
		}
		if err := t.write(w); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	_, err := fmt.Fprintln(w, p.store())
	return err
}

// mergedCamera is a camera as the instance that captures it and the one that
// owns it say together.
type mergedCamera struct {
	pipeline.CameraStatus
	captured, owned bool
}

func (p *plantStatus) merged() []*mergedCamera {
	byID := map[string]*mergedCamera{}
	for _, s := range p.said {
		for _, c := range s.Cameras {
			m := byID[c.ID]
			if m == nil {
				m = &mergedCamera{}
				byID[c.ID] = m
			}
			m.ID = c.ID
			if c.Phase != "" {
				m.captured = true
				m.Phase, m.Reason, m.Since, m.Reconnects, m.Restarts = c.Phase, c.Reason, c.Since, c.Reconnects, c.Restarts
			}
			if len(c.Accounts) > 0 {
				m.owned = true
				m.Accounts, m.Rates, m.Latency, m.Degraded = c.Accounts, c.Rates, c.Latency, c.Degraded
			}
		}
	}
	var all []*mergedCamera
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		all = append(all, byID[id])
	}
	return all
}

// cameras is the table of cameras and models, and notes what is to be said of
// them in words.
func (p *plantStatus) cameras() (t table, notes []string) {
	t.columns = []column{
		{"CAMERA", false}, {"STATE", false}, {"MODEL", false}, {"CAPT/S", true}, {"INF/S", true}, {"P50/P99 MS", true},
		{"CAPTURED", true}, {"INFERRED", true}, {"NOT INFERRED", false},
	}
	for _, c := range p.merged() {
		state := cmp.Or(c.Phase, "-")
		if !c.owned {
			t.add(c.ID, state, "-", "-", "-", "-", "-", "-", "-")
		}
		for i, model := range slices.Sorted(maps.Keys(c.Accounts)) {
			id := c.ID
			if i > 0 {
				id, state = "", ""
			}
			a := c.Accounts[model]
			t.add(id, state, model, rate(c.Rates[model].Captured), rate(c.Rates[model].Inferred), quantiles(c.Latency[model]),
				fmt.Sprint(a.Captured), fmt.Sprint(a.Inferred), notInferred(a))
		}
		if note := p.note(c); note != "" {
			notes = append(notes, c.ID+": "+note)
		}
	}
	return t, notes
}

// note is what the numbers do not say of a camera.
func (p *plantStatus) note(c *mergedCamera) string {
	var parts []string
	if !c.captured {
		parts = append(parts, "nobody captures it: is vedette ingest running?")
	}
	if !c.owned {
		parts = append(parts, "nobody owns it: is vedette preprocess running?")
	}
	if c.Reason != "" && c.Reason != "eof" {
		parts = append(parts, fmt.Sprintf("%s for %s: %s", c.Phase, span(p.Time.Sub(c.Since.Time)), c.Reason))
	}
	if c.Reconnects > 0 {
		parts = append(parts, "reconnected "+times(c.Reconnects))
	}
	if c.Restarts > 0 {
		parts = append(parts, "capture restarted "+times(c.Restarts))
	}
	for _, model := range slices.Sorted(maps.Keys(c.Degraded)) {
		parts = append(parts, fmt.Sprintf("DEGRADED: model %s is out: %s", model, c.Degraded[model]))
	}
	gaps, unstored := uint64(0), uint64(0)
	for _, a := range c.Accounts {
		gaps = max(gaps, a.SourceGap)
		unstored += a.Unstored
	}
	if unstored > 0 {
		parts = append(parts, fmt.Sprintf("%s published but not stored", count(int(unstored), "result")))
	}
	if gaps > 0 {
		parts = append(parts, fmt.Sprintf("the source itself left out %s", count(int(gaps), "frame")))
	}
	return strings.Join(parts, "; ")
}

func times(n uint64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// notInferred is the rest of an account: what was captured and not inferred.
func notInferred(a preprocess.Counts) string {
	var parts []string
	say := func(what string, n uint64) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", strings.ReplaceAll(what, "_", " "), n))
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(a.Dropped)) {
		say(reason, a.Dropped[reason])
	}
	say("gated", a.Gated)
	say("unfit", a.Unfit)
	say("failed", a.Failed)
	say("expired", a.Expired)
	say("in flight", a.InFlight)
	return cmp.Or(strings.Join(parts, ", "), "-")
}

func rate(v float64) string { return fmt.Sprintf("%.1f", v) }

func quantiles(t obs.Timing) string {
	if t.P99Millis == 0 {
		return "-"
	}
	return short(t.P50Millis) + "/" + short(t.P99Millis)
}

// short has a digit behind the point where that means something.
func short(ms float64) string {
	if ms < 10 {
		return fmt.Sprintf("%.1f", ms)
	}
	return fmt.Sprintf("%.0f", ms)
}

// span is a time span in its two largest units: 3d4h, 2h5m, 13s.
func span(d time.Duration) string {
	d = max(d, 0)
	for _, u := range []struct {
		large, small time.Duration
		names        string
	}{{24 * time.Hour, time.Hour, "dh"}, {time.Hour, time.Minute, "hm"}, {time.Minute, time.Second, "ms"}} {
		if d < u.large {
			continue
		}
		text := fmt.Sprintf("%d%c", d/u.large, u.names[0])
		if rest := d % u.large / u.small; rest > 0 {
			text += fmt.Sprintf("%d%c", rest, u.names[1])
		}
		return text
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

func (p *plantStatus) models() table {
	t := table{columns: []column{
		{"MODEL", false}, {"ENGINE", false}, {"DEVICE", false}, {"WORKERS", true}, {"RUNS/S", true}, {"P50/P99 MS", true},
		{"SHA256", false}, {"INSTANCE", false},
	}}
	for _, s := range p.said {
		for _, m := range s.Models {
			t.add(m.Name, m.Engine, m.Device, fmt.Sprint(m.Workers), rate(m.Runs.PerSecond), quantiles(m.Runs), fmt.Sprintf("%.8s", m.SHA256), s.Instance)
		}
	}
	slices.SortStableFunc(t.rows, func(a, b []string) int { return cmp.Compare(a[0], b[0]) })
	return t
}

func (p *plantStatus) instances() table {
	t := table{columns: []column{{"INSTANCE", false}, {"STAGE", false}, {"HOST", false}, {"UP", true}, {"VERSION", false}, {"STATE", false}}}
	for _, s := range p.said {
		t.add(s.Instance, s.Stage, s.Host, span(p.Time.Sub(s.Started.Time)), cmp.Or(s.Version, "-"), cmp.Or(strings.Join(p.states(&s), ", "), "ok"))
	}
	return t
}

// states is what is, or was, wrong with an instance.
func (p *plantStatus) states(s *pipeline.Status) (state []string) {
	if s.Degraded {
		state = append(state, "DEGRADED: detections are published but not stored")
	}
	if s.Spool.High() {
		state = append(state, fmt.Sprintf("DEGRADED: the spool of lossless frames is nearly full: %s of %s", humanize.IBytes(uint64(s.Spool.Bytes)), humanize.IBytes(uint64(s.Spool.MaxBytes))))
	}
	if s.Spool != nil && !s.Spool.Writable {
		state = append(state, "DEGRADED: the spool of lossless frames cannot be written: they wait in memory")
	}
	for _, m := range s.Models {
		if why := troubleOf(&m); why != "" {
			state = append(state, m.Name+": "+why)
		}
		if m.Fallback != "" {
			state = append(state, m.Name+" runs on the CPU: "+strings.ReplaceAll(m.Fallback, ", ", " "))
		}
	}
	for _, pr := range s.Processes {
		if why := p.process(pr); why != "" {
			state = append(state, why)
		}
	}
	if n := s.Bus.Reconnects; n > 0 {
		state = append(state, "bus reconnected "+times(n))
	}
	if why := p.hub(s.Bus.Hub); why != "" {
		state = append(state, why)
	}
	return state
}

// hub is what is to be said of the plant's server by a host that has its own.
func (p *plantStatus) hub(h *pipeline.HubStatus) string {
	if h == nil {
		return ""
	}
	waiting := ""
	if h.Waiting > 0 {
		waiting = fmt.Sprintf("; %d detections wait for it", h.Waiting)
	}
	switch {
	case !h.Connected && h.Reason != "":
		return fmt.Sprintf("DEGRADED: the hub is away for %s: %s%s", span(p.Time.Sub(h.Since.Time)), h.Reason, waiting)
	case !h.Connected:
		return fmt.Sprintf("DEGRADED: the hub is away for %s%s", span(p.Time.Sub(h.Since.Time)), waiting)
	case h.Reason != "":
		return fmt.Sprintf("DEGRADED: the hub does not collect: %s%s", h.Reason, waiting)
	case !h.Collects:
		return "the hub is there and about to collect" + waiting
	}
	return ""
}

// process says what became of a process that is kept running; empty: nothing.
func (p *plantStatus) process(s supervise.Status) string {
	text := ""
	if s.State != supervise.Up {
		text = fmt.Sprintf(" is %s for %s", s.State, span(p.Time.Sub(s.Since.Time)))
		if s.State == supervise.Failing {
			text = " DEGRADED:" + text
		}
	}
	if s.Restarts > 0 {
		text += fmt.Sprintf(" (restarted %s, last: %s)", times(s.Restarts), strings.ReplaceAll(s.Reason, ", ", " "))
	}
	if text == "" {
		return ""
	}
	return s.Name + text
}

// troubleOf says what is, or was, wrong with a model; empty: nothing.
func troubleOf(m *pipeline.ModelStatus) string {
	var parts []string
	if why := m.Trouble(); why != "" {
		parts = append(parts, strings.ToUpper(why[:1])+why[1:])
	}
	if m.Failures > 0 {
		parts = append(parts, fmt.Sprintf("%d runs failed (%d cut off, %d hung), loaded anew %s", m.Failures, m.CutOff, m.GivenUp, times(m.Reloads)))
	}
	return strings.Join(parts, ", ")
}

// streams are those that hold something for others; the buckets that the stages
// keep for themselves are in the JSON.
func (p *plantStatus) streams() table {
	t := table{columns: []column{{"STREAM", false}, {"MESSAGES", true}, {"BYTES", true}, {"OF", true}, {"KEPT FOR", true}, {"NEWEST", true}}}
	for _, s := range p.Streams {
		if s.Bucket {
			continue
		}
		newest := "-"
		if s.Messages > 0 {
			newest = span(p.Time.Sub(s.Last)) + " ago"
		}
		kept := "-"
		if s.MaxAgeSeconds > 0 {
			kept = span(time.Duration(s.MaxAgeSeconds * float64(time.Second)))
		}
		t.add(s.Name, fmt.Sprint(s.Messages), humanize.IBytes(s.Bytes), bound(s.MaxBytes), kept, newest)
	}
	return t
}

func bound(n int64) string {
	if n <= 0 {
		return "-"
	}
	return humanize.IBytes(uint64(n))
}

// store is a sentence about the store.
func (p *plantStatus) store() string {
	if p.StoreError != "" {
		return "store: " + p.StoreError
	}
	where := "store"
	for _, s := range p.said {
		if s.Store != nil {
			where += " " + cmp.Or(s.Store.Path, "(temporary)")
		}
	}
	text := fmt.Sprintf("%s: %s used", where, humanize.IBytes(uint64(p.Store.Bytes)))
	if p.Store.MaxBytes > 0 {
		text += " of " + humanize.IBytes(uint64(p.Store.MaxBytes))
	}
	return text
}
