package bus_test

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/testkit"
)

func TestStoreThatCannotBeWritten(t *testing.T) {
	t.Run("read-only", func(t *testing.T) {
		err := refused(t, bus.Config{Store: testkit.Disk(t, "ro")})
		if !errors.Is(err, bus.ErrConfig) || !strings.Contains(err.Error(), "read-only file system") {
			t.Error(err)
		}
	})
	t.Run("full", func(t *testing.T) {
		dir := testkit.Disk(t, "size=64k")
		if err := os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 128<<10), 0o600); err == nil {
			t.Fatal("it is not full")
		}
		err := refused(t, bus.Config{Store: dir})
		if !errors.Is(err, bus.ErrConfig) || !strings.Contains(err.Error(), "no space left") {
			t.Error(err)
		}
	})
}

// The disk fills up while detections are written, and is cleared, and once more:
// who listens live sees all of them, and those that are not stored are said to be
// so, each.
func TestDiskFullAndCleared(t *testing.T) {
	dir := testkit.Disk(t, "size=12m")
	b := start(t, bus.Config{Store: dir})
	f := &fullDisk{t: t, w: writer(t, b), ballast: filepath.Join(dir, "ballast")}
	mustWrite(t, f.w, "gate", upTo(10)...)
	f.next = 10
	live, err := b.Conn().SubscribeSync("vedette.detection.>")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		f.fill()
		f.clear()
		mustWrite(t, f.w, "gate", f.next)
		f.next++
	}
	all := stored(t, b, "gate")
	if len(all) < 12 || all[0] != 0 || all[len(all)-1] != f.next-1 {
		t.Fatalf("%d are stored, want up to %d: %v", len(all), f.next-1, all)
	}
	for i := 1; i < len(all); i++ {
		if all[i] <= all[i-1] {
			t.Errorf("out of order or double: %d after %d", all[i], all[i-1])
		}
	}
	lacking := int(f.next) - len(all)
	t.Logf("%d written, %d of them not stored, %d said to be so", f.next, lacking, f.unstored)
	// One can be taken while the store comes back, without an answer.
	if lacking > f.unstored || lacking == 0 {
		t.Errorf("%d are not stored, and %d were said to be so", lacking, f.unstored)
	}
	seen := map[string]bool{}
	for n, err := live.NextMsg(time.Second); err == nil; n, err = live.NextMsg(200 * time.Millisecond) {
		seen[string(n.Data)] = true
	}
	if uint64(len(seen)) != f.next-10 {
		t.Errorf("who listens live saw %d of %d", len(seen), f.next-10)
	}
}

// fullDisk writes the detections of one camera while the disk fills and is cleared.
type fullDisk struct {
	t        *testing.T
	w        *bus.DetectionWriter
	ballast  string
	size     int // of what fills it; 0: 16 MiB
	next     uint64
	unstored int
}

// write writes one more; never with another error, nor for ever.
func (f *fullDisk) write() {
	f.t.Helper()
	err := write(f.w, detection("gate", f.next))
	switch {
	case errors.Is(err, bus.ErrUnstored):
		f.unstored++
	case err != nil:
		f.t.Fatalf("%d: %v", f.next, err)
	}
	f.next++
}

func (f *fullDisk) fill() {
	f.t.Helper()
	if err := os.WriteFile(f.ballast, make([]byte, cmp.Or(f.size, 16<<20)), 0o600); err == nil {
		f.t.Fatal("it is not full")
	}
	for first := f.next; !f.w.Degraded(); f.write() {
		if f.next == first+20000 {
			f.t.Fatal("never full")
		}
	}
	began := time.Now()
	for range 4 {
		f.write()
	}
	if took := time.Since(began); took > 2*time.Second {
		f.t.Errorf("four detections took %s with a full disk", took)
	}
}

func (f *fullDisk) clear() {
	f.t.Helper()
	if err := os.Remove(f.ballast); err != nil {
		f.t.Fatal(err)
	}
	eventually(f.t, "stored again", func() bool {
		f.write()
		time.Sleep(10 * time.Millisecond)
		return !f.w.Degraded()
	})
}

// The disk fills up: appending says so, soon, and works again when there is room.
func TestSpoolOnAFullDisk(t *testing.T) {
	dir := testkit.Disk(t, "size=24m")
	b := start(t, bus.Config{Store: filepath.Join(dir, "store")})
	s, err := b.OpenSpool(t.Context(), "here", 0)
	if err != nil {
		t.Fatal(err)
	}
	log, body := s.Log("gate", "m"), make([]byte, 64<<10)
	if _, err := log.Append(t.Context(), []byte("{}"), body); err != nil || !s.Writable() {
		t.Fatal(err)
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 32<<20), 0o600); err == nil {
		t.Fatal("it is not full")
	}
	for range 20 {
		if _, err = log.Append(t.Context(), []byte("{}"), body); err != nil {
			break
		}
	}
	if !errors.Is(err, bus.ErrSpoolRefused) || s.Writable() {
		t.Fatalf("with a full disk: %v", err)
	}
	began := time.Now()
	for range 10 {
		if _, err := log.Append(t.Context(), []byte("{}"), body); !errors.Is(err, bus.ErrSpoolRefused) {
			t.Errorf("with a full disk: %v", err)
		}
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("ten entries took %v with a full disk", took)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	var id uint64
	eventually(t, "room", func() bool {
		id, err = log.Append(t.Context(), []byte("{}"), body)
		return err == nil && s.Writable()
	})
	if got, err := log.Read(t.Context(), id); err != nil || len(got) != len(body) {
		t.Errorf("%d bytes: %v", len(got), err)
	}
}

// The disk of a hub's host fills up and is cleared: who listens at the hub hears
// everything, and the hub has what the host stored.
func TestDiskFullOnAHostOfAHub(t *testing.T) {
	cfg := hubConfig(t)
	hub := startTold(t, cfg)
	plant := plant{url: hub.Address(), key: hub.KeyFile}
	live := hear(t, plant.connect(t, anonymous))
	dir := testkit.Disk(t, "size=12m")
	at := hostConfig(t, "east", cfg.Leafs, cfg)
	at.Store = filepath.Join(dir, "store")
	b := startTold(t, at)
	f := &fullDisk{t: t, w: writer(t, b), ballast: filepath.Join(dir, "ballast")}
	patient(t, "a hub that collects", func() bool { return b.HubState().Collects })
	patient(t, "somebody who listens at the hub", func() bool { f.write(); return len(live.of("gate")) > 0 })
	first := live.of("gate")[0]
	f.fill()
	f.clear()
	mustWrite(t, f.w, "gate", f.next)
	f.next++
	want := stored(t, b, "gate")
	if lacking := int(f.next) - len(want); lacking > f.unstored || lacking == 0 { // one may be stored whose word was late
		t.Errorf("%d are not stored on the host, and %d were said to be so", lacking, f.unstored)
	}
	patient(t, "what the host stored at the hub", func() bool { return len(stored(t, hub, "gate")) >= len(want) })
	wantStored(t, hub, "gate", want)
	patient(t, "everything heard at the hub", func() bool { return slices.Contains(live.of("gate"), f.next-1) })
	if got := slices.Compact(live.of("gate")); len(got) != int(f.next-first) {
		t.Errorf("who listens at the hub heard %d of %d", len(got), f.next-first)
	}
}

// The disk of a server of its own fills up, which only its silence tells. It is
// cleared, and the server restarted, since that does not do so by itself.
func TestDiskFullOfAnotherServer(t *testing.T) {
	dir := testkit.Disk(t, "size=24m")
	store := filepath.Join(dir, "store")
	p := spawn(t, store)
	b := start(t, bus.Config{URL: p.url})
	f := &fullDisk{t: t, w: writer(t, b), ballast: filepath.Join(dir, "ballast"), size: 32 << 20}
	for range 10 {
		f.write()
	}
	s, err := b.OpenSpool(t.Context(), "here", 0)
	if err != nil {
		t.Fatal(err)
	}
	log, body := s.Log("gate", "m"), make([]byte, 64<<10)
	f.fill()
	for range 20 {
		if _, err = log.Append(t.Context(), []byte("{}"), body); err != nil {
			break
		}
	}
	if !errors.Is(err, bus.ErrSpoolRefused) {
		t.Errorf("with a full disk: %v", err)
	}
	if err := os.Remove(f.ballast); err != nil {
		t.Fatal(err)
	}
	p.kill()
	spawn(t, store)
	patient(t, "stored again", func() bool { f.write(); return !f.w.Degraded() })
	all := stored(t, b, "gate")
	if lacking := int(f.next) - len(all); lacking == 0 || lacking > f.unstored || all[len(all)-1] != f.next-1 {
		t.Errorf("%d are not stored, %d were said to be so; the last is %d of %d", lacking, f.unstored, all[len(all)-1], f.next)
	}
	eventually(t, "a spool that works again", func() bool { _, err := log.Append(t.Context(), []byte("{}"), body); return err == nil })
}
