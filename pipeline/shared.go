package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/internal/ring"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/models"
)

// tensorSlots is how many tensors of a model an owner can have in shared memory
// at a time. One that finds no slot travels over the bus.
const tensorSlots = 16

// tensorMemory is the shared memory in which an owner leaves tensors for workers
// in other processes of its host: half a megabyte through the bus and back costs
// more than all the rest of a frame's way. It is safe for concurrent use.
type tensorMemory struct {
	log *slog.Logger

	mu     sync.Mutex
	rings  map[int]*tensorRing // by size of the tensors
	closed bool
}

// tensorRing has tensors of one size.
type tensorRing struct {
	w    *ring.Writer // nil: there is no memory for it
	free []int
}

func newTensorMemory(log *slog.Logger) *tensorMemory {
	return &tensorMemory{log: log, rings: map[int]*tensorRing{}}
}

// reserve takes the memory for tensors of size bytes now, so that a lack of it
// is found at the start.
func (t *tensorMemory) reserve(size int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.rings[size]; r != nil && r.w != nil {
		return nil
	}
	return t.create(size)
}

// create makes a ring. mu is held.
func (t *tensorMemory) create(size int) error {
	w, err := ring.Create(tensorSlots, size)
	if err != nil {
		return fmt.Errorf("shared memory for tensors: %w", err)
	}
	r := &tensorRing{w: w}
	for slot := range tensorSlots {
		r.free = append(r.free, slot)
	}
	t.rings[size] = r
	return nil
}

// put copies a tensor into shared memory; ok is false where there is no room.
// done lets go of it.
func (t *tensorMemory) put(body []byte) (ref vedette.RingRef, done func(), ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return ref, nil, false
	}
	if t.rings[len(body)] == nil {
		if err := t.create(len(body)); err != nil {
			t.log.Warn("tensors go over the bus", "error", err)
			t.rings[len(body)] = &tensorRing{}
		}
	}
	r := t.rings[len(body)]
	if len(r.free) == 0 {
		return ref, nil, false
	}
	slot := r.free[len(r.free)-1]
	r.free = r.free[:len(r.free)-1]
	copy(r.w.Begin(slot), body)
	ref = r.w.Commit(slot, len(body), len(body))
	return ref, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		r.free = append(r.free, slot)
	}, true
}

// keep lets go of the memory for tensors of other sizes, as far as no request
// has one.
func (t *tensorMemory) keep(sizes map[int]bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for size, r := range t.rings {
		switch {
		case sizes[size], r.w != nil && len(r.free) < tensorSlots:
			continue
		case r.w != nil:
			errs = append(errs, r.w.Close())
		}
		delete(t.rings, size)
	}
	return errors.Join(errs...)
}

func (t *tensorMemory) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	var errs []error
	for size, r := range t.rings {
		if r.w != nil {
			errs = append(errs, r.w.Close())
		}
		delete(t.rings, size)
	}
	return errors.Join(errs...)
}

// tensorReader reads tensors that owners of this host left in their memory. It
// is safe for concurrent use.
type tensorReader struct {
	mu      sync.Mutex
	readers map[string]*mappedRing // by ring
	bodies  sync.Pool              // of *[]byte
}

// mappedRing is an owner's ring.
type mappedRing struct {
	ring.Reader
	used time.Time
}

const (
	// readersKept is how many owners' rings stay mapped; more are let go.
	readersKept = 16
	// readerIdle is how long a ring may lie idle before it is let go: its memory is
	// not free before, though the owner is gone or makes other tensors by now.
	readerIdle = 5 * time.Second
)

func newTensorReader() *tensorReader { return &tensorReader{readers: map[string]*mappedRing{}} }

// read copies the tensor out of the owner's memory. The error means that the
// owner is gone or has given the request up, or that its memory cannot be
// reached from here. free gives the copy back.
func (t *tensorReader) read(ref vedette.RingRef) (body []byte, free func(), err error) {
	b, _ := t.bodies.Get().(*[]byte)
	if b == nil {
		b = new([]byte)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.readers[ref.Path]
	if r == nil {
		if len(t.readers) >= readersKept {
			_ = t.forget(time.Now()) // who unmaps what is mapped cannot fail
		}
		r = new(mappedRing)
		t.readers[ref.Path] = r
	}
	r.used = time.Now()
	view, err := r.View(ref)
	if err != nil {
		return nil, nil, err
	}
	*b = append((*b)[:0], view...)
	if !r.Valid(ref) {
		return nil, nil, ring.ErrOverwritten
	}
	return *b, func() { t.bodies.Put(b) }, nil
}

// forget unmaps the rings that nothing was read from since; those in use are
// mapped again. mu is held.
func (t *tensorReader) forget(since time.Time) (err error) {
	for path, r := range t.readers {
		if !r.used.After(since) {
			err = errors.Join(err, r.Close())
			delete(t.readers, path)
		}
	}
	return err
}

// sweep unmaps the rings that lie idle.
func (t *tensorReader) sweep(now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.forget(now.Add(-readerIdle))
}

func (t *tensorReader) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.forget(time.Now())
}

// freeTensors lets go of the memory for tensors that no edition in use takes any
// more, here and of other processes.
func (p *Pipeline) freeTensors() {
	sizes := map[int]bool{}
	for _, m := range p.known() {
		if m.Loaded != nil {
			sizes[tensorBytes(m)] = true
		}
	}
	if p.owner != nil {
		for _, u := range p.owner.Uses() {
			sizes[u.Bytes] = true
		}
	}
	if err := errors.Join(p.memory.keep(sizes), p.tensors.sweep(time.Now())); err != nil {
		p.deps.Log.Warn("shared memory for tensors is not free", "error", err)
	}
}

// tensorBytes is the size of a model's tensors.
func tensorBytes(m Model) int {
	in := m.Loaded.Manifest.Input
	return in.Width * in.Height * in.Channels()
}

// reserveTensors takes the memory in which tensors of a model are left for
// workers that are other processes, most likely of this host, so that a lack of
// it is found before the model is used.
func (p *Pipeline) reserveTensors(m Model) error {
	if p.runs.Infer || !p.runs.Preprocess {
		return nil
	}
	if err := p.memory.reserve(tensorBytes(m)); err != nil {
		return fmt.Errorf("model %s: %w", m.name(), err)
	}
	return nil
}

// incoming makes a worker's request of a message: its picture may lie in the
// memory of this host, or be encoded. ok is false when it was answered already.
func (p *Pipeline) incoming(in models.Input, r *tensor.Request, req infer.Incoming) (_ infer.Incoming, ok bool) {
	if r.Ref == nil && r.Encoding == "" {
		return req, true
	}
	respond := req.Respond
	refuse := func(a tensor.Answer) (infer.Incoming, bool) {
		data, err := json.Marshal(a)
		if err == nil {
			err = respond(data)
		}
		if err != nil {
			p.deps.Log.Warn("answer not sent", "error", err)
		}
		return req, false
	}
	if r.Ref == nil {
		body, err := decodeTensor(in, r.Encoding, req.Body)
		if err != nil {
			return refuse(tensor.Answer{Status: vedette.StatusFailed, Reason: err.Error()})
		}
		req.Body = body
		return req, true
	}
	copied, free, err := p.tensors.read(*r.Ref)
	if err != nil {
		p.deps.Log.Debug("tensor not read from memory", "error", err)
		return refuse(tensor.Answer{Send: true})
	}
	req.Body = copied
	req.Respond = func(answer []byte) error {
		err := respond(answer)
		free()
		return err
	}
	return req, true
}
