package preprocess

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vedette-io/vedette"
)

// everyQueue is how many frame references wait per lossless camera. The ring
// has fewer slots, so that the ring, not this queue, is what slows a source.
const everyQueue = 64

// entry is a frame on its way through the owner.
type entry struct {
	frame *vedette.Frame
	// gap counts, by reason, the frames left out since the entry before.
	gap  map[string]uint64
	refs *atomic.Int32 // lanes that still need the pixels
	free func()
	// unfit is why the picture cannot be judged; empty if it can.
	unfit string
	// still says that the motion gate saw nothing move.
	still bool
}

// blank says that the frame has no picture.
func (e *entry) blank() bool { return e.frame.Unreadable || e.frame.Overflow }

// release says that one lane no longer needs the pixels.
func (e *entry) release() {
	if e.refs.Add(-1) == 0 {
		e.free()
	}
}

// camera is the owner's state of one camera. Frames pass from deliver through
// in to run, which judges them and offers them to the lanes, one per model.
type camera struct {
	owner *Owner
	cfg   CameraConfig
	lanes []*lane
	gate  *Gate
	fit   *Fitness

	in   chan *entry
	done chan struct{} // closed when every frame has left

	ctx  context.Context // ends with the owner's, or when the camera is cut off
	stop context.CancelFunc
	cut  chan struct{} // closed when answers under way are not waited for any more

	// Only deliver uses what follows, under mu.
	mu        sync.Mutex
	closed    bool
	epoch     string
	next      uint64 // seq expected next
	sampled   uint64
	sourceGap uint64
	gap       map[string]uint64
	resumed   bool // no frame came since an earlier owner's
}

func newCamera(o *Owner, cfg CameraConfig) (*camera, error) {
	if len(cfg.Detect) == 0 {
		return nil, fmt.Errorf("camera %s: no model to run on it", cfg.ID)
	}
	size := 1 // newest wins: the waiting frame is replaced
	if cfg.Delivery == Every {
		size = everyQueue
	}
	c := &camera{owner: o, cfg: cfg, in: make(chan *entry, size), done: make(chan struct{}), cut: make(chan struct{})}
	if cfg.Motion != nil {
		c.gate = NewGate(*cfg.Motion)
	}
	if cfg.Fitness != nil {
		c.fit = NewFitness(*cfg.Fitness)
	}
	top := 0.0 // the highest rate any model asks for; capture samples to it
	for _, d := range cfg.Detect {
		if d.FPS <= 0 {
			top = 0
			break
		}
		top = max(top, d.FPS)
	}
	seen := map[string]bool{}
	for _, d := range cfg.Detect {
		m := o.model(d.Model)
		if m == nil {
			return nil, fmt.Errorf("camera %s: model %q is not loaded", cfg.ID, d.Model)
		}
		if seen[d.Model] {
			return nil, fmt.Errorf("camera %s: model %s is named twice", cfg.ID, d.Model)
		}
		seen[d.Model] = true
		if d.FPS == top {
			d.FPS = 0 // capture does it; a second sampler would drop frames that jitter
		}
		l, err := newLane(c, d, m)
		if err != nil {
			return nil, fmt.Errorf("camera %s: model %s: %w", cfg.ID, d.Model, err)
		}
		if cfg.Spool {
			if err := l.openSpool(o.ctx, o.deps.Spool); err != nil {
				c.forget()
				return nil, fmt.Errorf("camera %s: model %s: %w", cfg.ID, d.Model, err)
			}
		}
		c.lanes = append(c.lanes, l)
	}
	c.ctx, c.stop = context.WithCancel(o.ctx)
	c.resume()
	return c, nil
}

// forget lets go of what lanes took over, which stays in the spool.
func (c *camera) forget() {
	for _, l := range c.lanes {
		for l.backlog != nil && l.backlog.waiting() > 0 {
			l.backlog.take(context.Background()).forget()
		}
	}
}

// resume goes on behind what an earlier owner published: in its last epoch,
// with the first frame that some model has no result for.
func (c *camera) resume() {
	for _, l := range c.lanes {
		c.epoch = max(c.epoch, l.taken.Epoch) // epochs sort by time
	}
	if c.epoch == "" {
		return
	}
	c.resumed = true
	for i, l := range c.lanes {
		next := uint64(0)
		if l.taken.Epoch == c.epoch {
			next = l.taken.Seq + 1
		}
		if i == 0 || next < c.next {
			c.next = next
		}
	}
}

func (c *camera) start() {
	var wg, trimming sync.WaitGroup
	ended := make(chan struct{})
	for _, l := range c.lanes {
		if l.spool == nil {
			wg.Go(l.run)
		} else {
			wg.Go(l.fillSpool)
			wg.Go(l.sendSpooled)
			trimming.Go(func() { l.trimSpool(ended) })
		}
		wg.Go(l.publish)
	}
	wg.Go(c.run)
	go func() {
		wg.Wait()
		close(ended)
		trimming.Wait()
		c.stop()
		close(c.done)
	}()
}

// close ends the intake; frames already here go on.
func (c *camera) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		close(c.in)
	}
}

// cutOff ends the camera: what waits is dropped as "shutdown" or stays in the
// spool, and so is what a worker has, whose answer comes to nothing.
func (c *camera) cutOff() {
	c.stop()
	close(c.cut)
}

// deliver accounts for f and everything missing before it, and queues it.
func (c *camera) deliver(f *vedette.Frame, release func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed && c.keeps(DropShutdown) && c.ctx.Err() != nil {
		return // for the next owner
	}
	if c.closed || f.Last || !c.account(f) {
		if f.Last && !c.closed {
			c.closed = true
			close(c.in)
		}
		release()
		return
	}
	e := &entry{frame: f, gap: c.gap, refs: new(atomic.Int32), free: release}
	e.refs.Store(int32(len(c.lanes)))
	c.gap = nil
	if c.cfg.Delivery == Every {
		c.in <- e
		return
	}
	select {
	case old := <-c.in: // deliver is the only sender, so there is room now
		c.drop(old, DropStale)
		e.inherit(old, DropStale)
	default:
	}
	c.in <- e
}

// account enters f and the frames that are missing before it in every lane's
// account. It returns false if f carries no picture to infer: an end notice,
// or a frame seen before.
func (c *camera) account(f *vedette.Frame) bool {
	if f.Epoch != c.epoch {
		c.epoch, c.next, c.sampled, c.sourceGap, c.gap = f.Epoch, 0, 0, 0, nil
		c.resumed = false
	}
	if f.Seq < c.next {
		return false // delivered again
	}
	missing := f.Seq - c.next
	sampled := min(missing, f.Sampled-min(c.sampled, f.Sampled))
	lost := missing - sampled
	holes := f.SourceGap - min(c.sourceGap, f.SourceGap)
	if c.resumed {
		holes = 0 // the source left them before this owner's time
	}
	c.next, c.sampled, c.sourceGap = f.Seq, f.Sampled, f.SourceGap
	n := missing
	if !f.End {
		n++
		c.next++
	}
	why := DropBus
	if c.resumed {
		why, c.resumed = DropRestart, false
	}
	for _, l := range c.lanes {
		l.account.enter(n)
		l.account.leave(outDropped, DropSampled, sampled)
		l.account.leave(outDropped, why, lost)
		l.account.sourceGap(holes)
	}
	if holes > 0 {
		c.owner.deps.Observer.SourceGap(c.cfg.ID, holes)
	}
	c.gap = addGap(c.gap, DropSampled, sampled)
	c.gap = addGap(c.gap, why, lost)
	c.gap = addGap(c.gap, vedette.GapSource, holes)
	return !f.End
}

// drop takes e out of every lane's account and frees its pixels.
func (c *camera) drop(e *entry, reason string) {
	for _, l := range c.lanes {
		l.account.leave(outDropped, reason, 1)
		if !c.keeps(reason) {
			e.release()
		}
	}
}

// keeps says that a frame dropped for this reason stays with its sender, for
// the next owner.
func (c *camera) keeps(reason string) bool {
	return c.cfg.Delivery == Every && reason == DropShutdown
}

// run judges each picture once and offers it to the lanes.
func (c *camera) run() {
	pics := c.owner.openPictures()
	defer c.owner.closePictures(pics)
	defer func() {
		for _, l := range c.lanes {
			close(l.in)
		}
	}()
	for e := range c.in {
		if c.ctx.Err() != nil {
			c.drop(e, DropShutdown)
			continue
		}
		if (c.gate != nil || c.fit != nil) && !e.blank() {
			c.judge(pics, e)
		}
		for _, l := range c.lanes {
			l.offer(e)
		}
	}
}

// judge looks at the picture: is it fit to be inferred, does anything move?
func (c *camera) judge(pics Pictures, e *entry) {
	began := time.Now()
	data, err := pics.View(e.frame.Ref)
	if err != nil {
		return // the lane will meet the same error and account for it
	}
	pic := pictureOf(e.frame, data)
	at := e.frame.CaptureTime.Time
	var unfit string
	if c.fit != nil {
		ok, reason := c.fit.Check(pic, at)
		if !ok {
			unfit = reason
		}
	}
	still := c.gate != nil && !c.gate.Moving(pic, at)
	if !pics.Valid(e.frame.Ref) {
		return // judged on a torn picture: worthless; the lane will see it too
	}
	e.unfit, e.still = unfit, still && unfit == ""
	c.owner.deps.Observer.Stage("judge", c.cfg.ID, "", time.Since(began))
}

func pictureOf(f *vedette.Frame, data []byte) Picture {
	return Picture{Data: data, Stride: f.Ref.Stride, Width: f.Width, Height: f.Height, Format: f.Format}
}

func addGap(gap map[string]uint64, reason string, n uint64) map[string]uint64 {
	if n == 0 {
		return gap
	}
	if gap == nil {
		gap = map[string]uint64{}
	}
	gap[reason] += n
	return gap
}

// inherit adds what was missing before old, and old itself, to what is missing
// before e, unless old belongs to another run of the camera.
func (e *entry) inherit(old *entry, reason string) {
	if old.frame.Epoch != e.frame.Epoch {
		return
	}
	for r, n := range old.gap {
		e.gap = addGap(e.gap, r, n)
	}
	e.gap = addGap(e.gap, reason, 1)
}
