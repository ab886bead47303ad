// Package engine is what inference engines and their users agree on. The
// engines are internal/ort and internal/gorgonia; package infer, which
// re-exports these types, chooses between them.
package engine

import (
	"context"
	"errors"

	"github.com/vedette-io/vedette/models"
)

// ErrUnsupported is wrapped when an engine cannot run a model at all, for
// example because it lacks one of its operators; the error names it.
var ErrUnsupported = errors.New("unsupported by this engine")

// ErrModel is wrapped when a model's file cannot be used by any engine: it is
// not ONNX, is truncated, or contradicts its manifest.
var ErrModel = errors.New("bad model")

// ErrNoDevice is wrapped when a device that was asked for by name is not there.
var ErrNoDevice = errors.New("no such device")

// Engine loads models. It is safe for concurrent use.
type Engine interface {
	// Name is "onnxruntime" or "gorgonia".
	Name() string
	// Load reads the model into memory, checks that it can run and that it
	// agrees with opts.Input, and runs it once on zeros, so that a model that
	// was loaded is ready. The bytes are not kept. Errors wrap
	// [ErrUnsupported], [ErrModel], [ErrNoDevice] or ctx's error.
	Load(ctx context.Context, onnx []byte, opts LoadOptions) (Model, error)
}

// Model is a loaded network, safe for concurrent use.
type Model interface {
	// Info describes the model and where it runs. Do not change it.
	Info() Info
	// NewRunner prepares a place to run batches of exactly this size and runs
	// it once on zeros. A graph that fixes another batch size is refused with
	// an error wrapping [ErrUnsupported].
	NewRunner(ctx context.Context, batch int) (Runner, error)
	// Close frees the model once its last runner is closed. It is idempotent.
	Close() error
}

// Runner runs one batch at a time in buffers of its own. It is not safe for
// concurrent use; make one per worker.
type Runner interface {
	// Input is the tensor to fill before Run, shape [batch, …]. Its memory is
	// what the engine reads and stays the same until Close.
	Input() *Input
	// Run computes the outputs for what is in Input. The returned outputs
	// belong to the runner and are valid until the next Run or Close. When ctx
	// ends first, Run stops as soon as the engine allows and returns ctx's
	// error; the runner can be used again.
	Run(ctx context.Context) ([]Output, error)
	// Close frees the buffers. It is idempotent.
	Close() error
}

// Input is a dense array in row-major order. Exactly one of F32, F16 and U8 is
// set, according to Type; F16 holds the bits of IEEE 754 half floats.
type Input struct {
	Name  string
	Type  models.ElemType
	Shape []int
	F32   []float32
	F16   []uint16
	U8    []byte
}

// Output is one output of a run: a dense array in row-major order, the batch
// axis first. Whatever element type the graph answers with, F32 has its values.
type Output struct {
	Name  string
	Shape []int
	F32   []float32
}

// Info describes a loaded model.
type Info struct {
	// Device is where it runs: "cpu", "cuda:0", …
	Device string
	// Fallback says why the device "auto" became "cpu" although an accelerator
	// seemed to be there; empty otherwise.
	Fallback string
	// Inputs and Outputs are as the graph declares them.
	Inputs, Outputs []TensorInfo
}

// TensorInfo is an input or output as a graph declares it.
type TensorInfo struct {
	Name string
	// Type is the element type, as [models.ElemType] writes it where it can:
	// "float32", "uint8", "int64", …
	Type string
	// Shape has -1 for a dimension that the graph leaves open. It is nil when
	// the graph declares no shape at all.
	Shape []int
}

// LoadOptions tune a model for this machine.
type LoadOptions struct {
	// Input describes the picture input (name, size, layout, element type);
	// where the graph fixes them it must agree.
	Input models.Input
	// Device is "auto" (or empty), "cpu", "cuda:N", "tensorrt:N" or
	// "openvino".
	Device string
	// Threads is the number of intra-op threads of one run; 0 means 1.
	Threads int
	// Batches are the batch sizes that runners will be made for, ascending, for
	// devices that prepare for them; none: any.
	Batches []int
	// GPUMemory bounds what the model takes of a GPU's memory, in bytes; 0:
	// nothing does.
	GPUMemory int64
	// NoCPU refuses a model of which the device cannot run every operator,
	// instead of running those on the CPU.
	NoCPU bool
}
