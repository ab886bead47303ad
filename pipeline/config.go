// Package pipeline puts the stages together: it starts the bus, loads the
// models, owns the cameras, and stops everything in order. It does no image
// work itself.
package pipeline

import (
	"time"

	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/models"
	"github.com/vedette-io/vedette/preprocess"
)

// Config is a whole pipeline on this machine.
type Config struct {
	Site    string
	Host    string // this host's id in subjects; default: the host name, slugged
	Bus     bus.Config
	Limits  bus.Limits // of the detections stream
	Models  []Model
	Cameras []Camera
}

// Model is one model and how to run it.
type Model struct {
	Loaded  *models.Model
	Engine  string // auto, onnxruntime or gorgonia
	Device  string // auto, cpu, cuda:N, …
	Workers int    // 0: one per core
	// Threads of one run; 0 is 1. Workers × Threads should not exceed the cores.
	Threads int
	Timeout time.Duration // of one run; 0: the default
}

// Camera is one source and what to look for in it.
type Camera struct {
	Ingest ingest.Config
	Owner  preprocess.CameraConfig
}
