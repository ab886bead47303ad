package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/models"
	"github.com/vedette-io/vedette/preprocess"
)

// Direct shows single pictures to a model through the same preprocessing and
// the same workers as a pipeline, but without cameras and without a bus. It is
// what an evaluation needs. Safe for concurrent use.
type Direct struct {
	pool       *infer.Pool
	input      models.Input
	transforms sync.Pool // of *shape
}

// shape is what one caller needs to make a tensor.
type shape struct {
	tf   *preprocess.Transform
	body []byte
}

// NewDirect uses the workers of pool, whose model takes input.
func NewDirect(pool *infer.Pool, input models.Input) (*Direct, error) {
	if _, err := preprocess.NewTransform(input); err != nil {
		return nil, err
	}
	return &Direct{pool: pool, input: input}, nil
}

// Look runs the model on one picture.
func (d *Direct) Look(ctx context.Context, pic preprocess.Picture) (*tensor.Answer, error) {
	s, _ := d.transforms.Get().(*shape)
	if s == nil {
		tf, err := preprocess.NewTransform(d.input)
		if err != nil {
			return nil, err
		}
		s = &shape{tf: tf, body: make([]byte, d.input.Width*d.input.Height*d.input.Channels())}
	}
	geom, err := s.tf.Apply(s.body, pic)
	if err != nil {
		return nil, err
	}
	header, err := json.Marshal(tensor.Request{SHA256: d.pool.Ref().SHA256, Geometry: geom})
	if err != nil {
		return nil, err
	}
	answers := make(chan []byte, 1)
	d.pool.Handle(infer.Incoming{
		Header: string(header), Body: s.body,
		Respond: func(b []byte) error { answers <- b; return nil },
	})
	select {
	case b := <-answers:
		d.transforms.Put(s)
		var a tensor.Answer
		if err := json.Unmarshal(b, &a); err != nil {
			return nil, fmt.Errorf("answer: %w", err)
		}
		if a.Again {
			return nil, fmt.Errorf("model %s is not there: %s", d.pool.Ref().Name, a.Reason)
		}
		return &a, nil
	case <-ctx.Done(): // the worker may still read s.body: leave it to the collector
		return nil, context.Cause(ctx)
	}
}
