package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/vedette-io/vedette/infer/decode"
	"github.com/vedette-io/vedette/internal/strictyaml"
	"github.com/vedette-io/vedette/models"
	"github.com/vedette-io/vedette/pipeline"
)

// maxParallel bounds workers and threads as the configuration file does.
const maxParallel = 256

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
	if m.workers < 0 || m.workers > maxParallel {
		return pipeline.Model{}, usagef("--workers %d: want 0 to %d", m.workers, maxParallel)
	}
	if m.threads < 1 || m.threads > maxParallel {
		return pipeline.Model{}, usagef("--threads %d: want 1 to %d", m.threads, maxParallel)
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
		if _, known := models.Find(name); known != nil && !strings.ContainsAny(name, "./") { // a name that means nothing
			err = fmt.Errorf("%w; built in: %s%s", err, strings.Join(builtinNames(), ", "), strictyaml.DidYouMean(name, builtinNames()))
		}
		return nil, &usageError{err}
	}
	m, err := models.Load(path, guess)
	if err != nil {
		return nil, &usageError{err}
	}
	return m, nil
}

// labelHint reports whether a model can answer with a label, and says which
// others it has if not: looking for one that it never answers with would look
// like pictures with nothing on them.
func labelHint(m *models.Model, label string) (hint string, known bool) {
	all := m.Manifest.Labels
	if len(all) == 0 || slices.Contains(all, label) {
		return "", true
	}
	hint = strictyaml.DidYouMean(label, all)
	if len(all) <= 100 {
		hint += "; it knows " + strings.Join(all, ", ")
	}
	return hint, false
}

// knowsLabels checks --label.
func knowsLabels(m *models.Model, labels []string) error {
	for _, l := range labels {
		if hint, known := labelHint(m, l); !known {
			return usagef("--label: the model %s knows no label %q%s", m.Manifest.Name, l, hint)
		}
	}
	return nil
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
