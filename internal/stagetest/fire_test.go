//go:build cv

package stagetest_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vedette-io/vedette"
)

// soak runs the full counts.
var soak = os.Getenv("VEDETTE_SOAK") != ""

// fire is what happens to a plant while it works.
type fire struct {
	kill   time.Duration // how often a worker is killed and replaced
	broker int           // how often the broker is restarted
	away   time.Duration // for how long each time
}

// under starts two workers, of which one after the other is killed. The function
// that it returns restarts the broker on the way, waits for the last result and
// says how many workers were killed.
func (p *plant) under(f fire, cfg string, done func() int, frames int) (fight func() (kills int)) {
	p.t.Helper()
	ended, killed := make(chan struct{}), make(chan int)
	workers := []*process{p.start("infer", cfg), p.start("infer", cfg)}
	go func() {
		n, was := 0, 0
		defer func() { killed <- n }()
		for {
			select {
			case <-time.After(f.kill):
				// A busy machine may take longer than that to start one, and if
				// they were killed then none would ever work.
				now := done()
				if now == was {
					continue
				}
				was = now
				workers[n%2].kill()
				workers[n%2] = p.start("infer", cfg)
				n++
			case <-ended:
				return
			}
		}
	}()
	return func() int {
		for k := range f.broker {
			p.await("the next restart of the broker", func() bool { return done() >= (k+1)*frames/(f.broker+1) })
			p.stopNATS()
			time.Sleep(f.away)
			p.startNATS()
		}
		p.await("the last result", func() bool { return done() >= frames })
		close(ended)
		return <-killed
	}
}

// TestEveryUnderFire: frames with their number burnt in go through two workers
// of which one is killed again and again, and a broker that is restarted twice:
// each has one result, of its own picture, in order.
func TestEveryUnderFire(t *testing.T) {
	frames, f := 500, fire{kill: 700 * time.Millisecond, broker: 2, away: 300 * time.Millisecond}
	if soak {
		frames, f.kill = 2000, 3*time.Second
	}
	p := newPlant(t)
	cfg := p.config("plant.yaml", one(p.clipOf(frames)))
	p.start("preprocess", cfg)
	done := func() int { return p.storedCount("cam") }
	fight := p.under(f, cfg, done, frames)
	capture := p.start("ingest", cfg)
	kills := fight()
	finished(t, capture)
	p.checkWhole("cam", frames)
	p.checkOrder("cam")
	t.Logf("%d workers were killed, the broker was restarted %d times", kills, f.broker)
}

// TestResultsAfterTheDuplicateWindow: owners are killed, and when their
// successors come the broker does not remember message ids any more: what rested
// on the ids alone would be there twice.
func TestResultsAfterTheDuplicateWindow(t *testing.T) {
	frames := 400
	if soak {
		frames = 2000
	}
	p := newPlant(t)
	cfg := p.config("plant.yaml", one(p.clipOf(frames)))
	p.start("infer", cfg)
	p.start("infer", cfg)
	owner := p.start("preprocess", cfg)
	capture := p.start("ingest", cfg)
	for _, mark := range []int{frames / 4, frames / 2} {
		p.await("results", func() bool { return p.storedCount("cam") >= mark })
		owner.kill()
		if soak {
			time.Sleep(35 * time.Second) // the window is 30 s
		} else {
			p.forgetIDs()
		}
		owner = p.start("preprocess", cfg)
	}
	finished(t, capture)
	p.checkWhole("cam", frames)
	p.checkOrder("cam")
}

// forgetIDs has the broker forget the message ids that it has seen, as it does
// when they are older than its window.
func (p *plant) forgetIDs() {
	p.t.Helper()
	js, err := jetstream.New(p.nc)
	if err != nil {
		p.t.Fatal(err)
	}
	stream, err := js.Stream(p.t.Context(), "VEDETTE_DETECTIONS")
	if err != nil {
		p.t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.Duplicates = 100 * time.Millisecond // the next owner puts it right
	if _, err := js.UpdateStream(p.t.Context(), cfg); err != nil {
		p.t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	ack, err := js.PublishMsg(p.t.Context(), &nats.Msg{Subject: "vedette.detection.other.m", Data: []byte(`{"camera": "other"}`), Header: nats.Header{nats.MsgIdHdr: {p.newestID(stream)}}})
	if err != nil || ack.Duplicate {
		p.t.Errorf("the broker still knows the newest id: %+v, %v", ack, err)
	}
}

// newestID is the message id of the newest result.
func (p *plant) newestID(stream jetstream.Stream) string {
	p.t.Helper()
	m, err := stream.GetLastMsgForSubject(p.t.Context(), "vedette.detection.cam.*")
	if err != nil {
		p.t.Fatal(err)
	}
	id := m.Header.Get(nats.MsgIdHdr)
	if id == "" {
		p.t.Fatalf("the result has no id: %v", m.Header)
	}
	return id
}

// TestLiveEveryUnderFire: the same with a live camera, whose pictures cannot be
// read again: the ring bridges restarts, and what its owner took is on disk.
func TestLiveEveryUnderFire(t *testing.T) {
	const fps = 15
	frames, f := 20*fps, fire{kill: 2 * time.Second, broker: 1, away: 300 * time.Millisecond}
	if soak {
		frames, f.kill, f.broker = 2000, 3*time.Second, 2
	}
	p := newPlant(t)
	cfg := p.config("plant.yaml", one(fmt.Sprintf("synthetic://bars?width=320&height=180&fps=%d", fps)))
	owner := p.start("preprocess", cfg)
	done := func() int { return p.storedCount("cam") }
	fight := p.under(f, cfg, done, frames)
	capture := p.start("ingest", cfg)
	p.await("results", func() bool { return done() >= frames/10 })
	owner.kill() // with frames in the ring, in the spool and at workers
	p.start("preprocess", cfg)
	kills := fight()
	capture.stop()
	time.Sleep(time.Second)
	out := p.stored("cam")
	failed := 0
	for i, d := range out {
		if d.Seq != uint64(i) || d.Epoch != out[0].Epoch || d.PrevSeq != int64(i)-1 || len(d.GapBefore) > 0 {
			t.Fatalf("result %d: %s seq %d, prev_seq %d, gap_before %v, %s %s", i, d.Epoch, d.Seq, d.PrevSeq, d.GapBefore, d.Status, d.Reason)
		}
		switch {
		case d.Status == vedette.StatusFailed && d.Reason == "spool_full":
			failed++
		case d.Status != vedette.StatusOK:
			t.Errorf("seq %d: %s %s", d.Seq, d.Status, d.Reason)
		default:
			if r := read(d); !r.HasNumber || uint64(r.Number) != d.Seq {
				t.Errorf("seq %d: its picture shows %+v", d.Seq, r)
			}
		}
	}
	p.checkOrder("cam")
	t.Logf("%d frames, %d results, %d without a picture (spool_full); %d workers and an owner were killed, the broker was restarted %d times",
		len(out), len(out), failed, kills, f.broker)
	if failed > fps*3*(f.broker+1) { // the ring bridges two and a half seconds of each
		t.Errorf("%d frames found no room for their picture", failed)
	}
}

// checkOrder checks that who listens live saw a camera's results in order. What
// passed while the broker was away it may have missed, and what the broker did
// not answer in its last moments came once more, with the same id: what is
// stored is there once.
func (p *plant) checkOrder(camera string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	n, again, last := 0, 0, int64(-1)
	for _, d := range p.out {
		if d.Camera != camera {
			continue
		}
		if n++; int64(d.Seq) < last {
			p.t.Errorf("live, seq %d came after %d", d.Seq, last)
		} else if int64(d.Seq) == last {
			again++
		}
		last = int64(d.Seq)
	}
	if again > 2 {
		p.t.Errorf("live, %d results came again", again)
	}
	p.t.Logf("live, %d results in order, %d of them again", n, again)
}
