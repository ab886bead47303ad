package supervise

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/vedette-io/vedette/internal/proc"
)

// reportFD is the descriptor on which a process reports.
const reportFD = 3

// maxLine bounds a line of either direction: a configuration of a megabyte, which
// is in it in base 64, and what else there is.
const maxLine = 4 << 20

// Parent is a process's way to its supervisor.
type Parent struct {
	in  *bufio.Scanner
	mu  sync.Mutex // keeps lines whole
	out *os.File
}

// Join takes the job that the supervisor gave to this process.
func Join(job any) (*Parent, error) {
	out := os.NewFile(reportFD, "reports")
	if out == nil {
		return nil, errors.New("not started by a supervisor")
	}
	// Who is started from here must not keep it open.
	syscall.CloseOnExec(reportFD)
	p := &Parent{in: newScanner(os.Stdin), out: out}
	if !p.in.Scan() {
		return nil, fmt.Errorf("no job from the supervisor: %w", errors.Join(p.in.Err(), io.ErrUnexpectedEOF))
	}
	if err := json.Unmarshal(p.in.Bytes(), job); err != nil {
		return nil, fmt.Errorf("job from the supervisor: %w", err)
	}
	return p, nil
}

func newScanner(r io.Reader) *bufio.Scanner {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 0, 4096), maxLine)
	return sc
}

// Report says something to the supervisor. It is safe for concurrent use.
func (p *Parent) Report(r Report) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return proc.WriteLine(p.out, r)
}

// Obey carries out the supervisor's commands, one after the other, until its end of
// the pipe closes: then the supervisor is gone.
func (p *Parent) Obey(obey func(command string)) {
	for p.in.Scan() {
		var command string
		if json.Unmarshal(p.in.Bytes(), &command) == nil {
			obey(command)
		}
	}
}
