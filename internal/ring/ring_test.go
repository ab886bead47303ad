package ring

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vedette-io/vedette"
)

// childEnv makes the test binary play the other process of a test.
const childEnv = "VEDETTE_RING_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "flood":
		os.Exit(flood())
	case "once":
		os.Exit(once())
	}
	os.Exit(m.Run())
}

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

func TestOutlivesItsWriter(t *testing.T) {
	cmd, lines := startChild(t, "once")
	ref := nextRef(t, lines)
	var mapped Reader
	defer closeIt(t, mapped.Close)
	if _, err := mapped.View(ref); err != nil {
		t.Fatal(err)
	}
	hold, err := Keep(ref.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer closeIt(t, hold.Close)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	view, err := mapped.View(ref)
	if err != nil || !uniform(view, 77) || !mapped.Valid(ref) {
		t.Errorf("mapped picture after the writer's death: %v", err)
	}
	var late Reader
	defer closeIt(t, late.Close)
	if _, err := late.View(ref); !errors.Is(err, ErrOverwritten) {
		t.Errorf("opening a dead writer's ring: %v, want ErrOverwritten", err)
	}
	held := ref
	held.Path = hold.Path()
	view, err = late.View(held)
	if err != nil || !uniform(view, 77) {
		t.Errorf("held ring: %v", err)
	}
}

// Every torn read must be noticed: another process overwrites two slots as
// fast as it can while this one reads slowly.
func TestTornReadsAreNoticed(t *testing.T) {
	const want = 2000
	cmd, lines := startChild(t, "flood")
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	ref := nextRef(t, lines)
	var r Reader
	defer closeIt(t, r.Close)
	if _, err := r.View(ref); err != nil && !errors.Is(err, ErrOverwritten) {
		t.Fatal(err)
	}
	var torn, whole, reads int
	for torn < want {
		reads++
		if reads > 1000*want {
			t.Fatalf("only %d torn reads in %d", torn, reads)
		}
		ref.Slot = reads % 2
		ref.Offset = slotOffset(ref.Slot, r.size)
		ref.Generation = r.generation(ref.Slot) &^ 1
		view, err := r.View(ref)
		if errors.Is(err, ErrOverwritten) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		first, half := view[0], len(view)/2
		ok := uniform(view[:half], first)
		if reads%8 != 0 {
			time.Sleep(time.Microsecond) // let the writer in, however few the CPUs
		}
		ok = ok && uniform(view[half:], first)
		valid := r.Valid(ref)
		switch {
		case !ok && valid:
			t.Fatalf("read %d was torn and passed the check", reads)
		case !ok:
			torn++
		case valid:
			whole++
		}
	}
	t.Logf("%d reads: %d torn, all noticed; %d whole", reads, torn, whole)
	if whole == 0 {
		t.Error("no read succeeded: the test proves nothing about valid ones")
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

func flood() int {
	w, err := Create(2, 64<<10)
	if err != nil {
		return 1
	}
	out := json.NewEncoder(os.Stdout)
	for i := 0; ; i++ {
		slot := i % 2
		mem := w.Begin(slot)[:64<<10]
		mem[0] = byte(i)
		for n := 1; n < len(mem); n *= 2 { // copies faster than a reader compares
			copy(mem[n:], mem[:n])
		}
		ref := w.Commit(slot, 64, 64<<10)
		if i == 0 && out.Encode(ref) != nil {
			return 1
		}
	}
}

func once() int {
	w, err := Create(2, 1000)
	if err != nil {
		return 1
	}
	fill(w.Begin(1)[:1000], 77)
	if json.NewEncoder(os.Stdout).Encode(w.Commit(1, 100, 1000)) != nil {
		return 1
	}
	_, _ = os.Stdin.Read(make([]byte, 1)) // until killed
	return 0
}

func startChild(t *testing.T, role string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"="+role)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, bufio.NewScanner(out)
}

func nextRef(t *testing.T, lines *bufio.Scanner) vedette.RingRef {
	t.Helper()
	var ref vedette.RingRef
	if !lines.Scan() {
		t.Fatalf("the child said nothing: %v", lines.Err())
	}
	if err := json.Unmarshal(lines.Bytes(), &ref); err != nil {
		t.Fatal(err)
	}
	return ref
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
