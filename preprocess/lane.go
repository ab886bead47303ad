package preprocess

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/tensor"
)

// orderQueue is how many results wait for an earlier one. It is more than are
// usually under way, so that credits are what limits.
const orderQueue = 256

// lane is one camera × one model: it picks frames, makes tensors, sends them
// to workers (run) and publishes the answers in order (publish).
type lane struct {
	camera  *camera
	cfg     DetectConfig
	name    string                  // of the model
	fit     atomic.Pointer[fitting] // of the edition that frames are inferred with
	account account
	// published is the last result of an earlier owner, taken the last frame
	// that needs not come again: the same, or what lies in the spool behind it.
	published, taken Place

	in    chan *entry  // like camera.in: one slot, or a short queue
	order chan *ticket // in frame order
	pics  Pictures     // only the goroutine that makes tensors uses it

	// Only where lossless frames are spooled.
	spool   SpoolLog
	backlog *backlog
	trim    chan uint64 // holds the newest entry whose result is safe
	// Only fillSpool uses these.
	lateGap   map[string]uint64
	appending trouble
	reading   trouble // only sendSpooled uses it

	// Only offer uses these.
	offerGap   map[string]uint64
	offerEpoch string
	resumed    bool // a frame behind taken has come
	nextDue    time.Time
}

// ticket is a frame whose turn to be published will come.
type ticket struct {
	frame   *vedette.Frame
	gap     map[string]uint64
	release func() // under every: the frame is dealt with
	spoolID uint64 // of its entry in the spool; 0: none
	dropped string // reason, when there is nothing to publish
	det     *vedette.Detection
	picture *Picture // evidence, where asked for
	out     outcome
	why     string        // short reason for the metrics, from a bounded set
	done    chan struct{} // closed when what stands above is final
}

func newLane(c *camera, cfg DetectConfig, m *modelState) (*lane, error) {
	name := m.cfg.Ref.Name
	l := &lane{
		camera: c, cfg: cfg, name: name,
		in: make(chan *entry, 1), order: make(chan *ticket, orderQueue),
		published: c.cfg.Resume[name],
	}
	f, err := l.newFitting(m)
	if err != nil {
		return nil, err
	}
	l.fit.Store(f)
	l.taken = l.published
	obs := c.owner.deps.Observer
	l.account.entered = func(n uint64) { obs.Captured(c.cfg.ID, name, n) }
	l.account.left = func(result, reason string, n uint64) { obs.Frames(c.cfg.ID, name, result, reason, n) }
	return l, nil
}

// offer is called by the camera, in frame order, for every frame.
func (l *lane) offer(shared *entry) {
	e := *shared // gaps differ per lane; the pixels and their count are shared
	if l.offerEpoch != e.frame.Epoch {
		l.offerEpoch, l.offerGap, l.nextDue = e.frame.Epoch, nil, time.Time{}
	}
	gap := l.offerGap
	l.offerGap = nil
	for r, n := range e.gap {
		gap = addGap(gap, r, n)
	}
	e.gap = gap
	if l.stored(&e) {
		return
	}
	if e.unfit == "" && !e.blank() {
		switch {
		case !l.due(e.frame.CaptureTime.Time):
			l.skip(&e, outDropped, DropSampled)
			return
		case e.still:
			l.skip(&e, outGated, "gated")
			return
		}
	}
	if l.camera.cfg.Delivery == Every {
		l.in <- &e
		return
	}
	select {
	case old := <-l.in:
		l.drop(old, DropStale)
		e.inherit(old, DropStale)
	default:
	}
	l.in <- &e
}

// stored leaves out a frame that an earlier owner published or spooled, and trims
// the gap of the first one behind it.
func (l *lane) stored(e *entry) bool {
	if e.frame.Epoch != l.taken.Epoch {
		return false
	}
	if e.frame.Seq <= l.taken.Seq {
		e.release()
		l.account.leave(outDropped, DropStored, 1)
		return true
	}
	if !l.resumed {
		l.resumed = true
		missing, holes := uint64(0), e.gap[vedette.GapSource]
		for _, n := range e.gap {
			missing += n
		}
		if want := e.frame.Seq - l.taken.Seq - 1; missing-holes != want {
			e.gap = addGap(addGap(nil, DropRestart, want), vedette.GapSource, holes)
		}
	}
	return false
}

// skip leaves e out on purpose.
func (l *lane) skip(e *entry, out outcome, reason string) {
	l.offerGap = addGap(e.gap, reason, 1)
	e.release()
	if out == outDropped {
		l.account.leave(out, reason, 1)
		return
	}
	l.account.leave(out, "", 1)
}

// due samples to the lane's rate by capture time.
func (l *lane) due(at time.Time) bool {
	if l.cfg.FPS <= 0 {
		return true
	}
	period := time.Duration(float64(time.Second) / l.cfg.FPS)
	if at.Before(l.nextDue) {
		return false
	}
	l.nextDue = l.nextDue.Add(period)
	if l.nextDue.Before(at) { // first frame, or after a pause
		l.nextDue = at.Add(period)
	}
	return true
}

func (l *lane) drop(e *entry, reason string) {
	if !l.camera.keeps(reason) {
		e.release()
	}
	l.account.leave(outDropped, reason, 1)
}

// run turns offered frames into requests.
func (l *lane) run() {
	defer close(l.order)
	l.pics = l.camera.owner.openPictures()
	defer l.camera.owner.closePictures(l.pics)
	ctx := l.camera.ctx
	for e := range l.in {
		if e.unfit != "" || e.blank() {
			l.refuse(e)
			continue
		}
		f, err := l.acquire(ctx)
		if err != nil {
			l.drop(e, DropShutdown)
			continue
		}
		e = l.newest(e)
		if e.unfit != "" || e.blank() {
			f.model.credits.release(&f.holder)
			l.refuse(e)
			continue
		}
		l.send(ctx, e, f)
	}
}

// newest swaps e for a newer frame that came while e waited for a credit.
func (l *lane) newest(e *entry) *entry {
	if l.camera.cfg.Delivery == Every {
		return e
	}
	for {
		select {
		case n, ok := <-l.in:
			if !ok {
				return e
			}
			l.drop(e, DropStale)
			n.inherit(e, DropStale)
			e = n
		default:
			return e
		}
	}
}

// refuse publishes a frame that no model can judge.
func (l *lane) refuse(e *entry) {
	t := l.ticket(e, l.fit.Load().model)
	l.looked(e)
	switch {
	case e.frame.Unreadable:
		t.fail("unreadable", e.frame.Reason)
	case e.frame.Overflow:
		t.fail(FailedSpoolFull, FailedSpoolFull)
	default:
		t.unfit(e.unfit)
	}
	l.settle(t)
}

// send makes the tensor of e and gives it to a worker. It holds a credit of f.
func (l *lane) send(ctx context.Context, e *entry, f *fitting) {
	began := time.Now()
	m := f.model
	t := l.ticket(e, m)
	l.order <- t
	body := m.pool.Get().(*[]byte)
	geom, picture, err := l.transform(l.pics, f.tf, *body, e.frame)
	t.picture = picture
	l.looked(e)
	if err != nil {
		m.pool.Put(body)
		m.credits.release(&f.holder)
		if errors.Is(err, errOverwritten) {
			t.dropped = DropOverwritten
		} else {
			t.fail("preprocess", err.Error())
		}
		close(t.done)
		return
	}
	took := time.Since(began)
	t.det.Timing.Preprocess = vedette.Millis(took)
	l.camera.owner.deps.Observer.Stage("preprocess", l.camera.cfg.ID, l.name, took)
	req := &tensor.Request{
		Camera: e.frame.Camera, Epoch: e.frame.Epoch, Seq: e.frame.Seq,
		SHA256: m.cfg.Ref.SHA256, Edition: m.cfg.Edition, Geometry: geom,
	}
	if age := l.camera.cfg.MaxAge; age > 0 && l.camera.cfg.Delivery == Latest {
		d := vedette.At(e.frame.CapturedAt.Add(age))
		req.Deadline = &d
	}
	r := &request{lane: l, fit: f, ticket: t, req: req, body: body}
	r.send(ctx)
}

// looked says that the pixels of e are no longer needed. Under every its
// sender keeps them all the same, until the result is safe: see publish.
func (l *lane) looked(e *entry) {
	if l.camera.cfg.Delivery != Every {
		e.release()
	}
}

var errOverwritten = errors.New("overwritten before it was read")

// transform makes the tensor, and the evidence where it is asked for.
func (l *lane) transform(pics Pictures, tf *Transform, dst []byte, f *vedette.Frame) (geom tensor.Geometry, evidence *Picture, err error) {
	data, err := pics.View(f.Ref)
	if err != nil {
		if !pics.Valid(f.Ref) {
			err = errOverwritten
		}
		return geom, nil, err
	}
	geom, err = tf.Apply(dst, pictureOf(f, data))
	if l.camera.cfg.Evidence {
		pic := pictureOf(f, slices.Clone(data))
		evidence = &pic
	}
	if !pics.Valid(f.Ref) {
		return geom, nil, errOverwritten
	}
	return geom, evidence, err
}

func (l *lane) ticket(e *entry, m *modelState) *ticket {
	f, ref := e.frame, m.cfg.Ref
	release := func() {}
	if l.camera.cfg.Delivery == Every {
		release = e.release
	}
	return &ticket{frame: f, gap: e.gap, release: release, done: make(chan struct{}), det: &vedette.Detection{
		Schema: vedette.DetectionSchema, ID: f.ID().Detection(ref.Name),
		Site: l.camera.owner.deps.Site, Camera: f.Camera, Epoch: f.Epoch, Seq: f.Seq, Item: f.Item,
		CaptureTime: f.CaptureTime, Clock: f.Clock, PTSMillis: f.PTSMillis,
		Width: f.Width, Height: f.Height, Model: ref,
		Timing: vedette.Timing{Capture: f.CaptureMillis},
	}}
}

// fail makes the frame's result "failed"; why is its class, reason the text.
func (t *ticket) fail(why, reason string) {
	t.out, t.why, t.det.Status, t.det.Reason = outFailed, why, vedette.StatusFailed, reason
}

// unfit makes the frame's result "unfit", for this reason.
func (t *ticket) unfit(why string) {
	t.out, t.why, t.det.Status, t.det.Reason = outUnfit, why, vedette.StatusUnfit, why
}
