// Package pipeline puts the stages together: it starts the bus, loads the
// models, owns the cameras, and stops everything in order. It does no image
// work itself.
//
// A process runs all stages or one ([Stages]); the code is the same, since the
// stages meet on the bus in either case. ARCHITECTURE.md says why a lossless
// frame has one result, whatever dies.
package pipeline

import (
	"slices"
	"time"

	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/models"
	"github.com/vedette-io/vedette/preprocess"
)

// Stages are the stages that a process runs; none set means all of them.
type Stages struct{ Ingest, Preprocess, Infer bool }

// all reports whether the whole pipeline runs in this process.
func (s Stages) all() bool { return s == Stages{} || s == Stages{true, true, true} }

// name is what the process is called in subjects and status.
func (s Stages) name() string {
	switch s {
	case Stages{Ingest: true}:
		return "ingest"
	case Stages{Preprocess: true}:
		return "preprocess"
	case Stages{Infer: true}:
		return "infer"
	}
	return "run"
}

// Config is a pipeline, or the part of one that this process runs.
type Config struct {
	Stages Stages
	Site   string
	Host   string // this host's id in subjects; default: the host name, slugged
	Bus    bus.Config
	Limits bus.Limits // of the detections stream
	Spool  int64      // most bytes of lossless frames of live cameras that wait; 0: a default
	// JPEG is the quality, 1 to 100, with which pictures go to workers on other
	// hosts; 0: as they are.
	JPEG    int
	Models  []Model
	Cameras []Camera
	// Others are cameras of the plant's configuration that other instances have,
	// perhaps on this host.
	Others []Camera
}

// Model is one model and how to run it.
type Model struct {
	// Loaded is the model; nil: it is fetched by Name from the bus, where an
	// instance that has it puts it.
	Loaded  *models.Model
	Name    string // needed where Loaded is nil
	Engine  string // auto, onnxruntime or gorgonia
	Device  string // auto, cpu, cuda:N, …
	Workers int    // runs at once; 0: one per core, or two on a GPU
	// Weight is the model's part of a device that others want as well; 0 is 1.
	Weight float64
	// Batch says how requests are put together; what is zero is the device's.
	Batch preprocess.BatchConfig
	// GPUMemory bounds what the model takes of a GPU, in bytes; 0: nothing does.
	GPUMemory int64
	// Threads of one run; 0 is 1. Workers × Threads should not exceed the cores.
	Threads int
	Timeout time.Duration // of one run; 0: the default
	Care    infer.Care    // for a model that fails; 0: the defaults

	fetched bool // Loaded came from the bus, and so do others
}

// name of the model.
func (m Model) name() string {
	if m.Loaded == nil {
		return m.Name
	}
	return m.Loaded.Manifest.Name
}

// workers is how many runs at a time this machine makes of the model. On a GPU
// one fills its batch and reads its answers while another one runs.
func (m Model) workers(device engine.DeviceKind) int {
	const onGPU = 2
	switch {
	case m.Workers > 0:
		return m.Workers
	case device.Batches():
		return onGPU
	}
	return max(1, cores()/max(m.Threads, 1))
}

// batch is how requests for the model are put together on a device.
func (m Model) batch(device engine.DeviceKind) preprocess.BatchConfig {
	b := preprocess.SingleBatch()
	if device.Batches() {
		b = preprocess.GPUBatch()
	}
	if len(m.Batch.Sizes) > 0 {
		b.Sizes = m.Batch.Sizes
	}
	if m.Batch.MaxWait > 0 {
		b.MaxWait = m.Batch.MaxWait
	}
	return b
}

// atOnce is how many pictures may be inferred at a time on a device.
func (m Model) atOnce(device string) int {
	kind := engine.CPU
	if d, err := engine.ParseDevice(device); err == nil {
		kind = d.Kind
	}
	return m.workers(kind) * slices.Max(m.batch(kind).Sizes)
}

// Camera is one source and what to look for in it.
type Camera struct {
	Ingest ingest.Config
	// Owner has, for each model, the score below which objects are left out; 0
	// is the model's own.
	Owner preprocess.CameraConfig
}
