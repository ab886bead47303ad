//go:build cv && linux

package main_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vedette-io/vedette/internal/testkit"
)

// looking is a run that lasts until it is stopped.
var looking = []string{"detect", "synthetic://bars?fps=100", "synthetic://bars?fps=100&seed=7", "--model", "barcode-reader",
	"--engine", "gorgonia", "--format", "jsonl"}

// started is a program that runs in the background, in a session of its own, by
// which all its processes are known, also when their parent is gone.
type started struct {
	cmd            *exec.Cmd
	temp           string
	stdout, stderr bytes.Buffer
}

func start(t *testing.T, args ...string) *started { return startOn(t, nil, args...) }

// startOn lets stderr be a terminal.
func startOn(t *testing.T, terminal *os.File, args ...string) *started {
	t.Helper()
	s := &started{cmd: exec.Command(built, args...), temp: t.TempDir()}
	s.cmd.Env = append(os.Environ(), "TMPDIR="+s.temp)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	s.cmd.Stdout, s.cmd.Stderr = &s.stdout, &s.stderr
	if terminal != nil {
		s.cmd.Stderr = terminal
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // in case the test has failed
		for _, pid := range s.processes(t) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	return s
}

// processes are those that run on, of all that the program has started.
func (s *started) processes(t *testing.T) []int {
	t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, path := range found {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		// pid (name) state parent group session; a name can hold anything.
		_, rest, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')'):]), " ")
		f := strings.Fields(rest)
		if len(f) < 4 || f[0] == "Z" || f[3] != strconv.Itoa(s.cmd.Process.Pid) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// waitGone waits until no process is left.
func (s *started) waitGone(t *testing.T, limit time.Duration) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		left := s.processes(t)
		if len(left) == 0 {
			return
		}
		if time.Since(began) > limit {
			t.Fatalf("processes %v are still there after %v", left, limit)
		}
	}
}

// stopLimit is how long a stop may take: 3 s, and as much again where other
// tests keep both cores busy.
const stopLimit = 6 * time.Second

func TestStoppedAtAnyMoment(t *testing.T) {
	plant := file(t, "plant.yaml", []byte("bus: {listen: '', store: "+t.TempDir()+"}\nhttp: {listen: ''}\n"+
		"models: [{name: bars, file: barcode-reader, engine: gorgonia}]\ncameras: [{id: a, source: 'synthetic://bars'}]\n"))
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for _, args := range [][]string{looking, {"run", "-c", plant}, {"run", "-c", plant, "--processes"}, {"demo", "--listen", "127.0.0.1:0"}} {
		for i, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGINT} {
			// Early ones meet the start, late ones a pipeline at work.
			after := time.Duration(random.Float64() * float64([]time.Duration{time.Second, 2 * time.Second, 200 * time.Millisecond}[i]))
			t.Run(fmt.Sprintf("%s %v after %v", args[0], sig, after.Round(time.Millisecond)), func(t *testing.T) {
				s := start(t, args...)
				time.Sleep(after)
				stopped := time.Now()
				if err := s.cmd.Process.Signal(sig); err != nil {
					t.Fatal(err)
				}
				err := s.cmd.Wait()
				if took := time.Since(stopped); took > stopLimit {
					t.Errorf("it took %v to stop", took)
				}
				state := s.cmd.ProcessState.Sys().(syscall.WaitStatus)
				// Before it listens to signals they end it as they end any program.
				if state.Signaled() && after < time.Second {
					return
				}
				if err != nil {
					t.Errorf("%v; stderr:\n%s", err, &s.stderr)
				}
				if n := s.processes(t); len(n) > 0 {
					t.Errorf("processes %v are left", n)
				}
				emptyFolder(t, s.temp)
				quiet(t, s.stderr.String())
				wholeLines(t, args[0] == "detect", s.stdout.String())
			})
		}
	}
}

func wholeLines(t *testing.T, wanted bool, stdout string) {
	t.Helper()
	if !wanted {
		return
	}
	for line := range strings.Lines(stdout) {
		if !json.Valid([]byte(line)) || !strings.HasSuffix(line, "\n") {
			t.Errorf("half a line: %q", line)
		}
	}
}

// Who stops detect before a source's end is told that there is more; a source
// without an end has to be stopped some time.
func TestDetectInterrupted(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string][]byte{"one.png": pngOf(t, 16, 16)})
	pictures := make([]string, 3000)
	for i := range pictures {
		pictures[i] = filepath.Join(dir, "one.png")
		link := filepath.Join(dir, fmt.Sprintf("%04d.png", i))
		if err := os.Symlink(pictures[i], link); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		sources []string
		code    int
	}{
		"folder":      {[]string{dir}, 1},
		"files":       {pictures, 1},
		"video":       {[]string{testkit.Data(t, "videos/car-detection.mp4")}, 1},
		"many frames": {[]string{"synthetic://bars?fps=100&frames=1000000"}, 1},
		"endless":     {[]string{"synthetic://bars?fps=100"}, 0},
		"of both":     {[]string{"synthetic://bars?fps=100", dir}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"detect", "--model", "barcode-reader", "--engine", "gorgonia", "--format", "jsonl"}, c.sources...)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			cmd := exec.CommandContext(ctx, built, args...)
			cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// What is not read here soon fills the pipe: it cannot be done before the signal.
			lines := bufio.NewReader(stdout)
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatalf("no result: %v; %s", err, &stderr)
			}
			seen := bytes.NewBufferString(line)
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			if _, err := lines.WriteTo(seen); err != nil {
				t.Error(err)
			}
			err = cmd.Wait()
			want := ""
			if c.code == 1 {
				want = "vedette: stopped before it was done\n"
			}
			if code := cmd.ProcessState.ExitCode(); code != c.code || stderr.String() != want {
				t.Errorf("%v, exit code %d, want %d; it says %q, want %q", err, code, c.code, &stderr, want)
			}
			wholeLines(t, true, seen.String())
		})
	}
}

// The children of a program that was killed end by themselves.
func TestKilled(t *testing.T) {
	t.Parallel()
	s := start(t, looking...)
	for began := time.Now(); len(s.processes(t)) < 3; time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("no children; stderr:\n%s", &s.stderr)
		}
	}
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err == nil {
		t.Error("it was killed and ended well")
	}
	s.waitGone(t, stopLimit)
	// Its store is removed by the next that starts.
	if left, err := os.ReadDir(s.temp); err != nil || len(left) != 1 {
		t.Errorf("it left %v, %v", left, err)
	}
	next := exec.Command(built, "detect", "synthetic://bars?frames=1", "--model", "barcode-reader", "--engine", "gorgonia")
	next.Env = append(os.Environ(), "TMPDIR="+s.temp)
	if out, err := next.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	emptyFolder(t, s.temp)
}

// A store has one owner.
func TestStoreInUse(t *testing.T) {
	t.Parallel()
	plant := file(t, "plant.yaml", []byte("bus: {listen: '127.0.0.1:0', store: "+t.TempDir()+"}\nhttp: {listen: ''}\n"+
		"models: [{name: bars, file: barcode-reader, engine: gorgonia}]\ncameras: [{id: a, source: 'synthetic://bars'}]\n"))
	first := exec.Command(built, "run", "-c", plant)
	stderr, err := first.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	defer first.Wait()
	defer first.Process.Signal(syscall.SIGTERM)
	for lines := bufio.NewScanner(stderr); ; {
		if !lines.Scan() {
			t.Fatal("the first does not start")
		}
		if strings.Contains(lines.Text(), "is online") {
			break
		}
	}
	run(t, "run", "-c", plant).wantSentence(t, 2, "in use by another vedette", "bus.store")
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("a full disk needs a file system of its own, and mounting one needs root: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	plant := file(t, "plant.yaml", []byte("bus: {listen: '', store: "+dir+"/store}\nhttp: {listen: ''}\n"+
		"models: [{name: bars, file: barcode-reader, engine: gorgonia}]\ncameras: [{id: a, source: 'synthetic://bars?frames=5'}]\n"))
	full := filepath.Join(dir, "full")
	if err := os.WriteFile(full, make([]byte, 2<<20), 0o644); err == nil {
		t.Fatal("the disk is not full")
	}
	run(t, "run", "-c", plant).wantSentence(t, 2, "store "+dir+"/store", "no space left on device")
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, "size=1m"); err != nil {
		t.Fatal(err)
	}
	run(t, "run", "-c", plant).wantSentence(t, 2, "store "+dir+"/store", "read-only file system")
}
