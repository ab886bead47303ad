package gorgonia

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/internal/onnxfile"
	"github.com/vedette-io/vedette/models"

	// Gorgonia's allocator panics at start-up on a Go release it does not
	// know; this version knows those up to its build constraint.
	_ "go4.org/unsafe/assume-no-moving-gc"
)

// The operator sets whose meaning this package knows.
const minOpset, maxOpset = 7, 25

// Engine is the engine "gorgonia".
type Engine struct{}

// New returns the engine.
func New() *Engine { return &Engine{} }

// Name is "gorgonia".
func (*Engine) Name() string { return "gorgonia" }

// Operators are the names of the ONNX operators this engine runs, sorted.
func Operators() []string { return slices.Sorted(maps.Keys(operators())) }

// Load implements [engine.Engine]. The only devices are "cpu" and "auto".
func (*Engine) Load(ctx context.Context, onnx []byte, opts engine.LoadOptions) (engine.Model, error) {
	info, err := engine.Describe(onnx)
	if err != nil {
		return nil, err
	}
	if err := checkOperators(onnx); err != nil {
		return nil, err
	}
	pic, err := info.Picture(opts.Input)
	if err != nil {
		return nil, err
	}
	if pic.Type != models.Float32 {
		return nil, fmt.Errorf("%w: input %q takes %s, and gorgonia computes in float32 only", engine.ErrUnsupported, pic.Name, pic.Type)
	}
	dev, err := engine.ParseDevice(opts.Device)
	if err != nil {
		return nil, err
	}
	if dev.Kind != engine.Auto && dev.Kind != engine.CPU {
		return nil, fmt.Errorf("%w: %s: the engine gorgonia runs on the CPU only", engine.ErrNoDevice, dev)
	}
	info.Device = string(engine.CPU)
	net, err := decode(onnx, pic.Name, info)
	if err != nil {
		return nil, err
	}
	m := &model{info: info, pic: pic, net: net, threads: max(opts.Threads, 1)}
	r, err := m.NewRunner(ctx, pic.WarmUpBatch())
	if err != nil {
		return nil, err
	}
	return m, r.Close()
}

// checkOperators refuses what is not in the table, by name.
func checkOperators(onnx []byte) error {
	file, err := onnxfile.Parse(onnx)
	if err != nil {
		return fmt.Errorf("%w: %w", engine.ErrModel, err)
	}
	known := operators()
	var missing []string
	for op := range file.Ops() {
		if _, ok := known[op.Name]; !ok || op.Domain != "" && op.Domain != "ai.onnx" {
			missing = append(missing, op.String())
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return fmt.Errorf("%w: gorgonia lacks %s (use the engine onnxruntime for this model)", engine.ErrUnsupported, strings.Join(missing, ", "))
	}
	for _, set := range file.Opsets {
		if (set.Domain == "" || set.Domain == "ai.onnx") && (set.Version < minOpset || set.Version > maxOpset) {
			return fmt.Errorf("%w: the model is written for operator set %d, and gorgonia knows %d to %d",
				engine.ErrUnsupported, set.Version, minOpset, maxOpset)
		}
	}
	return nil
}

// model is a decoded network.
type model struct {
	info    engine.Info
	pic     engine.Picture
	net     *network
	threads int
	closed  atomic.Bool
}

func (m *model) Info() engine.Info { return m.info }

// Close drops the model; the memory goes with the last runner.
func (m *model) Close() error {
	m.closed.Store(true)
	return nil
}

func (m *model) NewRunner(ctx context.Context, batch int) (engine.Runner, error) {
	if m.closed.Load() {
		return nil, errors.New("the model is closed")
	}
	shape, err := m.pic.BatchShape(batch)
	if err != nil {
		return nil, err
	}
	r := &runner{in: m.pic.NewInput(shape)}
	if r.program, err = build(m.net, r.in, m.threads); err != nil {
		return nil, fmt.Errorf("batch of %d: %w", batch, err)
	}
	if _, err := r.Run(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("batch of %d: %w", batch, err), r.Close())
	}
	return r, nil
}

// runner is a graph with its memory.
type runner struct {
	in      *engine.Input
	program *program
	closed  bool
}

func (r *runner) Input() *engine.Input { return r.in }

// Run implements [engine.Runner]. A run that is cancelled stops within a
// convolution or at the end of another operation under way.
func (r *runner) Run(ctx context.Context) ([]engine.Output, error) {
	if r.closed {
		return nil, errors.New("the runner is closed")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := r.program.run(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	return r.program.outputs, nil
}

func (r *runner) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	err := r.program.vm.Close()
	r.program = nil
	return err
}
