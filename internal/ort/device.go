//go:build cgo

package ort

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/vedette-io/vedette/internal/engine"
)

// needs are the files that must lie beside the library for a device.
func needs(kind engine.DeviceKind) []string {
	switch kind {
	case engine.CUDA:
		return []string{"libonnxruntime_providers_shared.so", "libonnxruntime_providers_cuda.so"}
	case engine.TensorRT:
		return []string{"libonnxruntime_providers_shared.so", "libonnxruntime_providers_tensorrt.so", "libonnxruntime_providers_cuda.so"}
	case engine.OpenVINO:
		return []string{"libonnxruntime_providers_shared.so", "libonnxruntime_providers_openvino.so"}
	}
	return nil
}

// choose lists the devices to try in order: one, or for "auto" the first GPU
// and then the CPU where the library comes with GPU support. A named device
// whose provider is missing is an error.
func (e *Engine) choose(dev engine.Device) ([]engine.Device, error) {
	cpu := engine.Device{Kind: engine.CPU}
	if dev.Kind == engine.Auto {
		if e.missing(engine.CUDA) == "" {
			return []engine.Device{{Kind: engine.CUDA}, cpu}, nil
		}
		return []engine.Device{cpu}, nil
	}
	if file := e.missing(dev.Kind); file != "" {
		return nil, fmt.Errorf("%w: %s: there is no %s beside %s: install a build of ONNX Runtime with %s support, or use device cpu",
			engine.ErrNoDevice, dev, file, e.lib.Path, dev.Kind)
	}
	return []engine.Device{dev}, nil
}

func (e *Engine) missing(kind engine.DeviceKind) string {
	for _, file := range needs(kind) {
		if !e.lib.beside(file) {
			return file
		}
	}
	return ""
}

// sessionOptions are those for a device; the caller destroys them.
func (e *Engine) sessionOptions(onnx []byte, opts engine.LoadOptions, dev engine.Device, pic engine.Picture) (*ort.SessionOptions, error) {
	o, err := ort.NewSessionOptions()
	if err != nil {
		return nil, fmt.Errorf("session options: %w", err)
	}
	err = errors.Join(
		o.SetIntraOpNumThreads(max(opts.Threads, 1)),
		o.SetInterOpNumThreads(1),
		o.SetExecutionMode(ort.ExecutionModeSequential),
		o.SetGraphOptimizationLevel(ort.GraphOptimizationLevelEnableAll),
		o.SetMemPattern(true),
		o.SetLogSeverityLevel(ort.LoggingLevelFatal),
		o.AddSessionConfigEntry("session.intra_op.allow_spinning", "0"),
		o.AddSessionConfigEntry("session.inter_op.allow_spinning", "0"),
	)
	if err != nil {
		err = fmt.Errorf("session options: %w", err)
	} else {
		err = e.appendProvider(o, onnx, dev, pic)
	}
	if err != nil {
		return nil, errors.Join(err, o.Destroy())
	}
	return o, nil
}

// appendProvider asks for a device. What it cannot run goes to the next, in
// the end to the CPU.
func (e *Engine) appendProvider(o *ort.SessionOptions, onnx []byte, dev engine.Device, pic engine.Picture) error {
	var err error
	switch dev.Kind {
	case engine.CUDA:
		err = appendCUDA(o, dev.Index)
	case engine.TensorRT:
		err = errors.Join(e.appendTensorRT(o, onnx, dev.Index, pic), appendCUDA(o, dev.Index))
	case engine.OpenVINO:
		err = o.AppendExecutionProviderOpenVINO(map[string]string{"device_type": "AUTO"})
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %s", engine.ErrNoDevice, dev, oneLine(err))
	}
	return nil
}

// appendCUDA asks for CUDA. The heuristic choice of convolution algorithms
// costs no steady speed, while the default searches for up to a second at
// every new shape.
func appendCUDA(o *ort.SessionOptions, index int) error {
	c, err := ort.NewCUDAProviderOptions()
	if err != nil {
		return err
	}
	defer c.Destroy()
	err = c.Update(map[string]string{
		"device_id":                    strconv.Itoa(index),
		"cudnn_conv_algo_search":       "HEURISTIC",
		"cudnn_conv_use_max_workspace": "1",
		"arena_extend_strategy":        "kSameAsRequested",
	})
	if err != nil {
		return err
	}
	return o.AppendExecutionProviderCUDA(c)
}

// appendTensorRT asks for TensorRT, whose engines take minutes to build and
// are good for one model, library and GPU: they are kept in a folder named
// after the first two, and TensorRT itself tells GPUs apart.
func (e *Engine) appendTensorRT(o *ort.SessionOptions, onnx []byte, index int, pic engine.Picture) error {
	t, err := ort.NewTensorRTProviderOptions()
	if err != nil {
		return err
	}
	defer t.Destroy()
	dir := filepath.Join(thisMachine().cache, "tensorrt", fmt.Sprintf("%x-%s", sha256.Sum256(onnx), e.lib.Version))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("engine cache: %w", err)
	}
	options := map[string]string{
		"device_id":               strconv.Itoa(index),
		"trt_engine_cache_enable": "1",
		"trt_engine_cache_path":   dir,
		"trt_timing_cache_enable": "1",
		"trt_timing_cache_path":   dir,
	}
	if pic.Batch < 0 { // or every batch size would build an engine of its own
		shape := func(batch int) string {
			return fmt.Sprintf("%s:%dx%dx%dx%d", pic.Name, batch, pic.Shape[0], pic.Shape[1], pic.Shape[2])
		}
		options["trt_profile_min_shapes"] = shape(1)
		options["trt_profile_opt_shapes"] = shape(8)
		options["trt_profile_max_shapes"] = shape(16)
	}
	if err := t.Update(options); err != nil {
		return err
	}
	return o.AppendExecutionProviderTensorRT(t)
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
