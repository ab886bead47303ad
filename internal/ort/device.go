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

// onlyDevice is the session's entry that keeps operators off the CPU.
const onlyDevice = "session.disable_cpu_ep_fallback"

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
	if opts.NoCPU && dev.Kind != engine.CPU {
		err = errors.Join(err, o.AddSessionConfigEntry(onlyDevice, "1"))
	}
	if err != nil {
		err = fmt.Errorf("session options: %w", err)
	} else {
		err = e.appendProvider(o, onnx, opts, dev, pic)
	}
	if err != nil {
		return nil, errors.Join(err, o.Destroy())
	}
	return o, nil
}

// appendProvider asks for a device. What it cannot run goes to the next, in
// the end to the CPU.
func (e *Engine) appendProvider(o *ort.SessionOptions, onnx []byte, opts engine.LoadOptions, dev engine.Device, pic engine.Picture) error {
	if dev.Kind == engine.CPU {
		return nil
	}
	var err error
	if dev.Kind == engine.OpenVINO {
		err = o.AppendExecutionProviderOpenVINO(map[string]string{"device_type": "AUTO"})
	} else {
		var g gpu
		g, err = pickGPU(dev)
		if err == nil && dev.Kind == engine.TensorRT {
			err = e.appendTensorRT(o, onnx, opts, dev, g, pic)
		}
		if err == nil {
			err = appendCUDA(o, dev, opts.GPUMemory)
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %s", engine.ErrNoDevice, dev, oneLine(err))
	}
	return nil
}

// pickGPU makes sure that the GPU is there, whose absence the library would
// report as a failure inside CUDA.
func pickGPU(dev engine.Device) (gpu, error) {
	list, err := gpus()
	switch {
	case err != nil:
		return gpu{}, fmt.Errorf("%w: install the driver, or use device cpu", err)
	case len(list) == 0:
		return gpu{}, errors.New("this machine has no NVIDIA GPU: use device cpu")
	case dev.Index >= len(list):
		var have []string
		for i, g := range list {
			have = append(have, fmt.Sprintf("%s:%d (%s)", dev.Kind, i, g.name))
		}
		return gpu{}, fmt.Errorf("there is no such GPU; this machine has %s", strings.Join(have, ", "))
	}
	return list[dev.Index], nil
}

// appendCUDA asks for CUDA. The heuristic choice of convolution algorithms
// costs no steady speed, while the default searches for up to a second at
// every new shape. TensorFloat-32 stays off: workers on CPUs and GPUs may share
// a camera, and are to see the same.
func appendCUDA(o *ort.SessionOptions, dev engine.Device, memory int64) error {
	c, err := ort.NewCUDAProviderOptions()
	if err != nil {
		return err
	}
	defer c.Destroy()
	options := map[string]string{
		"device_id":                    strconv.Itoa(dev.Index),
		"cudnn_conv_algo_search":       "HEURISTIC",
		"cudnn_conv_use_max_workspace": "1",
		"arena_extend_strategy":        "kSameAsRequested",
		"use_tf32":                     "0",
	}
	if memory > 0 {
		options["gpu_mem_limit"] = strconv.FormatInt(memory, 10)
	}
	if err := c.Update(options); err != nil {
		return err
	}
	return o.AppendExecutionProviderCUDA(c)
}

// appendTensorRT asks for TensorRT, whose engines take minutes to build: they
// are kept.
func (e *Engine) appendTensorRT(o *ort.SessionOptions, onnx []byte, opts engine.LoadOptions, dev engine.Device, g gpu, pic engine.Picture) error {
	t, err := ort.NewTensorRTProviderOptions()
	if err != nil {
		return err
	}
	defer t.Destroy()
	dir := filepath.Join(thisMachine().cache, "tensorrt", engineFolder(onnx, e.lib.Version, tensorRTVersion(), g))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("engine cache: %w", err)
	}
	options := tensorRTOptions(dev, dir, opts.Batches, pic)
	if opts.GPUMemory > 0 {
		options["trt_max_workspace_size"] = strconv.FormatInt(opts.GPUMemory, 10)
	}
	if err := t.Update(options); err != nil {
		return err
	}
	return o.AppendExecutionProviderTensorRT(t)
}

// engineFolder names what TensorRT's engines are good for: one model, ONNX
// Runtime, TensorRT and kind of GPU.
func engineFolder(onnx []byte, ortVersion string, trtVersion int, g gpu) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' {
			return r
		}
		return '-'
	}, strings.ToLower(g.name))
	return fmt.Sprintf("%x-ort%s-trt%d-%s-sm%s", sha256.Sum256(onnx), ortVersion, trtVersion, name, g.capability)
}

// tensorRTOptions are those beside the memory. An engine is built for a range of
// batch sizes; beyond it, another one would be built in mid-run.
func tensorRTOptions(dev engine.Device, dir string, batches []int, pic engine.Picture) map[string]string {
	options := map[string]string{
		"device_id":               strconv.Itoa(dev.Index),
		"trt_engine_cache_enable": "1",
		"trt_engine_cache_path":   dir,
		"trt_timing_cache_enable": "1",
		"trt_timing_cache_path":   dir,
	}
	if pic.Batch >= 0 {
		return options
	}
	if len(batches) == 0 {
		batches = []int{1, 8, 16}
	}
	shape := func(batch int) string {
		return fmt.Sprintf("%s:%dx%dx%dx%d", pic.Name, batch, pic.Shape[0], pic.Shape[1], pic.Shape[2])
	}
	options["trt_profile_min_shapes"] = shape(1) // the first run of a model is one of one
	options["trt_profile_opt_shapes"] = shape(batches[len(batches)/2])
	options["trt_profile_max_shapes"] = shape(batches[len(batches)-1])
	return options
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
