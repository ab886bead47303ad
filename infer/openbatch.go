package infer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/internal/onnxfile"
	"github.com/vedette-io/vedette/internal/pixel"
)

// OpenBatch loads a model, whose file fixes a batch of one picture, so that it
// takes several: most exports fix that, and a GPU is then hardly used. What
// [onnxfile.OpenBatch] makes of the file is only taken if it answers several
// random pictures as the model itself, which is given, answers each. The error
// says why it cannot be done; else the file to load from now on is returned as
// well.
func OpenBatch(ctx context.Context, e engine.Engine, onnx []byte, opts engine.LoadOptions, model engine.Model) ([]byte, engine.Model, error) {
	open, err := onnxfile.OpenBatch(onnx)
	if err != nil {
		return nil, nil, err
	}
	several, err := e.Load(ctx, open, opts)
	if err != nil {
		return nil, nil, err
	}
	if err := sameAnswers(ctx, opts, model, several); err != nil {
		return nil, nil, errors.Join(err, several.Close())
	}
	return open, several, nil
}

// openPictures is how many pictures are compared. An odd number finds what two
// halves would hide.
const openPictures = 3

// sameAnswers compares the answers to a batch with those to its pictures one by
// one.
func sameAnswers(ctx context.Context, opts engine.LoadOptions, single, several engine.Model) error {
	norm, err := pixel.NewNormalizer(opts.Input)
	if err != nil {
		return err
	}
	one, err := single.NewRunner(ctx, 1)
	if err != nil {
		return err
	}
	defer one.Close()
	many, err := several.NewRunner(ctx, openPictures)
	if err != nil {
		return err
	}
	defer many.Close()
	fill := func(in *engine.Input, place int, picture []byte) error {
		return norm.Fill(pixel.Tensor{F32: in.F32, F16: in.F16, U8: in.U8}, place, picture)
	}
	rnd := rand.New(rand.NewPCG(20, 26)) // the same each time, so that a load is one
	var want [openPictures][]engine.Output
	for i := range want {
		picture := make([]byte, norm.Len())
		for k := range picture {
			picture[k] = byte(rnd.IntN(256))
		}
		if err := errors.Join(fill(one.Input(), 0, picture), fill(many.Input(), i, picture)); err != nil {
			return err
		}
		outputs, err := one.Run(ctx)
		if err != nil {
			return err
		}
		for _, o := range outputs { // they are good until the next run
			o.F32, o.Shape = slices.Clone(o.F32), slices.Clone(o.Shape)
			want[i] = append(want[i], o)
		}
	}
	got, err := many.Run(ctx)
	if err != nil {
		return err
	}
	for i := range want {
		if err := samePlace(got, i, want[i]); err != nil {
			return fmt.Errorf("picture %d of a batch: %w", i+1, err)
		}
	}
	return nil
}

// samePlace compares one picture of a batch with the answer to it alone.
func samePlace(got []engine.Output, place int, want []engine.Output) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d outputs, want %d", len(got), len(want))
	}
	for k, w := range want {
		g := got[k]
		if len(g.Shape) != len(w.Shape) || len(w.Shape) == 0 || w.Shape[0] != 1 || g.Shape[0] != openPictures || !slices.Equal(g.Shape[1:], w.Shape[1:]) {
			return fmt.Errorf("output %q has shape %s, alone %s", w.Name, engine.ShapeString(g.Shape), engine.ShapeString(w.Shape))
		}
		n := len(w.F32)
		for i, v := range w.F32 {
			const near = 1e-3 // sums in another order
			if d := math.Abs(float64(g.F32[place*n+i]) - float64(v)); !(d <= near+near*math.Abs(float64(v))) {
				return fmt.Errorf("output %q differs by %v", w.Name, d)
			}
		}
	}
	return nil
}
