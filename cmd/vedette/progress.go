package main

import (
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress is a bar on stderr, shown only to a person: when stderr is no
// terminal it does nothing.
type progress struct{ bar *progressbar.ProgressBar }

func newProgress(what string, total int) progress {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return progress{}
	}
	return progress{progressbar.NewOptions(total,
		progressbar.OptionSetWriter(os.Stderr),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(),
		progressbar.OptionShowIts(),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)}
}

// shown reports whether there is a person to see it.
func (p progress) shown() bool { return p.bar != nil }

func (p progress) describe(what string) {
	if p.bar != nil {
		p.bar.Describe(what)
	}
}

func (p progress) set(done int) {
	if p.bar != nil {
		p.bar.Set(done)
	}
}

func (p progress) total(n int) {
	if p.bar != nil {
		p.bar.ChangeMax(n)
	}
}

func (p progress) finish() {
	if p.bar != nil {
		p.bar.Finish()
	}
}
