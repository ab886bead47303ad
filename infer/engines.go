package infer

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/vedette-io/vedette/internal/gorgonia"
	"github.com/vedette-io/vedette/internal/ort"
)

// The names of the engines, as a configuration gives them.
const (
	// EngineAuto is ONNX Runtime where its library is found, else Gorgonia.
	EngineAuto        = "auto"
	EngineONNXRuntime = "onnxruntime"
	EngineGorgonia    = "gorgonia"
)

// ErrNoLibrary is wrapped when the engine onnxruntime was asked for by name and
// there is no usable library; the error says what to do.
var ErrNoLibrary = ort.ErrNoLibrary

// Open returns the engine of this name; the empty name is "auto", which warns
// when it has to do without ONNX Runtime. An engine serves any number of
// models.
func Open(name string, log *slog.Logger) (Engine, error) {
	switch name {
	case "", EngineAuto:
		e, err := ort.New(log)
		if err == nil {
			return e, nil
		}
		if !errors.Is(err, ErrNoLibrary) {
			return nil, err
		}
		log.Warn("running models with the engine gorgonia, which is much slower and runs few of them", "reason", err)
		return gorgonia.New(), nil
	case EngineONNXRuntime:
		e, err := ort.New(log)
		if err != nil {
			return nil, err // not e, which would be an interface that is not nil
		}
		return e, nil
	case EngineGorgonia:
		return gorgonia.New(), nil
	}
	return nil, fmt.Errorf("unknown engine %q: allowed are %s, %s, %s", name, EngineAuto, EngineONNXRuntime, EngineGorgonia)
}
