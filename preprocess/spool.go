package preprocess

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/tensor"
)

// Errors of a [SpoolLog].
var (
	// ErrSpoolFull says that there is no room for another tensor.
	ErrSpoolFull = errors.New("the spool is full")
	// ErrSpoolRefused says that the spool is there and cannot be written.
	ErrSpoolRefused = errors.New("the spool cannot be written")
	// ErrSpoolLost says that an entry is not there, and never will be.
	ErrSpoolLost = errors.New("the spool has lost the frame")
)

// FailedSpoolFull is the reason of the results of frames that came while the
// spool was full.
const FailedSpoolFull = "spool_full"

// Spool keeps, on disk, what inference needs of the lossless frames of live
// cameras, which cannot be captured again. It is safe for concurrent use.
type Spool interface {
	// Open returns the log of one camera and model, and what an earlier owner
	// left in it, in order.
	Open(ctx context.Context, camera, model string) (SpoolLog, []SpoolEntry, error)
}

// SpoolLog is the log of one camera and model. Append is called by one
// goroutine, Read by another.
type SpoolLog interface {
	// Append writes an entry behind the others and returns when it is safe. The
	// error wraps [ErrSpoolFull] if there is no room for the body; an entry
	// without one needs next to none. It wraps [ErrSpoolRefused] if nothing can be
	// written for now, and returns soon then.
	Append(ctx context.Context, header, body []byte) (id uint64, err error)
	// Read returns the body of an entry. The error wraps [ErrSpoolLost] if it is
	// gone.
	Read(ctx context.Context, id uint64) ([]byte, error)
	// Trim removes everything up to an entry.
	Trim(ctx context.Context, id uint64) error
}

// SpoolEntry is what was appended under an id; ids ascend.
type SpoolEntry struct {
	ID     uint64
	Header []byte
}

// spoolHeader is a frame in the spool; its body is the tensor, or nothing when
// Unfit or Failed says why there is none.
type spoolHeader struct {
	Frame    *vedette.Frame    `json:"frame"`
	Gap      map[string]uint64 `json:"gap,omitempty"`
	SHA256   string            `json:"sha256"` // of the model
	Edition  string            `json:"edition,omitempty"`
	Fit      string            `json:"fit,omitempty"` // what models the tensor can be given to
	Geometry tensor.Geometry   `json:"geometry"`
	Prepared float64           `json:"preprocess_ms"`
	Unfit    string            `json:"unfit,omitempty"`
	// Failed is the class of a failure, Reason its text.
	Failed string `json:"failed,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// spooled is a frame that waits for inference. Its body is in memory while
// there is room for it.
type spooled struct {
	spoolHeader
	id      uint64 // 0: only in memory
	body    *[]byte
	picture *Picture // evidence, only in memory
	// model is the edition that the tensor was made for; nil: there is no tensor,
	// or an earlier owner made it for another one.
	model *modelState
}

// Sizes and times of a spooled lane.
const (
	// spoolAhead is how many tensors of a lane are kept in memory besides the
	// disk, so that a lane that keeps up need not read them back.
	spoolAhead = 8
	// spoolPause is how soon a spool that cannot be reached is tried again.
	spoolPause = 250 * time.Millisecond
	// trimEvery bounds how often the spool is told what is done.
	trimEvery = 200 * time.Millisecond
)

// openSpool takes over what an earlier owner of the lane left: it goes on
// behind it with what comes.
func (l *lane) openSpool(ctx context.Context, spool Spool) error {
	log, left, err := spool.Open(ctx, l.camera.cfg.ID, l.name)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	l.spool, l.backlog, l.trim = log, newBacklog(), make(chan uint64, 1)
	done := uint64(0)
	for _, entry := range left {
		s := &spooled{id: entry.ID}
		if err := json.Unmarshal(entry.Header, &s.spoolHeader); err != nil || s.Frame == nil {
			return fmt.Errorf("spool of camera %s, model %s: entry %d cannot be read: %w", l.camera.cfg.ID, l.name, entry.ID, err)
		}
		f := s.Frame
		if f.Epoch < l.taken.Epoch || (f.Epoch == l.taken.Epoch && f.Seq <= l.taken.Seq) {
			done = entry.ID // its result is stored, or it is here twice
			continue
		}
		l.taken = Place{Epoch: f.Epoch, Seq: f.Seq}
		l.account.enter(1)
		l.reserve(s)
		l.backlog.put(s)
	}
	if done > 0 {
		l.trim <- done
	}
	if n := l.backlog.waiting(); n > 0 {
		l.camera.owner.deps.Log.Info("going on with what an earlier owner left in the spool", "camera", l.camera.cfg.ID, "model", l.name, "frames", n)
	}
	return nil
}

// fillSpool writes every offered frame to the spool and only then lets go of
// its pixels: from there on it is safe.
func (l *lane) fillSpool() {
	defer l.backlog.close()
	l.pics = l.camera.owner.openPictures()
	defer l.camera.owner.closePictures(l.pics)
	ctx := l.camera.ctx
	for e := range l.in {
		if ctx.Err() != nil {
			l.drop(e, DropShutdown)
			continue
		}
		s := l.prepare(e)
		if s == nil {
			l.drop(e, DropOverwritten)
			l.lateGap = addGap(e.gap, DropOverwritten, 1)
			continue
		}
		if !l.append(ctx, s) {
			s.unmake(s.body)
			l.drop(e, DropShutdown)
			continue
		}
		e.release()
		l.backlog.put(s)
	}
}

// prepare makes what is written of e; nil if its pixels are gone.
func (l *lane) prepare(e *entry) *spooled {
	s := &spooled{spoolHeader: spoolHeader{Frame: e.frame, Gap: e.gap, Unfit: e.unfit}}
	for r, n := range l.lateGap {
		s.Gap = addGap(s.Gap, r, n)
	}
	l.lateGap = nil
	switch {
	case e.frame.Overflow:
		s.Failed, s.Reason = FailedSpoolFull, FailedSpoolFull
		return s
	case e.frame.Unreadable:
		s.Failed, s.Reason = "unreadable", e.frame.Reason
		return s
	case e.unfit != "":
		return s
	}
	began := time.Now()
	f := l.claim(s)
	body := s.model.pool.Get().(*[]byte)
	geom, picture, err := l.transform(l.pics, f.tf, *body, e.frame)
	if errors.Is(err, errOverwritten) {
		s.unmake(body)
		return nil
	}
	took := time.Since(began)
	l.camera.owner.deps.Observer.Stage("preprocess", l.camera.cfg.ID, l.name, took)
	s.Geometry, s.Prepared, s.picture = geom, vedette.Millis(took), picture
	if err != nil {
		s.unmake(body)
		s.Failed, s.Reason = "preprocess", err.Error()
		return s
	}
	s.body = body
	return s
}

// append writes s, and tries for as long as the spool cannot be reached. A
// frame for which there is no room is noted without its tensor: it has failed.
// While the spool cannot be written, frames go on in memory: looking does not
// wait for a disk. It returns false when ctx ends first.
func (l *lane) append(ctx context.Context, s *spooled) bool {
	for {
		header, err := json.Marshal(&s.spoolHeader)
		if err == nil {
			var body []byte
			if s.body != nil {
				body = *s.body
			}
			began := time.Now()
			s.id, err = l.spool.Append(ctx, header, body)
			l.camera.owner.deps.Observer.Stage("spool", l.camera.cfg.ID, l.name, time.Since(began))
		}
		switch {
		case err == nil:
			l.appending.over(l, nil)
			switch {
			case s.picture != nil: // evidence is in memory only
				l.backlog.awaitRoom(ctx)
			case s.body != nil && !l.backlog.room():
				s.model.pool.Put(s.body)
				s.body = nil // it is read back when its turn comes
			}
			return true
		case errors.Is(err, ErrSpoolFull) && s.body != nil:
			l.appending.over(l, err)
			s.unmake(s.body)
			s.body, s.picture, s.Failed, s.Reason = nil, nil, FailedSpoolFull, FailedSpoolFull
			continue
		case errors.Is(err, ErrSpoolRefused):
			l.appending.over(l, err)
			s.id = 0
			l.backlog.awaitRoom(ctx)
			return ctx.Err() == nil
		}
		l.appending.over(l, err)
		select {
		case <-time.After(spoolPause):
		case <-ctx.Done():
			return false
		}
	}
}

// trouble logs the begin and the end of a trouble with the spool, for one
// goroutine.
type trouble struct{ on bool }

func (t *trouble) over(l *lane, err error) {
	log := l.camera.owner.deps.Log.With("camera", l.camera.cfg.ID, "model", l.name)
	switch {
	case err != nil && !t.on:
		log.Error("the spool fails; trying again", "error", err)
	case err == nil && t.on:
		log.Info("the spool works again")
	}
	t.on = err != nil
}

// sendSpooled turns what is in the backlog into requests, in order. When the
// owner stops, the rest stays in the spool for the next one.
func (l *lane) sendSpooled() {
	defer close(l.order)
	ctx := l.camera.ctx
	for {
		s := l.backlog.take(ctx)
		if s == nil || !l.sendOne(ctx, s) {
			if s != nil {
				l.leave(s)
			}
			break
		}
	}
	for s := l.backlog.take(context.Background()); s != nil; s = l.backlog.take(context.Background()) {
		l.leave(s)
	}
}

// sendOne gives the next frame its ticket; false when the owner stops first.
func (l *lane) sendOne(ctx context.Context, s *spooled) bool {
	t := l.ticket(&entry{frame: s.Frame, gap: s.Gap}, l.fit.Load().model)
	t.spoolID, t.release, t.picture = s.id, func() {}, s.picture
	t.det.Timing.Preprocess = s.Prepared
	switch {
	case s.Unfit != "":
		t.unfit(s.Unfit)
	case s.Failed != "":
		t.fail(s.Failed, s.Reason)
	default:
		return l.sendTensor(ctx, s, t)
	}
	l.settle(t)
	return true
}

// settle puts a ticket in its place whose result is known.
func (l *lane) settle(t *ticket) {
	close(t.done)
	l.order <- t
}

// sendTensor gives s to a worker; false when the owner stops first.
func (l *lane) sendTensor(ctx context.Context, s *spooled, t *ticket) bool {
	f, err := l.acquireFor(ctx, s)
	if errors.Is(err, errReplaced) {
		t.fail("model", err.Error())
		l.settle(t)
		return true
	}
	if err != nil {
		return false
	}
	m := f.model
	t.det.Model = m.cfg.Ref
	body := s.body
	for body == nil {
		data, err := l.spool.Read(ctx, s.id)
		switch {
		case err == nil && len(data) == m.bytes:
			body = &data
		case err == nil, errors.Is(err, ErrSpoolLost):
			m.credits.release(&f.holder)
			s.forget()
			if err == nil {
				err = fmt.Errorf("the spool has %d bytes of it, want %d", len(data), m.bytes)
			}
			t.fail("spool", err.Error())
			l.settle(t)
			return true
		default:
			l.reading.over(l, err)
			select {
			case <-time.After(spoolPause):
			case <-ctx.Done():
				m.credits.release(&f.holder)
				return false
			}
		}
	}
	l.reading.over(l, nil)
	l.order <- t
	r := &request{lane: l, fit: f, ticket: t, body: body, req: &tensor.Request{
		Camera: s.Frame.Camera, Epoch: s.Frame.Epoch, Seq: s.Frame.Seq, SHA256: m.cfg.Ref.SHA256, Edition: m.cfg.Edition, Geometry: s.Geometry,
	}}
	s.forget()
	r.send(ctx)
	return true
}

// leave takes a frame out of the account that stays in the spool for the next
// owner.
func (l *lane) leave(s *spooled) {
	l.account.leave(outDropped, DropShutdown, 1)
	s.unmake(s.body)
}

// safe notes that the results of all entries up to id are stored.
func (l *lane) safe(id uint64) {
	if l.spool == nil || id == 0 {
		return
	}
	for {
		select {
		case l.trim <- id:
			return
		case old := <-l.trim:
			id = max(id, old)
		}
	}
}

// trimSpool removes what is done, until the lane ends.
func (l *lane) trimSpool(ended <-chan struct{}) {
	trim := func(id uint64) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := l.spool.Trim(ctx, id); err != nil {
			// No loss: what stays is skipped, and goes with the next trimming.
			l.camera.owner.deps.Log.Debug("spool not trimmed", "camera", l.camera.cfg.ID, "error", err)
		}
	}
	for {
		select {
		case id := <-l.trim:
			trim(id)
		case <-ended:
			select {
			case id := <-l.trim:
				trim(id)
			default:
			}
			return
		}
		select {
		case <-time.After(trimEvery):
		case <-ended:
		}
	}
}
