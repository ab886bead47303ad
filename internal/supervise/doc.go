// Package supervise keeps processes of this program running: it starts them,
// starts one again that dies, with pauses that grow, and stops them all in order.
//
// A process has its job on its standard input, as a JSON line, so that nothing of
// it is seen in arguments or environment; further lines are commands. It reports on
// descriptor 3. None outlives its supervisor: the kernel kills it with the thread
// that started it (Pdeathsig), and the end of its standard input tells it, too.
package supervise

import (
	"log/slog"
	"os/exec"
	"time"

	"github.com/vedette-io/vedette"
)

// Process is one that is kept running.
type Process struct {
	Name string
	// Args of the program.
	Args []string
	// Turn is when it is stopped: those of a lower turn are stopped before.
	Turn int
	// Job is what it is given at its start, each time anew. It encodes to JSON.
	Job func() any
}

// Report is what a process says to its supervisor.
type Report struct {
	// Up says that it has begun its work.
	Up bool `json:"up,omitempty"`
	// Address is where it shows its metrics.
	Address string `json:"address,omitempty"`
	// Config is the configuration that it goes by from now on.
	Config []byte `json:"config,omitempty"`
	// End is the last that it says.
	End *End `json:"end,omitempty"`
}

// End says why a process ends.
type End struct {
	// Done: what was to be done is done, so that the others can stop, too.
	Done bool `json:"done,omitempty"`
	// Fatal: it would not do better if it were started again.
	Fatal bool `json:"fatal,omitempty"`
	// Error is in sentences, one a line; empty: all went well.
	Error string `json:"error,omitempty"`
}

// States of a process.
const (
	Starting = "starting"
	Up       = "up"
	Waiting  = "waiting" // to be started again
	Failing  = "failing" // it died again and again; it is tried now and then
	Stopped  = "stopped"
)

// Status is what is known of a process.
type Status struct {
	Name     string       `json:"name"`
	PID      int          `json:"pid"` // 0: it is not there
	State    string       `json:"state"`
	Since    vedette.Time `json:"since"`
	Restarts uint64       `json:"restarts"`
	// Reason is why it ended last; empty: it never did.
	Reason string `json:"reason,omitempty"`
	// Address is where it shows its metrics; empty: nowhere.
	Address string `json:"-"`
}

// Config is what a supervisor does, and who hears of it. The functions are called
// from several goroutines.
type Config struct {
	Processes []Process
	// Command starts the program; nil: this one.
	Command func(args ...string) *exec.Cmd
	Pauses  Pauses
	Log     *slog.Logger
	// Tell takes what a person has to know, in a line.
	Tell func(format string, args ...any)
	// Heard takes what a process reports.
	Heard func(name string, r Report)
	// Changed is told of each change of a process.
	Changed func(s Status)
}

// Pauses are the times of a supervisor; what is zero has a default.
type Pauses struct {
	// Min to Max is how long a process that died is not started again; the pauses
	// double while it dies again.
	Min, Max time.Duration
	// Settled is how long a process must be at work for its next death not to count
	// as one more in a row.
	Settled time.Duration
	// Stop bounds the stop of all processes; what is left then is killed.
	Stop time.Duration
}

// The defaults of [Pauses].
const (
	minPause    = 250 * time.Millisecond
	maxPause    = 10 * time.Second
	settled     = 10 * time.Second
	stopTimeout = 2300 * time.Millisecond
)

// failingAfter is how many deaths in a row make a process one that is failing.
const failingAfter = 5

// EndedError says that a process ended and why everything ends with it.
type EndedError struct {
	Name, Text string
	// Fatal: the process was never at work, and never will be as things are.
	Fatal bool
}

func (e *EndedError) Error() string { return e.Text }
