package gorgonia

import (
	"fmt"
	"sync"

	"github.com/vedette-io/vedette/internal/engine"
)

// strip is the number of output pixels that are computed together: their
// unrolled inputs stay in the processor's cache, and no copy of the whole
// picture's windows is made.
const strip = 128

// conv is a convolution as matrix products: for each group, its weights
// [outputs, inputs·kernel] times the unrolled windows [inputs·kernel, pixels].
type conv struct {
	window
	batch, groups int
	groupIn       int // channels a group reads
	groupOut      int // channels a group makes
	threads       int
	columns       [][]float32 // for each thread, the windows of a strip
	current       *current
	direct        bool // windows of one pixel each: the input is its own unrolling
}

func buildConv(s *site) (*value, error) {
	x, weights, bias := s.in[0], s.in[1], s.input(2)
	if len(weights.shape) != 4 {
		return nil, fmt.Errorf("%w: weights with %d axes; only convolutions in two dimensions", engine.ErrUnsupported, len(weights.shape))
	}
	groups := int(attr(s, "group", int64(1)))
	w, err := s.window(x, weights.shape[2:], false)
	if err != nil {
		return nil, err
	}
	out := weights.shape[0]
	if groups < 1 || w.channels%groups != 0 || out%groups != 0 || weights.shape[1] != w.channels/groups {
		return nil, fmt.Errorf("%w: weights %s in %d groups on %d channels", engine.ErrModel, engine.ShapeString(weights.shape), groups, w.channels)
	}
	if bias != nil && bias.size() != out {
		return nil, fmt.Errorf("%w: %d biases for %d channels", engine.ErrModel, bias.size(), out)
	}
	c := &conv{window: w, batch: x.shape[0], groups: groups, groupIn: w.channels / groups, groupOut: out / groups, threads: s.builder.threads, current: s.builder.current}
	c.direct = w.kernel == [2]int{1, 1} && w.stride == [2]int{1, 1} && w.pad == [2]int{} && w.outHeight == w.height && w.outWidth == w.width
	for range c.threads {
		var columns []float32
		if !c.direct {
			columns = make([]float32, c.depth()*strip)
		}
		c.columns = append(c.columns, columns)
	}
	return s.emit([]int{c.batch, out, w.outHeight, w.outWidth}, c.run, x, weights, bias)
}

// depth is the number of values one output pixel is made of.
func (c *conv) depth() int { return c.groupIn * c.kernel[0] * c.kernel[1] }

func (c *conv) run(dst []float32, src [][]float32) {
	pixels := c.outHeight * c.outWidth
	if bias := src[2]; bias != nil {
		for i := range c.batch * len(bias) {
			plane := dst[i*pixels : (i+1)*pixels]
			for j := range plane {
				plane[j] = bias[i%len(bias)]
			}
		}
	} else {
		clear(dst)
	}
	strips := (pixels + strip - 1) / strip
	tasks := c.batch * c.groups * strips
	threads := min(c.threads, tasks)
	if threads <= 1 {
		c.work(0, tasks, c.columns[0], dst, src)
		return
	}
	var wg sync.WaitGroup
	for t := range threads {
		wg.Go(func() { c.work(tasks*t/threads, tasks*(t+1)/threads, c.columns[t], dst, src) })
	}
	wg.Wait()
}

// work computes the strips numbered first to last, or ends early when the run
// is cancelled.
func (c *conv) work(first, last int, columns, dst []float32, src [][]float32) {
	pixels, area, depth := c.outHeight*c.outWidth, c.height*c.width, c.depth()
	strips := (pixels + strip - 1) / strip
	for task := first; task < last && !c.current.stopped(); task++ {
		plane, p0 := task/strips, task%strips*strip // plane counts groups of all pictures
		n := min(strip, pixels-p0)
		input := src[0][plane*c.groupIn*area : (plane+1)*c.groupIn*area]
		weights := src[1][plane%c.groups*c.groupOut*depth:]
		b, ldb := columns, n
		if c.direct {
			b, ldb = input[p0:], area
		} else {
			c.unroll(columns, input, p0, n)
		}
		gemm(c.groupOut, n, depth, 1, matrix{weights, depth, false}, matrix{b, ldb, false}, dst[plane*c.groupOut*pixels+p0:], pixels)
	}
}

// unroll writes the windows of the output pixels p0 to p0+n as columns.
func (c *conv) unroll(dst, src []float32, p0, n int) {
	i := 0
	for ch := range c.groupIn {
		plane := src[ch*c.height*c.width : (ch+1)*c.height*c.width]
		for ky := range c.kernel[0] {
			for kx := range c.kernel[1] {
				c.unrollRow(dst[i:i+n], plane, ky, kx, p0)
				i += n
			}
		}
	}
}

// unrollRow writes the pixel at (ky, kx) of each window, 0 outside the picture.
func (c *conv) unrollRow(dst, plane []float32, ky, kx, p0 int) {
	for len(dst) > 0 {
		oy, ox := p0/c.outWidth, p0%c.outWidth
		n := min(len(dst), c.outWidth-ox)
		row := dst[:n]
		y := oy*c.stride[0] - c.pad[0] + ky*c.dilate[0]
		x := ox*c.stride[1] - c.pad[1] + kx*c.dilate[1]
		if y < 0 || y >= c.height {
			clear(row)
		} else {
			lo, hi := bounds(x, n, c.stride[1], c.width)
			clear(row[:lo])
			clear(row[hi:])
			line := plane[y*c.width : (y+1)*c.width]
			if c.stride[1] == 1 {
				copy(row[lo:hi], line[min(x+lo, c.width):])
			} else {
				for i := lo; i < hi; i++ {
					row[i] = line[x+i*c.stride[1]]
				}
			}
		}
		dst, p0 = dst[n:], p0+n
	}
}
