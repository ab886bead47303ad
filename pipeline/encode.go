package pipeline

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/vedette-io/vedette/internal/cv"
	"github.com/vedette-io/vedette/internal/picture"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/models"
)

// tensorEncoder makes pictures small for the way to other hosts.
type tensorEncoder struct {
	quality int
	log     *slog.Logger
	inputs  func(sha256 string) (models.Input, bool)

	pool sync.Pool // of *encoding
	once sync.Once // says that it cannot be done
}

// encoding is the memory of one encoding.
type encoding struct{ swapped, jpeg []byte }

// encode returns the picture as a JPEG; nil where this program cannot make one.
func (e *tensorEncoder) encode(sha256 string, body []byte) ([]byte, error) {
	in, ok := e.inputs(sha256)
	if !ok {
		return nil, nil
	}
	m, _ := e.pool.Get().(*encoding)
	if m == nil {
		m = new(encoding)
	}
	defer e.pool.Put(m)
	v := picture.View{Data: body, Width: in.Width, Height: in.Height, Stride: in.Width * in.Channels(), Channels: in.Channels()}
	if in.Color == models.RGB { // a JPEG is made of BGR
		m.swapped = swapRedBlue(m.swapped, body)
		v.Data = m.swapped
	}
	out, err := cv.EncodeJPEG(m.jpeg[:0], v, e.quality)
	if errors.Is(err, cv.ErrNoOpenCV) {
		e.once.Do(func() { e.log.Warn("tensors go to other hosts as they are: to make JPEGs needs OpenCV") })
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m.jpeg = out
	return append([]byte(nil), out...), nil
}

// decodeTensor turns the body of a request back into the picture that a model
// with that input takes.
func decodeTensor(in models.Input, encoding string, body []byte) ([]byte, error) {
	if encoding != tensor.JPEG {
		return nil, fmt.Errorf("tensor encoded as %q: this worker reads %s", encoding, tensor.JPEG)
	}
	v, err := picture.Decode(body)
	if err != nil {
		return nil, fmt.Errorf("tensor: %w", err)
	}
	if v.Width != in.Width || v.Height != in.Height || v.Channels != in.Channels() || v.Stride != v.Width*v.Channels {
		return nil, fmt.Errorf("tensor of %d×%d pixels in %d channels, the model takes %d×%d in %d", v.Width, v.Height, v.Channels, in.Width, in.Height, in.Channels())
	}
	if in.Color == models.RGB {
		return swapRedBlue(v.Data, v.Data), nil
	}
	return v.Data, nil
}

// swapRedBlue writes src, pixels of three bytes, over dst with the first and
// the last byte exchanged. They may be the same.
func swapRedBlue(dst, src []byte) []byte {
	if len(dst) != len(src) {
		dst = make([]byte, len(src))
	}
	for i := 0; i+2 < len(src); i += 3 {
		dst[i], dst[i+1], dst[i+2] = src[i+2], src[i+1], src[i]
	}
	return dst
}
