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
	"strings"
	"syscall"

	"github.com/vedette-io/vedette/ingest"
	_ "github.com/vedette-io/vedette/internal/slack" // sleeping threads are woken a little late
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
	// A reader of a pipe that goes away must not kill this process: there are
	// children to end and a store to remove. Its writes fail instead.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	out := &output{w: os.Stdout}
	root := newRoot()
	root.SetOut(out)
	err := root.ExecuteContext(ctx)
	failed := out.failed()
	if errors.Is(failed, syscall.EPIPE) {
		return 0 // the reader of a pipe has seen enough
	}
	if err == nil {
		err = failed
	}
	return exitCode(ctx, err)
}

// exitCode tells the user what went wrong, in a sentence, and the shell.
func exitCode(ctx context.Context, err error) int {
	var usage *usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errReported) && errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, errReported):
		return exitFailed
	case ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx))):
		fmt.Fprintln(os.Stderr, "vedette: stopped before it was done")
		return exitFailed
	}
	for line := range strings.Lines(err.Error()) { // several errors are joined by line
		fmt.Fprintln(os.Stderr, "vedette:", strings.TrimSuffix(line, "\n"))
	}
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
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
