package bus_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/vedette-io/vedette/internal/bus"
)

func openSpool(t *testing.T, b *bus.Bus, limit int64) *bus.Spool {
	t.Helper()
	s, err := b.OpenSpool(t.Context(), "host-1", limit)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fill appends n entries with bodies of size bytes, each full of its number.
func fill(t *testing.T, l *bus.SpoolLog, n, size int) (ids []uint64) {
	t.Helper()
	for i := range n {
		id, err := l.Append(t.Context(), fmt.Appendf(nil, `{"n":%d}`, i), bytes.Repeat([]byte{byte(i)}, size))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

func entries(t *testing.T, l *bus.SpoolLog) []bus.SpoolEntry {
	t.Helper()
	all, err := l.Entries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestSpool(t *testing.T) {
	b := start(t, bus.Config{})
	s := openSpool(t, b, 0)
	gate, yard := s.Log("gate", "m"), s.Log("yard", "m")
	if got := entries(t, gate); len(got) != 0 {
		t.Errorf("a new log has %d entries", len(got))
	}
	const n = 1200 // more than one batch
	ids := fill(t, gate, n, 100)
	fill(t, yard, 3, 100)
	got := entries(t, gate)
	if len(got) != n {
		t.Fatalf("%d entries, want %d", len(got), n)
	}
	for i, e := range got {
		if e.ID != ids[i] || string(e.Header) != fmt.Sprintf(`{"n":%d}`, i) {
			t.Fatalf("entry %d is %d %s", i, e.ID, e.Header)
		}
	}
	if body, err := gate.Read(t.Context(), ids[7]); err != nil || !bytes.Equal(body, bytes.Repeat([]byte{7}, 100)) {
		t.Errorf("body %v, %v", body, err)
	}
	if err := gate.Trim(t.Context(), ids[n-3]); err != nil {
		t.Fatal(err)
	}
	if got := entries(t, gate); len(got) != 2 || got[0].ID != ids[n-2] {
		t.Errorf("after trimming: %v", got)
	}
	if _, err := gate.Read(t.Context(), ids[7]); !errors.Is(err, bus.ErrSpoolLost) {
		t.Errorf("a trimmed entry: %v", err)
	}
	if got := entries(t, yard); len(got) != 3 {
		t.Errorf("trimming one log left %d of 3 in another", len(got))
	}
	gone, err := s.Forget(t.Context(), func(camera, _ string) bool { return camera == "gate" })
	if err != nil || gone != 3 || len(entries(t, yard)) != 0 || len(entries(t, gate)) != 2 {
		t.Errorf("forgot %d frames, %v", gone, err)
	}
}

// A spool refuses bodies beyond its limit, still takes notes, and has room
// again for what was trimmed.
func TestSpoolLimit(t *testing.T) {
	s := openSpool(t, start(t, bus.Config{}), 10<<20)
	l := s.Log("gate", "m")
	ids := fill(t, l, 9, 1<<20)
	body := make([]byte, 1<<20)
	if _, err := l.Append(t.Context(), []byte(`{}`), body); !errors.Is(err, bus.ErrSpoolFull) {
		t.Fatalf("a tenth MiB and its headers in 10 MiB: %v", err)
	}
	if _, err := l.Append(t.Context(), []byte(`{}`), nil); err != nil {
		t.Errorf("a note: %v", err)
	}
	if err := l.Trim(t.Context(), ids[1]); err != nil {
		t.Fatal(err)
	}
	if used, limit := s.Bytes(); used < 7<<20 || used > 8<<20 || limit != 10<<20 {
		t.Errorf("%d of %d bytes are used", used, limit)
	}
	fill(t, l, 2, 1<<20)
}

// What was appended is there after the server's death.
func TestSpoolOutlivesTheServer(t *testing.T) {
	store := t.TempDir()
	p := spawn(t, store)
	b := start(t, bus.Config{URL: p.url})
	ids := fill(t, openSpool(t, b, 0).Log("gate", "m"), 50, 300<<10)
	p.kill()
	p = spawn(t, store)
	b = start(t, bus.Config{URL: p.url})
	l := openSpool(t, b, 0).Log("gate", "m")
	got := entries(t, l)
	if len(got) != 50 || got[49].ID != ids[49] {
		t.Fatalf("%d of 50 entries outlived the server", len(got))
	}
	if body, err := l.Read(t.Context(), ids[49]); err != nil || len(body) != 300<<10 || body[0] != 49 {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}
