// Package infer runs models: it loads them into an engine, answers inference
// requests with labelled objects, and keeps a failing model to itself.
package infer

import (
	"context"
	"errors"

	"github.com/vedette-io/vedette/models"
)

// ErrUnsupported is wrapped when an engine cannot run a model at all, for
// example because it lacks one of its operators; the error names it.
var ErrUnsupported = errors.New("unsupported by this engine")

// Tensor is a dense array in row-major order. Exactly one of F32, F16 and U8
// is set, according to Type; F16 holds the bits of IEEE 754 half floats.
type Tensor struct {
	Name  string
	Type  models.ElemType
	Shape []int
	F32   []float32
	F16   []uint16
	U8    []byte
}

// Engine loads models. An engine is safe for concurrent use.
type Engine interface {
	// Name is "onnxruntime" or "gorgonia".
	Name() string
	// Load reads the model into memory and checks that it can run; it returns
	// an error wrapping [ErrUnsupported] that names what is missing.
	Load(ctx context.Context, onnx []byte, opts LoadOptions) (Model, error)
}

// Model is a loaded network, safe for concurrent use.
type Model interface {
	// Device is where it runs: "cpu", "cuda:0", …
	Device() string
	// NewRunner prepares a place to run batches of exactly this size.
	NewRunner(batch int) (Runner, error)
	// Close frees the model; all its runners must be closed before.
	Close() error
}

// Runner runs one batch at a time in buffers of its own. It is not safe for
// concurrent use; make one per worker.
type Runner interface {
	// Input is the tensor to fill before Run, shape [batch, …].
	Input() *Tensor
	// Run computes the outputs for what is in Input. The returned tensors
	// belong to the runner and are valid until the next Run or Close. When ctx
	// ends first, Run stops as soon as the engine allows and returns ctx's
	// error.
	Run(ctx context.Context) ([]Tensor, error)
	// Close frees the buffers. It is idempotent.
	Close() error
}

// LoadOptions tune a model for this machine.
type LoadOptions struct {
	// Input describes the picture input (name, size, layout, element type);
	// where the graph fixes them it must agree.
	Input models.Input
	// Device is "auto", "cpu", "cuda:N", "tensorrt:N" or "openvino".
	Device string
	// Threads is the number of intra-op threads of one run; 0 means 1.
	Threads int
}
