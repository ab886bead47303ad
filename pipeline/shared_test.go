package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/ring"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/models"
)

func TestTensorMemory(t *testing.T) {
	m, r := newTensorMemory(slog.New(slog.DiscardHandler)), newTensorReader()
	t.Cleanup(func() {
		if err := errors.Join(m.close(), r.close()); err != nil {
			t.Error(err)
		}
	})
	body := func(fill byte) []byte { return bytes.Repeat([]byte{fill}, 3000) }
	var refs []vedette.RingRef
	var dones []func()
	for i := range tensorSlots {
		ref, done, ok := m.put(body(byte(i)))
		if !ok {
			t.Fatalf("no room for tensor %d", i)
		}
		refs, dones = append(refs, ref), append(dones, done)
	}
	if _, _, ok := m.put(body(99)); ok {
		t.Error("there was room for one more than there are slots")
	}
	if _, done, ok := m.put(make([]byte, 7)); !ok { // of another model
		t.Error("no room for a tensor of another size")
	} else {
		done()
	}
	for i, ref := range refs {
		got, free, err := r.read(ref)
		if err != nil || !bytes.Equal(got, body(byte(i))) {
			t.Fatalf("tensor %d: %v", i, err)
		}
		free()
	}
	dones[3]()
	if _, _, ok := m.put(body(7)); !ok {
		t.Error("no room where a request is done")
	}
	if _, _, err := r.read(refs[3]); !errors.Is(err, ring.ErrOverwritten) {
		t.Errorf("a tensor whose slot was used again: %v", err)
	}
}

// Memory for tensors of a size that nobody wants any more goes, here and at who
// read them, but not under a request.
func TestTensorMemoryIsLetGo(t *testing.T) {
	m, r := newTensorMemory(slog.New(slog.DiscardHandler)), newTensorReader()
	views := func() int {
		t.Helper()
		maps, err := os.ReadFile("/proc/self/maps")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(maps), "memfd:")
	}
	before := views()
	check := func(what string, want int) {
		t.Helper()
		if n := views() - before; n != want {
			t.Errorf("%s: %d views of memory, want %d", what, n, want)
		}
	}
	put := func(size int) (done func()) {
		t.Helper()
		ref, done, ok := m.put(make([]byte, size))
		if !ok {
			t.Fatalf("no room for %d bytes", size)
		}
		_, free, err := r.read(ref)
		if err != nil {
			t.Fatal(err)
		}
		free()
		return done
	}
	one, two := put(1000), put(2000)
	check("two sizes, each written and read", 4)
	two()
	if err := m.keep(map[int]bool{2000: true}); err != nil {
		t.Fatal(err)
	}
	check("a request has the other size", 4)
	one()
	if err := m.keep(map[int]bool{2000: true}); err != nil {
		t.Fatal(err)
	}
	check("the other size is gone", 3)
	now := time.Now()
	if err := r.sweep(now); err != nil {
		t.Fatal(err)
	}
	check("nothing lies idle for long yet", 3)
	if err := r.sweep(now.Add(readerIdle)); err != nil {
		t.Fatal(err)
	}
	check("what was read lies idle", 1)
	put(2000)()
	put(1000)()
	check("it is read again", 4)
	if err := errors.Join(m.close(), r.close()); err != nil {
		t.Fatal(err)
	}
	check("at the end", 0)
	if _, _, ok := m.put(make([]byte, 1000)); ok {
		t.Error("there was room behind the end")
	}
}

// A tensor that the worker cannot read from memory is asked for, and from then
// on comes in the message.
func TestTensorIsSentWhereMemoryIsApart(t *testing.T) {
	b, err := bus.Start(t.Context(), bus.Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	p := &Pipeline{deps: Deps{Log: slog.New(slog.DiscardHandler)}, tensors: newTensorReader()}
	w := &workers{bus: b, self: "me", host: "here", memory: newTensorMemory(p.deps.Log)}
	t.Cleanup(func() {
		if err := errors.Join(b.Close(), w.memory.close(), p.tensors.close()); err != nil {
			t.Error(err)
		}
	})
	blind := false
	var bodies [][]byte // as they came in messages
	stop, err := b.Serve("vedette.tensor.m.other", tensor.Header, func(header string, body []byte, respond func([]byte) error) {
		bodies = append(bodies, body)
		r, err := tensor.ParseRequest(header)
		if err != nil {
			t.Error(err)
			return
		}
		if r.Ref != nil && blind {
			r.Ref.Path = "/proc/1/fd/999" // as in another container
		}
		in, ok := p.incoming(models.Input{}, r, infer.Incoming{Header: header, Body: body, Respond: respond})
		if !ok {
			return
		}
		if !bytes.Equal(in.Body, []byte("12345")) {
			t.Errorf("the worker has %q", in.Body)
		}
		data, _ := json.Marshal(tensor.Answer{Status: vedette.StatusOK})
		if err := in.Respond(data); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	req := &tensor.Request{SHA256: "x", Geometry: tensor.Geometry{ScaleX: 1, ScaleY: 1, Width: 1, Height: 1}}
	ask := func(m *member) {
		t.Helper()
		a, err := w.ask(t.Context(), serving{model: "m"}, "other", m, req, []byte("12345"))
		if err != nil || a.Status != vedette.StatusOK {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	near := &member{host: "here"}
	ask(near)
	if len(bodies) != 1 || len(bodies[0]) != 0 || near.apart.Load() {
		t.Errorf("messages with %q for a worker of this host", bodies)
	}
	blind, bodies = true, nil
	ask(near)
	ask(near)
	if len(bodies) != 3 || len(bodies[0]) != 0 || len(bodies[1]) != 5 || len(bodies[2]) != 5 || !near.apart.Load() {
		t.Errorf("messages with %q for a worker that cannot read this memory", bodies)
	}
	bodies = nil
	ask(&member{host: "there"})
	if len(bodies) != 1 || len(bodies[0]) != 5 {
		t.Errorf("messages with %q for a worker of another host", bodies)
	}
}

// What a worker cannot decode is answered as failed, and goes no further.
func TestEncodedTensorThatIsNone(t *testing.T) {
	p := &Pipeline{deps: Deps{Log: slog.New(slog.DiscardHandler)}, tensors: newTensorReader()}
	for _, r := range []tensor.Request{{Encoding: "webp"}, {Encoding: tensor.JPEG}} {
		r.Geometry = tensor.Geometry{ScaleX: 1, ScaleY: 1, Width: 1, Height: 1}
		var answer tensor.Answer
		_, ok := p.incoming(models.Input{Width: 8, Height: 8}, &r, infer.Incoming{
			Body: []byte("no picture"), Respond: func(b []byte) error { return json.Unmarshal(b, &answer) },
		})
		if ok || answer.Status != vedette.StatusFailed || answer.Reason == "" {
			t.Errorf("%q: %v %+v", r.Encoding, ok, answer)
		}
	}
}
