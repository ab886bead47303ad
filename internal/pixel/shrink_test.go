package pixel_test

import (
	"bytes"
	"testing"

	"github.com/vedette-io/vedette/internal/pixel"
)

func TestShrinkShapes(t *testing.T) {
	for _, c := range []struct{ w, h, wantW, wantH int }{
		{1920, 1080, 160, 90}, {1080, 1920, 90, 160}, {100, 50, 100, 50}, {1, 1, 1, 1}, {20000, 20, 160, 1}, {161, 161, 160, 160},
	} {
		for _, channels := range []int{1, 3} {
			s := pixel.Shrinker{MaxSide: 160}
			stride := c.w*channels + 3
			data := bytes.Repeat([]byte{90}, (c.h-1)*stride+c.w*channels) // no slack after the last row
			got, fresh := s.Shrink(data, stride, c.w, c.h, channels)
			if s.Width != c.wantW || s.Height != c.wantH || !fresh {
				t.Errorf("%d×%d: got %d×%d (fresh %t), want %d×%d", c.w, c.h, s.Width, s.Height, fresh, c.wantW, c.wantH)
			}
			if !bytes.Equal(got, bytes.Repeat([]byte{90}, c.wantW*c.wantH)) {
				t.Errorf("%d×%d: a flat picture did not stay flat", c.w, c.h)
			}
			if _, fresh := s.Shrink(data, stride, c.w, c.h, channels); fresh {
				t.Errorf("%d×%d: the second copy is called fresh", c.w, c.h)
			}
		}
	}
}

// TestShrinkValues averages the four samples of each cell and weighs colours.
func TestShrinkValues(t *testing.T) {
	s := pixel.Shrinker{MaxSide: 2}
	// 4×2 grey: cells of 2×2, all of whose pixels are samples.
	got, _ := s.Shrink([]byte{0, 10, 100, 102, 20, 30, 104, 106}, 4, 4, 2, 1)
	if !bytes.Equal(got, []byte{15, 103}) {
		t.Errorf("grey: got %v, want [15 103]", got)
	}
	got, _ = s.Shrink([]byte{0, 100, 200, 255, 255, 255}, 6, 2, 1, 3)
	if !bytes.Equal(got, []byte{100, 255}) {
		t.Errorf("colour: got %v, want [100 255]", got)
	}
}

func BenchmarkShrink1080p(b *testing.B) {
	data := make([]byte, 1920*1080*3)
	s := pixel.Shrinker{MaxSide: 160}
	b.ReportAllocs()
	for b.Loop() {
		s.Shrink(data, 1920*3, 1920, 1080, 3)
	}
}
