// Command vedette watches video streams: it captures frames from cameras,
// recognises what is in them with a CNN, and publishes labelled detections on
// NATS.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/vedette-io/vedette/ingest"
)

// version is set by the linker.
var version = "dev"

// Exit codes of every command.
const (
	exitFailed = 1 // failed at run time
	exitUsage  = 2 // wrong usage or configuration
)

func main() {
	if ingest.IsChild() { // one camera, captured in a process of its own
		os.Exit(ingest.ChildMain())
	}
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	err := newRoot().ExecuteContext(ctx)
	var usage *usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errReported):
		return exitFailed
	case errors.As(err, &usage):
		fmt.Fprintln(os.Stderr, "vedette:", err)
		return exitUsage
	default:
		fmt.Fprintln(os.Stderr, "vedette:", err)
		return exitFailed
	}
}

// errReported ends a command whose failure was already told to the user.
var errReported = errors.New("already reported")

// usageError is an error of the caller: exit code 2.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}
