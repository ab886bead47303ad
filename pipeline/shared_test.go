package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"

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
		if r, err := tensor.ParseRequest(header); err == nil && r.Ref != nil && blind {
			r.Ref.Path = "/proc/1/fd/999" // as in another container
			data, _ := json.Marshal(r)
			header = string(data)
		}
		in, ok := p.incoming(models.Input{}, header, body, respond)
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
		a, err := w.ask(t.Context(), "vedette.tensor.m.other", "other", m, req, []byte("12345"))
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
		header, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var answer tensor.Answer
		in, ok := p.incoming(models.Input{Width: 8, Height: 8}, string(header), []byte("no picture"), func(b []byte) error { return json.Unmarshal(b, &answer) })
		if ok || answer.Status != vedette.StatusFailed || answer.Reason == "" {
			t.Errorf("%q: %v %+v, %+v", r.Encoding, ok, answer, infer.Incoming{Header: in.Header})
		}
	}
}
