package obs

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// newTestMetrics have a clock that the test moves.
func newTestMetrics() (*Metrics, *time.Time) {
	m := New("x")
	at := time.Unix(1_000_000_000, 0)
	m.recent.now = func() time.Time { return at }
	return m, &at
}

func TestRates(t *testing.T) {
	m, at := newTestMetrics()
	if r := m.Rates("gate", "yolox"); r != (Rates{}) {
		t.Errorf("before anything: %+v", r)
	}
	// 25 captured and 5 inferred each second.
	for second := range 30 {
		for i := range 25 {
			*at = time.Unix(1_000_000_000+int64(second), int64(i)*40e6)
			m.Captured("gate", "yolox", 1)
			if i%5 == 0 {
				m.Frames("gate", "yolox", "inferred", "", 1)
			} else {
				m.Frames("gate", "yolox", "dropped", "sampled", 1)
			}
		}
		if r := m.Rates("gate", "yolox"); r != (Rates{25, 5}) {
			t.Errorf("after %d seconds: %+v", second+1, r)
		}
	}
	*at = at.Add(5 * time.Second)
	if r := m.Rates("gate", "yolox"); r.Captured < 10 || r.Captured > 15 {
		t.Errorf("5 s after it stopped: %+v", r)
	}
	*at = at.Add(time.Minute)
	if r := m.Rates("gate", "yolox"); r != (Rates{}) {
		t.Errorf("a minute after it stopped: %+v", r)
	}
	m.RemoveCamera("gate")
	if len(m.recent.rates) > 0 {
		t.Errorf("left of a removed camera: %v", m.recent.rates)
	}
}

func TestTimings(t *testing.T) {
	m, at := newTestMetrics()
	if diff := cmp.Diff(Timing{Counts: make([]uint64, 15)}, m.Latency("gate", "yolox")); diff != "" {
		t.Error(diff)
	}
	for range 200 { // long ago, and slow
		m.DetectionLatency("gate", "yolox", 6*time.Second)
	}
	*at = at.Add(time.Minute)
	for i := range 100 { // 1 … 100 ms; the last in a second that is not over
		*at = at.Add(50 * time.Millisecond)
		m.DetectionLatency("gate", "yolox", time.Duration(i+1)*time.Millisecond)
	}
	want := Timing{
		Count: 300, SumMillis: 200*6000 + 5050, P50Millis: 51, P99Millis: 100, PerSecond: 9.9,
		Counts: []uint64{1, 1, 3, 5, 10, 10, 20, 50, 0, 0, 0, 0, 0, 0, 200},
	}
	if diff := cmp.Diff(want, m.Latency("gate", "yolox")); diff != "" {
		t.Error(diff)
	}
	for range 10 * recentSamples { // the newest count
		m.EngineRun("yolox", "onnxruntime", "cpu", 20*time.Millisecond)
	}
	m.EngineRun("yolox", "onnxruntime", "cpu", 30*time.Millisecond)
	if r := m.Runs("yolox"); r.Count != 10*recentSamples+1 || r.P50Millis != 20 || r.P99Millis != 20 || len(m.recent.timings[key{kind: kindEngine, model: "yolox"}].samples) != recentSamples {
		t.Errorf("runs %+v", r)
	}
	m.StageDuration("queue", "gate", "yolox", 3*time.Millisecond)
	m.StageDuration("queue", "yard", "yolox", 5*time.Millisecond)
	m.StageDuration("judge", "yard", "", time.Millisecond)
	s := m.Stages()
	if len(s) != 2 || s[0].Stage != "judge" || s[0].Model != "" || s[1].Stage != "queue" || s[1].Count != 2 || s[1].SumMillis != 8 {
		t.Errorf("stages %+v", s)
	}
	if n := len(BoundsMillis()); n != len(want.Counts)-1 || BoundsMillis()[0] != 1 {
		t.Errorf("bounds %v", BoundsMillis())
	}
}

func BenchmarkStatus(b *testing.B) {
	m := New("x")
	for range recentSamples {
		m.DetectionLatency("gate", "yolox", 7*time.Millisecond)
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Latency("gate", "yolox")
	}
}
