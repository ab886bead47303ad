package ring

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vedette-io/vedette"
)

func TestRoundTrip(t *testing.T) {
	w := newWriter(t, 3, 5000)
	var r Reader
	defer closeIt(t, r.Close)
	for i := range 7 {
		slot := i % 3
		mem := w.Begin(slot)
		if len(mem) != 8192 {
			t.Fatalf("slot has %d bytes, want 5000 rounded up to pages", len(mem))
		}
		fill(mem[:5000], byte(i))
		ref := w.Commit(slot, 50, 5000)
		view, err := r.View(ref)
		if err != nil {
			t.Fatalf("view %d: %v", i, err)
		}
		if !uniform(view, byte(i)) || len(view) != 5000 {
			t.Fatalf("picture %d came back different", i)
		}
		if !r.Valid(ref) {
			t.Fatalf("picture %d is not valid though nobody wrote", i)
		}
	}
}

func TestOverwritten(t *testing.T) {
	w := newWriter(t, 2, 64)
	var r Reader
	defer closeIt(t, r.Close)
	w.Begin(0)
	ref := w.Commit(0, 64, 64)
	if _, err := r.View(ref); err != nil {
		t.Fatal(err)
	}
	w.Begin(0)
	if r.Valid(ref) {
		t.Error("valid while the writer is in the slot")
	}
	if _, err := r.View(ref); !errors.Is(err, ErrOverwritten) {
		t.Errorf("View while the writer is in the slot: %v, want ErrOverwritten", err)
	}
	w.Begin(0) // a picture that was given up
	next := w.Commit(0, 64, 64)
	if r.Valid(ref) {
		t.Error("valid after the slot was reused")
	}
	if _, err := r.View(next); err != nil {
		t.Errorf("the new picture: %v", err)
	}
}

func TestBadReferences(t *testing.T) {
	w := newWriter(t, 2, 4096)
	w.Begin(1)
	good := w.Commit(1, 64, 4096)
	plain, err := os.CreateTemp(t.TempDir(), "plain")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pr.Close()
	defer pw.Close()
	self := os.Getpid()
	cases := map[string]func(*vedette.RingRef){
		"negative slot":     func(r *vedette.RingRef) { r.Slot = -1 },
		"slot too high":     func(r *vedette.RingRef) { r.Slot = 2 },
		"offset":            func(r *vedette.RingRef) { r.Offset = 0 },
		"negative offset":   func(r *vedette.RingRef) { r.Offset = -1 << 62 },
		"bytes":             func(r *vedette.RingRef) { r.Bytes = 4097 },
		"negative bytes":    func(r *vedette.RingRef) { r.Bytes = -1 },
		"zero bytes":        func(r *vedette.RingRef) { r.Bytes = 0 },
		"stride":            func(r *vedette.RingRef) { r.Stride = 5000 },
		"zero stride":       func(r *vedette.RingRef) { r.Stride = 0 },
		"odd generation":    func(r *vedette.RingRef) { r.Generation++ },
		"no path":           func(r *vedette.RingRef) { r.Path = "" },
		"other path":        func(r *vedette.RingRef) { r.Path = "/etc/passwd" },
		"path out of proc":  func(r *vedette.RingRef) { r.Path = "/proc/1/fd/../../../etc/passwd" },
		"padded number":     func(r *vedette.RingRef) { r.Path = strings.Replace(r.Path, "/fd/", "/fd/0", 1) },
		"a plain file":      func(r *vedette.RingRef) { r.Path = FDPath(self, int(plain.Fd())) },
		"a pipe":            func(r *vedette.RingRef) { r.Path = FDPath(self, int(pr.Fd())) },
		"a sealed non-ring": func(r *vedette.RingRef) { r.Path = FDPath(self, sealedJunk(t)) },
	}
	for name, spoil := range cases {
		t.Run(name, func(t *testing.T) {
			ref := good
			spoil(&ref)
			for _, warm := range []bool{false, true} {
				var r Reader
				if warm {
					if _, err := r.View(good); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := r.View(ref); !errors.Is(err, ErrBadRef) {
					t.Errorf("warm=%v: %v, want ErrBadRef", warm, err)
				}
				r.Valid(ref)
				closeIt(t, r.Close)
			}
		})
	}
}

func FuzzView(f *testing.F) {
	w, err := Create(2, 4096)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = w.Close() })
	w.Begin(0)
	good := w.Commit(0, 64, 4096)
	f.Add(good.Path, good.Slot, good.Generation, good.Offset, good.Stride, good.Bytes)
	f.Add("/proc/self/fd/0", 1<<40, uint64(3), int64(-5), -1, 1<<62)
	f.Fuzz(func(t *testing.T, path string, slot int, gen uint64, off int64, stride, n int) {
		var r Reader
		defer r.Close()
		view, err := r.View(vedette.RingRef{Path: path, Slot: slot, Generation: gen, Offset: off, Stride: stride, Bytes: n})
		if err == nil && len(view) != n {
			t.Fatalf("view of %d bytes, asked for %d", len(view), n)
		}
		for _, b := range view { // must not fault
			_ = b
		}
	})
}

// A path that leads to another ring now must neither show the old picture nor
// hide the new one.
func TestPathReused(t *testing.T) {
	var r Reader
	defer closeIt(t, r.Close)
	first := newWriter(t, 2, 64)
	fd := first.FD()
	fill(first.Begin(0)[:64], 1)
	ref1 := first.Commit(0, 64, 64)
	if _, err := r.View(ref1); err != nil {
		t.Fatal(err)
	}
	second := newWriter(t, 4, 9000)
	fill(second.Begin(3)[:9000], 2)
	ref2 := second.Commit(3, 90, 9000)
	if err := unix.Dup3(second.FD(), fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	ref2.Path = ref1.Path
	view, err := r.View(ref2)
	if err != nil {
		t.Fatalf("new ring at a known path: %v", err)
	}
	if !uniform(view, 2) {
		t.Error("the old ring's picture came back")
	}
	if _, err := r.View(ref1); err == nil {
		t.Error("a reference into the old ring was accepted by the new one")
	}
}

func TestNoSpace(t *testing.T) {
	_, err := create(6, 1<<20, func() (int64, bool) { return 3 << 20, true })
	if !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), "6 slots need 6 MiB, 3 MiB are available") {
		t.Errorf("got %v", err)
	}
}

func TestReserveRefused(t *testing.T) {
	// The kernel's own refusal, as on a full host: the file may not grow.
	fd, err := unix.MemfdCreate("t", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_GROW); err != nil {
		t.Fatal(err)
	}
	if err := reserve(fd, 1<<20); err == nil {
		t.Error("reserving space that is not there succeeded")
	}
}

func TestCreateChecksItsArguments(t *testing.T) {
	for _, c := range [][2]int{{1, 64}, {MaxSlots + 1, 64}, {2, 0}, {2, MaxSlotBytes + 1}, {-1, -1}} {
		if w, err := Create(c[0], c[1]); err == nil {
			_ = w.Close()
			t.Errorf("Create(%d, %d) succeeded", c[0], c[1])
		}
	}
}

func TestNothingLeaks(t *testing.T) {
	before := openFDs(t)
	for range 50 {
		w := newWriter(t, 2, 1<<20)
		w.Begin(0)
		ref := w.Commit(0, 1024, 1<<20)
		h, err := Keep(ref.Path)
		if err != nil {
			t.Fatal(err)
		}
		var r Reader
		if _, err := r.View(ref); err != nil {
			t.Fatal(err)
		}
		closeIt(t, r.Close)
		closeIt(t, h.Close)
		closeIt(t, h.Close)
		closeIt(t, w.Close)
		closeIt(t, w.Close)
	}
	if after := openFDs(t); after != before {
		t.Errorf("%d descriptors open, %d before", after, before)
	}
}

func BenchmarkWriteRead1080p(b *testing.B) {
	const n = 1920 * 1080 * 3
	w, err := Create(DefaultSlots, n)
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	var r Reader
	defer r.Close()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		slot := i % DefaultSlots
		i++
		mem := w.Begin(slot)
		mem[0] = byte(i)
		ref := w.Commit(slot, 1920*3, n)
		if _, err := r.View(ref); err != nil || !r.Valid(ref) {
			b.Fatal(err)
		}
	}
}

func newWriter(t *testing.T, slots, n int) *Writer {
	t.Helper()
	w, err := Create(slots, n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func sealedJunk(t *testing.T) int {
	t.Helper()
	fd, err := unix.MemfdCreate("junk", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Ftruncate(fd, 3*pageSize); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK); err != nil {
		t.Fatal(err)
	}
	return fd
}

func openFDs(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func closeIt(t *testing.T, f func() error) {
	t.Helper()
	if err := f(); err != nil {
		t.Error(err)
	}
}

func fill(b []byte, v byte) {
	for i := range b {
		b[i] = v
	}
}

func uniform(b []byte, v byte) bool {
	return len(b) == 0 || b[0] == v && bytes.Equal(b[1:], b[:len(b)-1])
}
