package ingest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stderrRelay passes what a child prints on stderr to the log: redacted, cut,
// and only so much of it. It remembers the last words for a crash report.
type stderrRelay struct {
	file   *os.File
	log    *slog.Logger
	redact func(string) string
	// longest is the length of the longest secret.
	longest int
	done    chan struct{}

	mu      sync.Mutex
	crash   string // the first line that names a crash
	last    string
	allowed int
	since   time.Time
	dropped int
}

const (
	stderrRead   = 16 << 10 // what is looked at of a line
	stderrLine   = 1024     // longer lines are cut
	stderrBurst  = 10       // lines per second that are logged
	stderrWindow = time.Second
)

func newStderrRelay(r *os.File, log *slog.Logger, src Source) *stderrRelay {
	return &stderrRelay{file: r, log: log, redact: src.Redact, longest: src.longestSecret(), done: make(chan struct{})}
}

func (s *stderrRelay) run() {
	defer close(s.done)
	defer s.file.Close()
	r := bufio.NewReaderSize(s.file, stderrRead)
	for {
		line, whole, err := readLine(r)
		if text := s.clean(line, whole); text != "" {
			s.line(text)
		}
		if err != nil {
			return
		}
	}
}

// readLine returns the next line, or the beginning of one that is too long.
func readLine(r *bufio.Reader) (line string, whole bool, err error) {
	part, more, err := r.ReadLine()
	line, whole = string(part), !more
	for more && err == nil {
		_, more, err = r.ReadLine()
	}
	if errors.Is(err, io.EOF) || err == nil {
		return line, whole, err
	}
	return "", true, err
}

// clean redacts a line and cuts it to what is worth logging, in this order:
// half a secret would not be found. Where the line itself was cut, its end may
// be half a secret.
func (s *stderrRelay) clean(line string, whole bool) string {
	line = s.redact(line)
	if !whole {
		line = line[:max(0, len(line)-s.longest)]
	}
	return strings.TrimSpace(strings.ToValidUTF8(line[:min(len(line), stderrLine)], "?"))
}

func (s *stderrRelay) line(text string) {
	s.mu.Lock()
	s.last = text
	if s.crash == "" && namesCrash(text) {
		s.crash = text
	}
	now := time.Now()
	if now.Sub(s.since) >= stderrWindow {
		if s.dropped > 0 {
			s.log.Info("capture process printed more", "lines", s.dropped)
		}
		s.since, s.allowed, s.dropped = now, stderrBurst, 0
	}
	show := s.allowed > 0
	if show {
		s.allowed--
	} else {
		s.dropped++
	}
	s.mu.Unlock()
	if show {
		s.log.Info("capture process printed", "line", text)
	}
}

func namesCrash(line string) bool {
	for _, sign := range []string{"panic: ", "fatal error: ", "terminate called", "SIGABRT", "SIGSEGV", "SIGBUS", "Assertion"} {
		if strings.Contains(line, sign) {
			return true
		}
	}
	return false
}

// ranOut reports whether the child died because it got no more memory, by its
// own words: those of Go and of C++.
func (s *stderrRelay) ranOut() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sign := range []string{"out of memory", "cannot allocate memory", "bad_alloc"} {
		if strings.Contains(s.crash, sign) {
			return true
		}
	}
	return false
}

// wait returns when all that the child printed was seen.
func (s *stderrRelay) wait() { <-s.done }

// lastWords describes a child's death.
func (s *stderrRelay) lastWords(exit error) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	how := "it exited without a word"
	var ee *exec.ExitError
	if errors.As(exit, &ee) {
		how = fmt.Sprintf("exit code %d", ee.ExitCode())
		if ws, ok := ee.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			how = "signal: " + ws.Signal().String()
		}
	}
	switch {
	case s.crash != "":
		return how + ", " + s.crash
	case s.last != "" && exit != nil:
		return how + ", " + s.last
	}
	return how
}
