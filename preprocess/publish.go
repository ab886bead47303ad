package preprocess

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/vedette-io/vedette"
)

// publish writes the lane's results in frame order. It alone knows what was
// published before, so it fills PrevSeq and GapBefore.
func (l *lane) publish() {
	var (
		epoch   = l.published.Epoch
		prev    = int64(l.published.Seq)
		kept    bool // a frame stays for the next owner or has come to nothing, and so does all behind it
		gap     map[string]uint64
		written sync.WaitGroup
	)
	for t := range l.order {
		select {
		case <-t.done:
		case <-l.camera.cut:
			kept = true
		}
		if t.frame.Epoch != epoch {
			epoch, prev, gap = t.frame.Epoch, -1, nil
		}
		for r, n := range t.gap {
			gap = addGap(gap, r, n)
		}
		if kept = kept || (t.dropped != "" && l.camera.keeps(t.dropped)); kept {
			l.account.leave(outDropped, DropShutdown, 1)
			continue
		}
		if t.dropped != "" {
			gap = addGap(gap, t.dropped, 1)
			l.account.leave(outDropped, t.dropped, 1)
			t.release()
			continue
		}
		d := t.det
		d.PrevSeq, d.GapBefore = prev, gap
		if d.GapBefore == nil {
			d.GapBefore = map[string]uint64{}
		}
		prev, gap = int64(t.frame.Seq), nil
		if t.picture != nil && l.camera.owner.deps.Evidence != nil {
			l.camera.owner.deps.Evidence(d, *t.picture)
		}
		written.Add(1)
		l.write(t, written.Done)
	}
	written.Wait()
}

func (l *lane) write(t *ticket, finished func()) {
	d, deps := t.det, l.camera.owner.deps
	now := deps.Now()
	d.PublishTime = vedette.At(now)
	latency := now.Sub(t.frame.CapturedAt.Time)
	d.Timing.Total = vedette.Millis(latency)
	d.Round()
	began := time.Now()
	// A result that exists is written even while the owner stops.
	deps.Writer.Write(context.WithoutCancel(l.camera.ctx), d, func(err error) {
		defer finished()
		if errors.Is(err, ErrUnstored) { // it could not wait: a full disk costs the store, not what is seen live
			l.account.unstored()
			deps.Observer.Unstored(d.Camera, d.Model.Name)
			err = nil
		}
		if err != nil {
			deps.Log.Error("detection not published", "camera", d.Camera, "frame_id", t.frame.ID().String(), "error", err)
			l.account.leave(outDropped, DropUnpublished, 1)
			if l.camera.ctx.Err() == nil {
				t.release() // refused for good
				l.safe(t.spoolID)
			}
			return
		}
		deps.Observer.Stage("publish", d.Camera, d.Model.Name, time.Since(began))
		deps.Observer.Latency(d.Camera, d.Model.Name, latency)
		l.account.leave(t.out, t.why, 1)
		t.release()
		l.safe(t.spoolID)
	})
}
