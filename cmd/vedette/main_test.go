package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// built is the program under test, built once.
var built string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "vedette-cmd-test-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	built = filepath.Join(dir, "vedette")
	args := []string{"build", "-tags", buildTags, "-o", built}
	if raced { // then the program under test is, too
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, ".")...)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// patience is how long any run may take: longer is a hang.
const patience = time.Minute

// program is one run of the built.
type program struct {
	args   []string
	env    []string
	dir    string   // where it runs
	stdout *os.File // nil: kept in the outcome
}

// outcome is how a run ended.
type outcome struct {
	code           int // -1: by a signal
	stdout, stderr string
	took           time.Duration
}

// run runs the program to its end and checks what holds for every end: no
// hang, no panic, no noise of a library, nothing left in the temporary folder.
func (p program) run(t *testing.T) outcome {
	t.Helper()
	temp := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, built, p.args...)
	cmd.Dir = p.dir
	cmd.Env = append(append(os.Environ(), "TMPDIR="+temp), p.env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if p.stdout != nil {
		cmd.Stdout = p.stdout
	}
	began := time.Now()
	err := cmd.Run()
	o := outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String(), time.Since(began)}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", p.args, err)
	}
	if ctx.Err() != nil {
		t.Fatalf("%v: still running after %v; stderr:\n%s", p.args, patience, o.stderr)
	}
	quiet(t, o.stderr)
	emptyFolder(t, temp)
	return o
}

func run(t *testing.T, args ...string) outcome {
	t.Helper()
	return program{args: args}.run(t)
}

// noise is what a user must never see.
var noise = regexp.MustCompile(`DATA RACE|panic:|goroutine \d+ \[|fatal error:|terminate called|Assertion|\[(ERROR|WARN|INFO):|\[[a-z0-9_,]+ @ 0x|onnxruntime:|GStreamer|libpng|Corrupt JPEG|Premature end|OpenCV\(`)

func quiet(t *testing.T, stderr string) {
	t.Helper()
	if at := noise.FindString(stderr); at != "" {
		t.Errorf("%q came to the terminal:\n%s", at, stderr)
	}
}

func emptyFolder(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		t.Errorf("%s was left in the temporary folder", e.Name())
	}
}

// sentences are the lines with which the program says what is wrong: not the
// notes that have a time of day in front, nor the log.
func (o outcome) sentences() []string {
	var s []string
	for line := range strings.Lines(o.stderr) {
		if text, ok := strings.CutPrefix(line, "vedette: "); ok {
			s = append(s, strings.TrimSpace(text))
		}
	}
	return s
}

// goText is how Go names a file that cannot be used: with its own call.
var goText = regexp.MustCompile(`(?:^|: )(?:open|l?stat|mkdir|read|write|readdirent|unlinkat) [^ :]+: `)

// wantSentence checks an exit code and the one sentence that explains it.
func (o outcome) wantSentence(t *testing.T, code int, says ...string) {
	t.Helper()
	if o.code != code {
		t.Errorf("exit code %d, want %d", o.code, code)
	}
	s := o.sentences()
	if len(s) != 1 {
		t.Errorf("%d sentences, want one; stderr:\n%s", len(s), o.stderr)
		return
	}
	if at := goText.FindString(s[0]); at != "" {
		t.Errorf("the sentence has Go's %q: %s", at, s[0])
	}
	for _, want := range says {
		if !strings.Contains(s[0], want) {
			t.Errorf("the sentence does not say %q: %s", want, s[0])
		}
	}
}

// file writes a file and returns its path.
func file(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
