package engine

import (
	"fmt"
	"strconv"
	"strings"
)

// DeviceKind is a family of devices.
type DeviceKind string

// The devices a model can be asked to run on.
const (
	Auto     DeviceKind = "auto"
	CPU      DeviceKind = "cpu"
	CUDA     DeviceKind = "cuda"
	TensorRT DeviceKind = "tensorrt"
	OpenVINO DeviceKind = "openvino"
)

// Batches reports whether a device of this kind works off several pictures at
// once faster than one after the other. A CPU does not: there, several runs at
// once do.
func (k DeviceKind) Batches() bool { return k == CUDA || k == TensorRT }

// Device is a parsed device name.
type Device struct {
	Kind DeviceKind
	// Index of the GPU, for CUDA and TensorRT.
	Index int
}

// String is the name as a user writes it: "cpu", "cuda:0".
func (d Device) String() string {
	if d.Kind == CUDA || d.Kind == TensorRT {
		return string(d.Kind) + ":" + strconv.Itoa(d.Index)
	}
	return string(d.Kind)
}

// ParseDevice reads a device name; the empty one is "auto", and a GPU without
// an index is the first. Errors wrap [ErrNoDevice].
func ParseDevice(s string) (Device, error) {
	kind, index, indexed := strings.Cut(s, ":")
	d := Device{Kind: DeviceKind(kind)}
	switch d.Kind {
	case "":
		d.Kind = Auto
	case Auto, CPU, OpenVINO, CUDA, TensorRT:
	default:
		return d, fmt.Errorf("%w: %q: allowed are auto, cpu, cuda:N, tensorrt:N, openvino", ErrNoDevice, s)
	}
	if !indexed {
		return d, nil
	}
	n, err := strconv.ParseUint(index, 10, 8)
	if err != nil || d.Kind != CUDA && d.Kind != TensorRT {
		return d, fmt.Errorf("%w: %q: allowed are auto, cpu, cuda:N, tensorrt:N, openvino", ErrNoDevice, s)
	}
	d.Index = int(n)
	return d, nil
}
