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

	mu    sync.Mutex
	rings map[int]*tensorRing // by size of the tensors
}

// tensorRing has tensors of one size.
type tensorRing struct {
	w    *ring.Writer // nil: there is no memory for it
	free []int
	used time.Time // when it last was
}

// memoryKept is for how long memory for tensors is kept that nobody uses: a model
// that took its size may have been replaced.
const memoryKept = time.Minute

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
	w, err := ring.Create(tensorSlots, size)
	if err != nil {
		return fmt.Errorf("shared memory for tensors: %w", err)
	}
	r := &tensorRing{w: w, used: time.Now()}
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
	r := t.rings[len(body)]
	t.mu.Unlock()
	if r == nil {
		if err := t.reserve(len(body)); err != nil {
			t.log.Warn("tensors go over the bus", "error", err)
			t.mu.Lock()
			t.rings[len(body)] = &tensorRing{}
			t.mu.Unlock()
			return ref, nil, false
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if r = t.rings[len(body)]; len(r.free) == 0 {
		return ref, nil, false
	}
	slot := r.free[len(r.free)-1]
	r.free = r.free[:len(r.free)-1]
	r.used = time.Now()
	copy(r.w.Begin(slot), body)
	ref = r.w.Commit(slot, len(body), len(body))
	return ref, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		r.free = append(r.free, slot)
	}, true
}

// tidy frees what has not been used for memoryKept, but for sizes that keep
// names.
func (t *tensorMemory) tidy(keep map[int]bool) (err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for size, r := range t.rings {
		if keep[size] || time.Since(r.used) < memoryKept || (r.w != nil && len(r.free) < tensorSlots) {
			continue
		}
		if r.w != nil {
			err = errors.Join(err, r.w.Close())
		}
		delete(t.rings, size)
	}
	return err
}

func (t *tensorMemory) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
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

type mappedRing struct {
	ring.Reader
	used time.Time // when it last was
}

// readersKept is how many owners' rings stay mapped; more are let go.
const readersKept = 16

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
			t.forget()
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

// forget unmaps every ring; those in use are mapped again. mu is held.
func (t *tensorReader) forget() (err error) {
	for path, r := range t.readers {
		err = errors.Join(err, r.Close())
		delete(t.readers, path)
	}
	return err
}

// tidy unmaps what has not been used for memoryKept.
func (t *tensorReader) tidy() (err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for path, r := range t.readers {
		if time.Since(r.used) >= memoryKept {
			err = errors.Join(err, r.Close())
			delete(t.readers, path)
		}
	}
	return err
}

func (t *tensorReader) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.forget()
}

// tidyMemory frees the shared memory of models and owners that are gone.
func (p *Pipeline) tidyMemory() {
	keep := map[int]bool{}
	for _, m := range p.known() {
		if p.owner != nil && !p.runs.Infer && m.Loaded != nil {
			in := m.Loaded.Manifest.Input
			keep[in.Width*in.Height*in.Channels()] = true
		}
	}
	if err := errors.Join(p.memory.tidy(keep), p.tensors.tidy()); err != nil {
		p.deps.Log.Warn("shared memory for tensors was not freed", "error", err)
	}
}

// incoming makes a worker's request of a message: its picture may lie in the
// memory of this host, or be encoded. ok is false when it was answered already.
func (p *Pipeline) incoming(in models.Input, header string, body []byte, respond func([]byte) error) (_ infer.Incoming, ok bool) {
	req := infer.Incoming{Header: header, Body: body, Respond: respond}
	r, err := tensor.ParseRequest(header)
	if err != nil || (r.Ref == nil && r.Encoding == "") {
		return req, true // the pool says what is wrong
	}
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
		if req.Body, err = decodeTensor(in, r.Encoding, body); err != nil {
			return refuse(tensor.Answer{Status: vedette.StatusFailed, Reason: err.Error()})
		}
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
