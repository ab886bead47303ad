//go:build cgo

package ort

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/vedette-io/vedette/internal/engine"
)

// Engine is ONNX Runtime.
type Engine struct {
	lib    Library
	log    *slog.Logger
	warned *atomic.Bool // of a fallback
}

// process is the one environment a process can have: the binding keeps it in
// globals of its own.
var process struct {
	sync.Mutex
	lib Library // set once the environment is there
}

// New finds the library, which is loaded once in the life of a process, and
// returns the engine. Errors wrap [ErrNoLibrary].
func New(log *slog.Logger) (*Engine, error) {
	process.Lock()
	defer process.Unlock()
	if process.lib.Path != "" {
		return &Engine{process.lib, log, new(atomic.Bool)}, nil
	}
	lib, err := Find()
	if err != nil {
		return nil, err
	}
	if err := silence(); err != nil {
		return nil, err
	}
	ort.SetSharedLibraryPath(lib.Path)
	// Errors come back as errors; the library need not print them as well.
	if err := ort.InitializeEnvironment(ort.WithLogLevelFatal()); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNoLibrary, lib.Path, err)
	}
	process.lib = lib
	return &Engine{lib, log, new(atomic.Bool)}, nil
}

// telemetryVariable turns ONNX Runtime's telemetry off when it is set before
// the library starts.
const telemetryVariable = "ORT_DISABLE_TELEMETRY"

// silence keeps the library from reporting to its maker. Since version 1.30 the
// official builds for Linux send what models are loaded to
// mobile.events.data.microsoft.com unless this variable is set, and keep an
// identity of the machine and a data base under the cache folder for it: not
// what anybody expects of a program that looks at cameras. Who sets the
// variable decides.
func silence() error {
	if _, set := os.LookupEnv(telemetryVariable); set {
		return nil
	}
	return os.Setenv(telemetryVariable, "1")
}

// Find looks for the library in the file that $ONNXRUNTIME_SHARED_LIBRARY_PATH
// names, and without it in the cache folder that `make ort` fills (the newest
// version wins), beside the executable, in /usr/lib and /usr/local/lib, and
// where the system's loader looks. Errors wrap [ErrNoLibrary].
func Find() (Library, error) { return find(thisMachine().candidates(), probe) }

// Name is "onnxruntime".
func (e *Engine) Name() string { return "onnxruntime" }

// Library is the library in use.
func (e *Engine) Library() Library { return e.lib }

// Load implements [engine.Engine].
func (e *Engine) Load(ctx context.Context, onnx []byte, opts engine.LoadOptions) (engine.Model, error) {
	info, err := engine.Describe(onnx)
	if err != nil {
		return nil, err
	}
	pic, err := info.Picture(opts.Input)
	if err != nil {
		return nil, err
	}
	dev, err := engine.ParseDevice(opts.Device)
	if err != nil {
		return nil, err
	}
	try, err := e.choose(dev)
	if err != nil {
		return nil, err
	}
	for i, d := range try {
		info.Device = d.String()
		m, err := e.open(ctx, onnx, opts, d, info, pic)
		if err == nil {
			return m, nil
		}
		last := i == len(try)-1
		if last || ctx.Err() != nil {
			return nil, err
		}
		info.Fallback = err.Error()
		e.fellBack(d, info.Fallback)
	}
	return nil, errors.New("no device to try") // choose never returns none
}

// fellBack warns of a device that seemed to be there, once for all models.
func (e *Engine) fellBack(dev engine.Device, reason string) {
	level := slog.LevelWarn
	if e.warned.Swap(true) {
		level = slog.LevelDebug
	}
	e.log.Log(context.Background(), level, "no accelerator: running on the CPU", "device", dev.String(), "reason", reason)
}

// open makes the session and runs it once on zeros.
func (e *Engine) open(ctx context.Context, onnx []byte, opts engine.LoadOptions, dev engine.Device, info engine.Info, pic engine.Picture) (*model, error) {
	m := &model{info: info, pic: pic, refs: 1, device: dev, log: e.log}
	err := m.guarded(func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		o, err := e.sessionOptions(onnx, opts, dev, pic)
		if err != nil {
			return err
		}
		defer o.Destroy()
		m.session, err = ort.NewDynamicAdvancedSessionWithONNXData(onnx, []string{pic.Name}, names(info.Outputs), o)
		if err != nil {
			return sessionError(err, dev)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	r, err := m.NewRunner(ctx, pic.WarmUpBatch())
	if err == nil {
		err = r.Close()
	}
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// sessionError sorts what the library says on a model it does not take.
func sessionError(err error, dev engine.Device) error {
	text := err.Error()
	for _, prefix := range []string{"Error creating C session: ", "Load model from memory failed:", "Fatal error: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	switch {
	case strings.Contains(text, "Protobuf parsing failed"):
		return fmt.Errorf("%w: not an ONNX file, or a damaged one", engine.ErrModel)
	case strings.Contains(text, "is not a registered function/op"), strings.Contains(text, "No Op registered for"), strings.Contains(text, "NOT_IMPLEMENTED"),
		strings.Contains(text, "Could not find an implementation"), strings.Contains(text, "opset"):
		return fmt.Errorf("%w: %s", engine.ErrUnsupported, text)
	case strings.Contains(text, "fallback to CPU EP has been explicitly disabled"):
		return fmt.Errorf("%w: %s lacks some of the model's operators", engine.ErrUnsupported, dev)
	case dev.Kind != engine.CPU && ofDevice(text):
		return fmt.Errorf("%w: %s: %s", engine.ErrNoDevice, dev, oneLine(err))
	}
	return fmt.Errorf("%w: %s", engine.ErrModel, text)
}

// ofDevice tells trouble with a device from trouble with a model.
func ofDevice(text string) bool {
	text = strings.ToLower(text)
	return slices.ContainsFunc([]string{"cuda", "cudnn", "cublas", "tensorrt", "openvino", "allocate", "out of memory", "provider"},
		func(word string) bool { return strings.Contains(text, word) })
}

func names(ts []engine.TensorInfo) []string {
	s := make([]string, len(ts))
	for i, t := range ts {
		s[i] = t.Name
	}
	return s
}
