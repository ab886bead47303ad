package pixel

import (
	"fmt"
	"math"

	"github.com/vedette-io/vedette/models"
)

// Tensor is where [Normalizer.Fill] writes: exactly one of the slices is used,
// the one of the model's element type. It holds a whole batch.
type Tensor struct {
	F32 []float32
	F16 []uint16 // bits of IEEE 754 half floats
	U8  []byte
}

// Normalizer turns model-sized 8-bit pictures into the tensor a model takes:
// v = (p*scale - mean) / std for each channel, in the model's layout and
// element type. It is immutable and safe for concurrent use.
type Normalizer struct {
	pixels   int // of one picture
	channels int
	planar   bool
	typ      models.ElemType

	// One table per channel: a byte has only 256 values.
	f32 [3][256]float32
	f16 [3][256]uint16
	u8  [3][256]byte
	// plain says that the tables of u8 change nothing.
	plain bool
}

// NewNormalizer checks the parts of in that concern the tensor. What is left
// out means: layout nchw, type float32, scale 1, mean 0, std 1; one value of
// mean or std stands for every channel. For type uint8 the values are rounded
// to the nearest and clipped to 0..255.
func NewNormalizer(in models.Input) (*Normalizer, error) {
	if in.Width <= 0 || in.Height <= 0 {
		return nil, fmt.Errorf("model input: size %d×%d: want at least one pixel", in.Width, in.Height)
	}
	n := &Normalizer{pixels: in.Width * in.Height, channels: in.Channels(), typ: in.Type}
	switch in.Layout {
	case "", models.NCHW:
		n.planar = true
	case models.NHWC:
	default:
		return nil, fmt.Errorf("model input: layout %q: want nchw or nhwc", in.Layout)
	}
	if n.channels == 1 {
		n.planar = false // the same bytes, and one loop less
	}
	mean, err := perChannel("mean", in.Mean, n.channels, 0)
	if err != nil {
		return nil, err
	}
	std, err := perChannel("std", in.Std, n.channels, 1)
	if err != nil {
		return nil, err
	}
	for _, s := range std {
		if s == 0 {
			return nil, fmt.Errorf("model input: std %v: a value of 0 would divide by zero", in.Std)
		}
	}
	scale := in.Scale
	if scale == 0 {
		scale = 1
	}
	n.plain = true
	for c := range n.channels {
		for p := range 256 {
			v := (float64(p)*scale - mean[c]) / std[c]
			n.f32[c][p] = float32(v)
			n.f16[c][p] = Half(float32(v))
			n.u8[c][p] = byte(min(max(math.RoundToEven(v), 0), 255))
			n.plain = n.plain && int(n.u8[c][p]) == p
		}
	}
	switch in.Type {
	case "":
		n.typ = models.Float32
	case models.Float32, models.Float16, models.Uint8:
	default:
		return nil, fmt.Errorf("model input: type %q: want float32, float16 or uint8", in.Type)
	}
	return n, nil
}

func perChannel(key string, v []float64, channels int, def float64) ([3]float64, error) {
	out := [3]float64{def, def, def}
	switch {
	case len(v) == 0:
	case len(v) == 1:
		out = [3]float64{v[0], v[0], v[0]}
	case len(v) == channels:
		copy(out[:], v)
	default:
		return out, fmt.Errorf("model input: %s has %d values: want 1 or %d", key, len(v), channels)
	}
	for _, x := range out {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return out, fmt.Errorf("model input: %s %v: want finite numbers", key, v)
		}
	}
	return out, nil
}

// Len is the number of elements of one picture: width × height × channels. It
// is also the number of bytes of a source picture.
func (n *Normalizer) Len() int { return n.pixels * n.channels }

// Fill writes the picture src, rows of pixels of channels, into place slot of
// the batch dst.
func (n *Normalizer) Fill(dst Tensor, slot int, src []byte) error {
	size := n.Len()
	if len(src) != size {
		return fmt.Errorf("picture has %d bytes, the model takes %d", len(src), size)
	}
	have := len(dst.F32)
	switch n.typ {
	case models.Float16:
		have = len(dst.F16)
	case models.Uint8:
		have = len(dst.U8)
	}
	if slot < 0 || (slot+1)*size > have {
		return fmt.Errorf("place %d of a batch with room for %d pictures of type %s", slot, have/size, n.typ)
	}
	lo, hi := slot*size, (slot+1)*size
	switch n.typ {
	case models.Float16:
		fill(dst.F16[lo:hi], src, &n.f16, n.channels, n.planar)
	case models.Uint8:
		if n.plain && !n.planar {
			copy(dst.U8[lo:hi], src)
			return nil
		}
		fill(dst.U8[lo:hi], src, &n.u8, n.channels, n.planar)
	default:
		fill(dst.F32[lo:hi], src, &n.f32, n.channels, n.planar)
	}
	return nil
}

func fill[T float32 | uint16 | byte](dst []T, src []byte, lut *[3][256]T, channels int, planar bool) {
	switch {
	case channels == 1:
		gray(dst, src, &lut[0])
	case planar:
		planes(dst, src, lut)
	default:
		interleaved(dst, src, lut)
	}
}

func gray[T float32 | uint16 | byte](dst []T, src []byte, lut *[256]T) {
	dst = dst[:len(src)]
	for i, p := range src {
		dst[i] = lut[p]
	}
}

// planes goes over the source once, four pixels a step through pointers to
// arrays, which spares the bounds checks. Plane after plane was no faster.
func planes[T float32 | uint16 | byte](dst []T, src []byte, lut *[3][256]T) {
	n := len(src) / 3
	a, b, c := dst[:n], dst[n:2*n], dst[2*n:3*n]
	l0, l1, l2 := &lut[0], &lut[1], &lut[2]
	for len(src) >= 12 {
		s := (*[12]byte)(src)
		x, y, z := (*[4]T)(a), (*[4]T)(b), (*[4]T)(c)
		x[0], y[0], z[0] = l0[s[0]], l1[s[1]], l2[s[2]]
		x[1], y[1], z[1] = l0[s[3]], l1[s[4]], l2[s[5]]
		x[2], y[2], z[2] = l0[s[6]], l1[s[7]], l2[s[8]]
		x[3], y[3], z[3] = l0[s[9]], l1[s[10]], l2[s[11]]
		src, a, b, c = src[12:], a[4:], b[4:], c[4:]
	}
	for i := range a {
		a[i], b[i], c[i] = l0[src[3*i]], l1[src[3*i+1]], l2[src[3*i+2]]
	}
}

func interleaved[T float32 | uint16 | byte](dst []T, src []byte, lut *[3][256]T) {
	l0, l1, l2 := &lut[0], &lut[1], &lut[2]
	for len(src) >= 12 {
		s, d := (*[12]byte)(src), (*[12]T)(dst)
		d[0], d[1], d[2] = l0[s[0]], l1[s[1]], l2[s[2]]
		d[3], d[4], d[5] = l0[s[3]], l1[s[4]], l2[s[5]]
		d[6], d[7], d[8] = l0[s[6]], l1[s[7]], l2[s[8]]
		d[9], d[10], d[11] = l0[s[9]], l1[s[10]], l2[s[11]]
		src, dst = src[12:], dst[12:]
	}
	for i := 0; i+2 < len(src); i += 3 {
		dst[i], dst[i+1], dst[i+2] = l0[src[i]], l1[src[i+1]], l2[src[i+2]]
	}
}
