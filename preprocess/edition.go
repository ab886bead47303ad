package preprocess

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/models"
)

// ModelConfig is what the owner needs to know of a model.
type ModelConfig struct {
	Ref     vedette.ModelRef // Engine and Device are the worker's to fill
	Edition string           // see [models.Model]
	Input   models.Input
	// MinScore is the score below which objects are left out where a camera does
	// not say so itself.
	MinScore float64
	// Credits bounds the requests under way at first; see [Owner.SetCredits].
	Credits int
}

// modelState is what all cameras of a model share while they use one edition of
// it.
type modelState struct {
	cfg     ModelConfig
	fit     string // of its pictures
	credits *credits
	bytes   int
	pool    sync.Pool // of *[]byte, model-sized
	// spooled counts the pictures of this edition that wait in spools.
	spooled atomic.Int64
}

func newModelState(cfg ModelConfig) (*modelState, error) {
	size := cfg.Input.Width * cfg.Input.Height * cfg.Input.Channels()
	if size <= 0 {
		return nil, fmt.Errorf("model %s: input of %d×%d pixels: the manifest must give its size", cfg.Ref.Name, cfg.Input.Width, cfg.Input.Height)
	}
	if _, err := NewTransform(cfg.Input); err != nil {
		return nil, fmt.Errorf("model %s: %w", cfg.Ref.Name, err)
	}
	m := &modelState{cfg: cfg, fit: cfg.Input.Fit(), credits: newCredits(cfg.Credits), bytes: size}
	m.pool.New = func() any { b := make([]byte, size); return &b }
	return m, nil
}

// busy reports whether something of this edition is under way.
func (m *modelState) busy() bool { return m.credits.busy() || m.spooled.Load() > 0 }

// fitting is a lane's use of one edition of its model. When another edition
// takes its place, so does another fitting; requests go on with theirs.
type fitting struct {
	model  *modelState
	tf     *Transform // only the goroutine that makes tensors uses it
	holder holder     // of the model's credits
}

func (l *lane) newFitting(m *modelState) (*fitting, error) {
	tf, err := NewTransform(m.cfg.Input)
	if err != nil {
		return nil, err
	}
	return &fitting{model: m, tf: tf, holder: holder{bounded: l.camera.cfg.Delivery == Latest, gone: make(chan struct{})}}, nil
}

// minScore is the score below which the lane leaves objects out.
func (l *lane) minScore(f *fitting) float64 { return cmp.Or(l.cfg.MinScore, f.model.cfg.MinScore) }

// acquire waits for a credit of the edition that frames are inferred with when
// it is given, or until ctx ends.
func (l *lane) acquire(ctx context.Context) (*fitting, error) {
	for {
		f := l.fit.Load()
		err := f.model.credits.acquire(ctx, &f.holder)
		if errors.Is(err, errGone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if l.fit.Load() == f {
			return f, nil
		}
		f.model.credits.release(&f.holder) // another took its place meanwhile
	}
}

// SetModel adds a model, or makes this the edition of it that frames are
// inferred with from now on. Every lane changes between two frames; what is
// under way goes on with the edition that it was made for ([Owner.Uses] says
// until when), and is made anew when nobody serves that one any more. On an
// error nothing has changed.
func (o *Owner) SetModel(cfg ModelConfig) error {
	m, err := newModelState(cfg)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	fits := map[*lane]*fitting{}
	for _, c := range o.cameras {
		for _, l := range c.lanes {
			if l.name != cfg.Ref.Name {
				continue
			}
			if fits[l], err = l.newFitting(m); err != nil {
				return fmt.Errorf("model %s: %w", cfg.Ref.Name, err)
			}
		}
	}
	o.modelsMu.Lock()
	old := o.models[cfg.Ref.Name]
	o.models[cfg.Ref.Name] = m
	o.retire(old)
	o.modelsMu.Unlock()
	for l, f := range fits {
		close(l.fit.Swap(f).holder.gone) // who waits for a credit of it looks again
	}
	return nil
}

// RemoveModel forgets a model that no camera uses.
func (o *Owner) RemoveModel(name string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, c := range o.cameras {
		if slices.ContainsFunc(c.lanes, func(l *lane) bool { return l.name == name }) {
			return fmt.Errorf("model %s cannot be removed: camera %s uses it", name, id)
		}
	}
	o.modelsMu.Lock()
	defer o.modelsMu.Unlock()
	o.retire(o.models[name])
	delete(o.models, name)
	return nil
}

// retire keeps an edition in mind until nothing of it is under way. modelsMu is
// held.
func (o *Owner) retire(m *modelState) {
	if m != nil {
		o.before = append(o.before, m)
	}
}

// Use is an edition of a model that the owner needs somebody to serve.
type Use struct {
	Ref     vedette.ModelRef
	Edition string
	Cameras int
	// Leaving says that frames are inferred with another edition by now, and that
	// some of this one are under way still.
	Leaving bool
}

// Uses lists the editions in use: those of cameras, and those before them of
// which something is under way.
func (o *Owner) Uses() []Use {
	o.mu.Lock()
	cameras := map[*modelState]int{}
	for _, c := range o.cameras {
		for _, l := range c.lanes {
			cameras[l.fit.Load().model]++
		}
	}
	o.mu.Unlock()
	var all []Use
	for m, n := range cameras {
		all = append(all, Use{Ref: m.cfg.Ref, Edition: m.cfg.Edition, Cameras: n})
	}
	o.modelsMu.Lock()
	o.before = slices.DeleteFunc(o.before, func(m *modelState) bool { return !m.busy() && cameras[m] == 0 })
	for _, m := range o.before {
		if cameras[m] == 0 {
			all = append(all, Use{Ref: m.cfg.Ref, Edition: m.cfg.Edition, Leaving: true})
		}
	}
	o.modelsMu.Unlock()
	slices.SortFunc(all, func(a, b Use) int {
		return cmp.Or(cmp.Compare(a.Ref.Name, b.Ref.Name), cmp.Compare(a.Edition, b.Edition))
	})
	return all
}

// model is the edition of a model that is current, or nil.
func (o *Owner) model(name string) *modelState {
	o.modelsMu.Lock()
	defer o.modelsMu.Unlock()
	return o.models[name]
}

// errReplaced says that a picture was made for an edition that nobody serves any
// more, and cannot be made anew.
var errReplaced = errors.New("the frame was prepared for another model, which was replaced")

// renew makes a request, which nobody took as it is, one for the edition that
// frames are inferred with by now. Where that is the same nothing changes. What
// cannot be made anew is tried once more as it is.
func (r *request) renew(ctx context.Context) error {
	l, old := r.lane, r.fit
	now := l.fit.Load()
	switch tried := r.behind; {
	case now == old:
		return nil
	case l.spool == nil || now.model.fit == old.model.fit:
	case tried:
		return errReplaced
	default:
		r.behind = true
		return nil
	}
	to, err := l.acquire(ctx)
	if err != nil {
		return err
	}
	body := r.body
	if to.model.fit != old.model.fit {
		if body, err = l.remake(to, r); err != nil {
			to.model.credits.release(&to.holder)
			return err
		}
		old.model.pool.Put(r.body)
	}
	old.model.credits.release(&old.holder)
	r.fit, r.body = to, body
	r.req.SHA256, r.req.Edition, r.ticket.det.Model = to.model.cfg.Ref.SHA256, to.model.cfg.Edition, to.model.cfg.Ref
	return nil
}

// remake makes the tensor of a request anew for another edition. The pixels of a
// lossless frame are still there, unless its tensor went through a spool.
func (l *lane) remake(to *fitting, r *request) (*[]byte, error) {
	if l.spool != nil {
		return nil, errReplaced // yet another one took its place meanwhile
	}
	tf, err := NewTransform(to.model.cfg.Input) // the lane's own is in use
	if err != nil {
		return nil, err
	}
	pics := l.camera.owner.openPictures()
	defer l.camera.owner.closePictures(pics)
	body := to.model.pool.Get().(*[]byte)
	geom, _, err := l.transform(pics, tf, *body, r.ticket.frame)
	if err != nil {
		to.model.pool.Put(body)
		return nil, err
	}
	r.req.Geometry = geom
	return body, nil
}
