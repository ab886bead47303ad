// Package infer runs models: it loads them into an engine, answers inference
// requests with labelled objects, and keeps a failing model to itself.
package infer

import "github.com/vedette-io/vedette/internal/engine"

// The engine interface, so that users of this package need no other.
type (
	Engine      = engine.Engine
	Model       = engine.Model
	Runner      = engine.Runner
	Tensor      = engine.Input
	Output      = engine.Output
	ModelInfo   = engine.Info
	TensorInfo  = engine.TensorInfo
	LoadOptions = engine.LoadOptions
)

// The errors that an engine's Load and NewRunner wrap.
var (
	ErrUnsupported = engine.ErrUnsupported
	ErrModel       = engine.ErrModel
	ErrNoDevice    = engine.ErrNoDevice
)
