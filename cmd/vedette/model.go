package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/vedette-io/vedette/infer/decode"
	"github.com/vedette-io/vedette/models"
	"github.com/vedette-io/vedette/pipeline"
)

// modelFlags choose a model and how it runs.
type modelFlags struct {
	name, engine, device string
	workers, threads     int
}

func (m *modelFlags) register(f *pflag.FlagSet) {
	f.StringVarP(&m.name, "model", "m", "", "a model: name, .onnx file, manifest or folder (see vedette models list)")
	f.StringVar(&m.engine, "engine", "auto", "auto, onnxruntime or gorgonia")
	f.StringVar(&m.device, "device", "auto", "auto, cpu, cuda:N, tensorrt:N or openvino")
	f.IntVar(&m.workers, "workers", 0, "frames inferred at a time (0: one per core)")
	f.IntVar(&m.threads, "threads", 1, "threads of one inference")
}

// load finds and reads the model; the error says which ones exist.
func (m *modelFlags) load() (pipeline.Model, error) {
	if err := oneOf("engine", m.engine, "auto", "onnxruntime", "gorgonia"); err != nil {
		return pipeline.Model{}, err
	}
	if m.workers < 0 || m.threads < 1 {
		return pipeline.Model{}, usagef("--workers %d --threads %d: want 0 or more workers with 1 or more threads each", m.workers, m.threads)
	}
	loaded, err := loadModel(m.name)
	if err != nil {
		return pipeline.Model{}, err
	}
	return pipeline.Model{Loaded: loaded, Engine: m.engine, Device: m.device, Workers: m.workers, Threads: m.threads}, nil
}

// loadModel reads the model at a path, or of a name.
func loadModel(name string) (*models.Model, error) {
	for _, b := range builtinModels() {
		if b.name == name {
			return b.load()
		}
	}
	path, err := models.DefaultPlaces().Resolve(name)
	if err != nil {
		return nil, &usageError{err}
	}
	m, err := models.Load(path, guess)
	if err != nil {
		return nil, &usageError{err}
	}
	return m, nil
}

// guess proposes a manifest from the decoders that exist.
func guess(outputs []models.TensorInfo, meta map[string]string, in models.Input) (models.Manifest, error) {
	return decode.Guess(outputs, meta, in)
}

// scoreRange checks --min-score.
func scoreRange(v float64) error {
	if !(v >= 0 && v <= 1) {
		return fmt.Errorf("--min-score %v: want 0 to 1", v)
	}
	return nil
}
