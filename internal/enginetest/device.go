package enginetest

import (
	"context"

	"github.com/vedette-io/vedette/internal/engine"
)

// On is an engine that runs on a device what asks for none in particular, so
// that the suite can be run on it.
func On(e engine.Engine, device string) engine.Engine { return onDevice{e, device} }

type onDevice struct {
	engine.Engine
	device string
}

func (d onDevice) Load(ctx context.Context, onnx []byte, opts engine.LoadOptions) (engine.Model, error) {
	if opts.Device == "" {
		opts.Device = d.device
	}
	return d.Engine.Load(ctx, onnx, opts)
}
