// Package pixel is the arithmetic on pictures that needs no OpenCV: filling a
// model's input tensor from an 8-bit picture, half floats, and small grey
// copies of large frames.
package pixel

import "math"

// Half is the IEEE 754 half float nearest to f, ties to even, as its bits. What
// is too large becomes infinity; NaN stays NaN.
func Half(f float32) uint16 {
	b := math.Float32bits(f)
	sign := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000: // NaN: keep it one, quiet
		return sign | 0x7e00
	case b >= 0x477ff000: // 65520 and more round to infinity
		return sign | 0x7c00
	case b >= 0x38800000: // normal: drop 13 bits of the fraction, rebias
		b += 0xfff + b>>13&1
		return sign | uint16((b-0x38000000)>>13)
	case b < 0x33000000: // less than half of the smallest subnormal
		return sign
	}
	// Subnormal: the fraction with its hidden bit, in units of 2^-24.
	shift := 126 - b>>23
	frac := b&0x7fffff | 0x800000
	half := frac >> shift
	rest := frac & (1<<shift - 1)
	if tie := uint32(1) << (shift - 1); rest > tie || rest == tie && half&1 == 1 {
		half++
	}
	return sign | uint16(half)
}

// FromHalf is the value of a half float.
func FromHalf(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp, frac := uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch exp {
	case 0:
		v := float32(frac) / (1 << 24)
		if sign != 0 {
			v = -v
		}
		return v
	case 0x1f:
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}
