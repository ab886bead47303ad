package main

import (
	"fmt"
	"io"
	"sync"

	"github.com/vedette-io/vedette/internal/fileerr"
)

// output is stdout and remembers its first failure, so that no command can end
// well whose results did not arrive. It is safe for concurrent use where w is.
type output struct {
	w   io.Writer
	mu  sync.Mutex
	err error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil {
		err = fmt.Errorf("standard output: %w", fileerr.Cause(err))
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.err == nil {
			o.err = err
		}
	}
	return n, err
}

func (o *output) failed() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}
