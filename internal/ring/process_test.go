package ring

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"

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
