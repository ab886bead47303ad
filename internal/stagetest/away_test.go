//go:build cv

package stagetest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/proc"
	"github.com/vedette-io/vedette/internal/testkit"
)

// outage is for how long a broker is away.
func outage() time.Duration {
	if soak {
		return 30 * time.Second
	}
	return 5 * time.Second
}

// The cameras of an outage: lossless ones, and such whose newest frame wins.
const (
	lossless, newest = 4, 4
	awayFPS          = 8
)

// eight is the configuration of eight cameras, beside what it says of the bus.
func eight(busKeys string) string {
	text := "http: {listen: ''}\nmodels: [{name: barcode-reader, engine: gorgonia, workers: 1}]\ncameras:\n"
	for i := range lossless + newest {
		delivery := "every"
		if i >= lossless {
			delivery = "latest"
		}
		text += fmt.Sprintf("  - {id: %s, source: \"synthetic://bars?width=320&height=180&fps=%d\", delivery: %s, timeouts: {silence: 30s}}\n", camera(i), awayFPS, delivery)
	}
	return "site: test\nbus: {" + busKeys + "}\n" + text
}

func camera(i int) string {
	if i < lossless {
		return fmt.Sprintf("line-%d", i)
	}
	return fmt.Sprintf("gate-%d", i)
}

func (p *plant) file(name, text string) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// memory is what processes and their children have for themselves.
func memory(t *testing.T, all ...*process) (sum int64) {
	t.Helper()
	for _, pr := range all {
		for _, pid := range append(testkit.Children(t, pr.cmd.Process.Pid), pr.cmd.Process.Pid) {
			if n, err := proc.Private(pid); err == nil { // it may have ended
				sum += n
			}
		}
	}
	return sum
}

// away stops the plant's server for the length of an outage, and returns when
// that was and the most memory that processes had meanwhile.
func (p *plant) away(during func(), all ...*process) (from, to time.Time, most int64) {
	p.t.Helper()
	p.stopNATS()
	from = time.Now()
	for time.Since(from) < outage()/2 {
		time.Sleep(250 * time.Millisecond)
		most = max(most, memory(p.t, all...))
	}
	during()
	for time.Since(from) < outage() {
		time.Sleep(250 * time.Millisecond)
		most = max(most, memory(p.t, all...))
	}
	p.startNATS()
	return from, time.Now(), most
}

// fresh waits until who listens live at the plant has heard so many results of
// each camera that was captured after a moment.
func (p *plant) fresh(n int, after time.Time) {
	p.t.Helper()
	p.await(fmt.Sprintf("%d fresh results of each camera", n), func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		seen := map[string]int{}
		for _, d := range p.out {
			if d.CaptureTime.After(after) {
				seen[d.Camera]++
			}
		}
		return len(seen) == lossless+newest && slices.Min(values(seen)) >= n
	})
}

func values(m map[string]int) (all []int) {
	for _, v := range m {
		all = append(all, v)
	}
	return all
}

// checkLossless checks that a camera's frames have one result each, in order, of
// their own picture; spool_full are those for whose picture there was no room.
func checkLossless(t *testing.T, camera string, out []*vedette.Detection) (full int) {
	t.Helper()
	for i, d := range out {
		if d.Seq != uint64(i) || d.Epoch != out[0].Epoch || d.PrevSeq != int64(i)-1 || len(d.GapBefore) > 0 {
			t.Fatalf("%s: result %d is %s seq %d, prev_seq %d, gap_before %v, %s %s", camera, i, d.Epoch, d.Seq, d.PrevSeq, d.GapBefore, d.Status, d.Reason)
		}
		switch {
		case d.Status == vedette.StatusFailed && d.Reason == "spool_full":
			full++
		case d.Status != vedette.StatusOK:
			t.Errorf("%s: seq %d: %s %s", camera, d.Seq, d.Status, d.Reason)
		default:
			if r := read(d); !r.HasNumber || uint64(r.Number) != d.Seq {
				t.Errorf("%s: seq %d: its picture shows %+v", camera, d.Seq, r)
			}
		}
	}
	return full
}

// checkNewest checks that the results of a newest-wins camera are in order, each
// once, and none was old when it was published. It returns the greatest age.
func checkNewest(t *testing.T, camera string, out []*vedette.Detection) (oldest time.Duration) {
	t.Helper()
	last := int64(-1)
	for _, d := range out {
		if int64(d.Seq) <= last || d.Status != vedette.StatusOK {
			t.Errorf("%s: seq %d after %d: %s %s", camera, d.Seq, last, d.Status, d.Reason)
		}
		last = int64(d.Seq)
		oldest = max(oldest, d.PublishTime.Sub(d.CaptureTime.Time))
	}
	return oldest
}

// ids are the names of results, in order.
func ids(out []*vedette.Detection) (all []string) {
	for _, d := range out {
		all = append(all, d.ID)
	}
	return all
}

func checkMemory(t *testing.T, before, most int64) {
	t.Helper()
	if most > before*5/4+(32<<20) {
		t.Errorf("memory grows with an outage: %d MiB before, %d MiB during", before>>20, most>>20)
	}
}

// TestBrokerAwayFromEight: the server at which stages meet, without one on the
// cameras' host, is away. A lossless frame of a live camera then waits in the ring
// of its capture, which has room for 62 pictures; those that come behind them have
// failed, and each of these has its result, too.
func TestBrokerAwayFromEight(t *testing.T) {
	const ring = 62
	p := newPlant(t)
	cfg := p.file("plant.yaml", eight(fmt.Sprintf("url: %q", p.url())))
	p.start("infer", cfg)
	owner, capture := p.start("preprocess", cfg), p.start("ingest", cfg)
	p.fresh(3*awayFPS, time.Time{})
	before := memory(t, owner, capture)
	from, to, most := p.away(func() {}, owner, capture)
	p.fresh(2*awayFPS, to)
	back := time.Since(to)
	capture.stop()
	p.settled("preprocess", p.url(), "")
	frames, full, meanwhile := 0, 0, 0
	for i := range lossless + newest {
		out := p.stored(camera(i))
		if i >= lossless {
			if oldest := checkNewest(t, camera(i), out); oldest > 5*time.Second {
				t.Errorf("%s: a result was %v old", camera(i), oldest)
			}
			continue
		}
		frames, full = frames+len(out), full+checkLossless(t, camera(i), out)
		for _, d := range out {
			if d.CaptureTime.After(from) && d.CaptureTime.Before(to) {
				meanwhile++
			}
		}
	}
	t.Logf("broker away for %v: %d lossless frames, each with its result, %d of them meanwhile; %d without a picture (spool_full); fresh results of all cameras %v after it was back; memory %d MiB before, at most %d MiB during",
		to.Sub(from).Round(time.Second), frames, meanwhile, full, back.Round(time.Millisecond), before>>20, most>>20)
	// It takes up to two seconds to find out that the broker is back.
	if room := max(meanwhile+lossless*2*awayFPS-lossless*ring, 0); full > room {
		t.Errorf("%d frames found no room in rings for %d", full, ring)
	}
	checkMemory(t, before, most)
}
