//go:build cgo

package ort

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/models"
)

// runner owns the tensors of one worker. The library reads the input and
// writes the outputs in Go memory, which is pinned until Close.
type runner struct {
	model *model
	in    *engine.Input
	pins  runtime.Pinner

	inputs []ort.Value
	outs   []*output
	values []ort.Value // of outs, as the binding takes them
	result []engine.Output

	opts     *ort.RunOptions
	stopping sync.WaitGroup // a cancellation under way
	closed   bool
}

// prepare allocates the tensors and runs once on zeros, which also shows the
// shape of outputs that the graph leaves open.
func (r *runner) prepare(ctx context.Context, batch int) error {
	var err error
	if r.opts, err = ort.NewRunOptions(); err != nil {
		return fmt.Errorf("run options: %w", err)
	}
	value, err := r.inputValue()
	if err != nil {
		return fmt.Errorf("input %q: %w", r.in.Name, err)
	}
	r.inputs = []ort.Value{value}
	for _, info := range r.model.info.Outputs {
		o, err := newOutput(info, r.model.pic, batch, &r.pins)
		if err != nil {
			return fmt.Errorf("output %q: %w", info.Name, err)
		}
		r.outs = append(r.outs, o)
	}
	r.values = make([]ort.Value, len(r.outs))
	r.result = make([]engine.Output, len(r.outs))
	_, err = r.Run(ctx)
	return err
}

func (r *runner) inputValue() (ort.Value, error) {
	shape := int64s(r.in.Shape)
	switch r.in.Type {
	case models.Float16:
		r.pins.Pin(&r.in.F16[0])
		raw := unsafe.Slice((*byte)(unsafe.Pointer(&r.in.F16[0])), 2*len(r.in.F16))
		return ort.NewCustomDataTensor(shape, raw, ort.TensorElementDataTypeFloat16)
	case models.Uint8:
		r.pins.Pin(&r.in.U8[0])
		return ort.NewTensor(shape, r.in.U8)
	}
	r.pins.Pin(&r.in.F32[0])
	return ort.NewTensor(shape, r.in.F32)
}

func (r *runner) Input() *engine.Input { return r.in }

func (r *runner) Run(ctx context.Context) ([]engine.Output, error) {
	if r.closed {
		return nil, errClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for i, o := range r.outs {
		r.values[i] = o.value // nil: the library allocates it
	}
	err := r.run(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("run: %s", oneLine(err))
	}
	for i, o := range r.outs {
		if r.result[i], err = o.read(r.values[i]); err != nil {
			r.dropValues(i + 1)
			return nil, fmt.Errorf("output %q: %w", o.info.Name, err)
		}
	}
	return r.result, nil
}

// run runs the session and stops it when ctx ends. A stop that has begun is
// waited for, so that it cannot hit the next run.
func (r *runner) run(ctx context.Context) error {
	if ctx.Done() == nil {
		return r.model.session.RunWithOptions(r.inputs, r.values, r.opts)
	}
	r.stopping.Add(1)
	cancel := context.AfterFunc(ctx, func() {
		defer r.stopping.Done()
		_ = r.opts.Terminate() // fails only without memory, and then the run just goes on
	})
	err := r.model.session.RunWithOptions(r.inputs, r.values, r.opts)
	if cancel() {
		r.stopping.Done()
		return err
	}
	r.stopping.Wait()
	return errors.Join(err, r.opts.UnsetTerminate())
}

// dropValues destroys what the library allocated for outputs that were not
// read, from the i-th on.
func (r *runner) dropValues(i int) {
	for ; i < len(r.outs); i++ {
		if r.outs[i].value == nil && r.values[i] != nil {
			_ = r.values[i].Destroy() // never fails
		}
	}
}

func (r *runner) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	var errs []error
	for _, v := range r.inputs {
		errs = append(errs, v.Destroy())
	}
	for _, o := range r.outs {
		if o.value != nil {
			errs = append(errs, o.value.Destroy())
		}
	}
	if r.opts != nil {
		errs = append(errs, r.opts.Destroy())
	}
	r.pins.Unpin()
	r.model.mu.Lock()
	defer r.model.mu.Unlock()
	return errors.Join(append(errs, r.model.release())...)
}

func int64s(shape []int) ort.Shape {
	s := make(ort.Shape, len(shape))
	for i, d := range shape {
		s[i] = int64(d)
	}
	return s
}
