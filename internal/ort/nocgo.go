//go:build !cgo

package ort

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/vedette-io/vedette/internal/engine"
)

// Engine is not there in a build without cgo.
type Engine struct{}

// New says that this build has no ONNX Runtime. The error wraps
// [ErrNoLibrary].
func New(*slog.Logger) (*Engine, error) {
	_, err := Find()
	return nil, err
}

// Find says that this build has no ONNX Runtime.
func Find() (Library, error) {
	return Library{}, fmt.Errorf("%w: this binary was built without cgo: build it with CGO_ENABLED=1 and a C compiler", ErrNoLibrary)
}

// Name is "onnxruntime".
func (e *Engine) Name() string { return "onnxruntime" }

// Library is empty.
func (e *Engine) Library() Library { return Library{} }

// Load fails.
func (e *Engine) Load(context.Context, []byte, engine.LoadOptions) (engine.Model, error) {
	_, err := Find()
	return nil, err
}
