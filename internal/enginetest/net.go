package enginetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
)

// net writes a model and computes what it must answer at the same time, in
// float64 and as literally as ONNX defines it.
type net struct {
	graph onnxtest.Graph
	rnd   *rand.Rand
	names int
}

// val is a tensor of a net: its name in the graph and what it must hold.
type val struct {
	name  string
	shape []int
	data  []float64
}

func (v val) at(index ...int) float64 {
	p := 0
	for i, d := range v.shape {
		p = p*d + index[i]
	}
	return v.data[p]
}

// each calls f with every index of a shape, in order.
func each(shape []int, f func(index []int)) {
	index := make([]int, len(shape))
	n := 1
	for _, d := range shape {
		n *= d
	}
	for range n {
		f(index)
		for d := len(shape) - 1; d >= 0; d-- {
			if index[d]++; index[d] < shape[d] {
				break
			}
			index[d] = 0
		}
	}
}

// tabulate is the tensor with the values of f.
func tabulate(shape []int, f func(index []int) float64) val {
	v := val{shape: slices.Clone(shape)}
	each(shape, func(i []int) { v.data = append(v.data, f(i)) })
	return v
}

// node adds an operator whose result is want.
func (n *net) node(op string, want val, attrs []onnxtest.Attr, inputs ...string) val {
	want.name = n.name()
	n.graph.Nodes = append(n.graph.Nodes, onnxtest.Node{Op: op, Inputs: inputs, Outputs: []string{want.name}, Attrs: attrs})
	return want
}

func (n *net) name() string {
	n.names++
	return fmt.Sprintf("v%d", n.names)
}

// weight is a constant of random values in lo..hi.
func (n *net) weight(lo, hi float64, shape ...int) val {
	v := tabulate(shape, func([]int) float64 { return float64(float32(lo + (hi-lo)*n.rnd.Float64())) })
	return n.floats(v)
}

// floats adds v as a constant.
func (n *net) floats(v val) val {
	v.name = n.name()
	data := make([]float32, len(v.data))
	for i, x := range v.data {
		data[i] = float32(x)
	}
	n.graph.Initializers = append(n.graph.Initializers, onnxtest.FloatTensor(v.name, v.shape, data))
	return v
}

// ints adds a constant vector of integers and returns its name.
func (n *net) ints(data ...int64) string {
	name := n.name()
	n.graph.Initializers = append(n.graph.Initializers, onnxtest.Int64Tensor(name, []int{len(data)}, data))
	return name
}

// window is what a kernel slides with; pad is top, left, bottom, right.
type window struct {
	kernel, stride, dilate [2]int
	pad                    [4]int
	auto                   string
	ceil                   bool
}

func (w window) attrs() []onnxtest.Attr {
	two := func(name string, v [2]int) onnxtest.Attr { return onnxtest.IntsAttr(name, int64(v[0]), int64(v[1])) }
	a := []onnxtest.Attr{two("kernel_shape", w.kernel), two("strides", w.stride), two("dilations", w.dilate)}
	if w.auto != "" {
		return append(a, onnxtest.StringAttr("auto_pad", w.auto))
	}
	return append(a, onnxtest.IntsAttr("pads", int64(w.pad[0]), int64(w.pad[1]), int64(w.pad[2]), int64(w.pad[3])))
}

// win is a window of one size and stride both ways.
func win(kernel, stride, pad int) window {
	return window{[2]int{kernel, kernel}, [2]int{stride, stride}, [2]int{1, 1}, [4]int{pad, pad, pad, pad}, "", false}
}

// out is the size of the result over height and width.
func (w *window) out(size [2]int) (out [2]int) {
	for i := range 2 {
		reach := (w.kernel[i]-1)*w.dilate[i] + 1
		if w.auto != "" && w.auto != "VALID" {
			out[i] = int(math.Ceil(float64(size[i]) / float64(w.stride[i])))
			total := max((out[i]-1)*w.stride[i]+reach-size[i], 0)
			w.pad[i], w.pad[i+2] = total/2, total-total/2
			if w.auto == "SAME_LOWER" {
				w.pad[i], w.pad[i+2] = w.pad[i+2], w.pad[i]
			}
			continue
		}
		steps := float64(size[i]+w.pad[i]+w.pad[i+2]-reach) / float64(w.stride[i])
		out[i] = int(math.Floor(steps)) + 1
		if w.ceil {
			out[i] = int(math.Ceil(steps)) + 1
		}
	}
	return out
}

// conv is a convolution; bias may have no name.
func (n *net) conv(x, weights, bias val, group int, w window) val {
	out := w.out([2]int(x.shape[2:]))
	outs, perGroup := weights.shape[0], weights.shape[1]
	want := tabulate([]int{x.shape[0], outs, out[0], out[1]}, func(i []int) float64 {
		sum := 0.0
		if bias.name != "" {
			sum = bias.data[i[1]]
		}
		each([]int{perGroup, w.kernel[0], w.kernel[1]}, func(k []int) {
			y, xx := i[2]*w.stride[0]-w.pad[0]+k[1]*w.dilate[0], i[3]*w.stride[1]-w.pad[1]+k[2]*w.dilate[1]
			if y >= 0 && y < x.shape[2] && xx >= 0 && xx < x.shape[3] {
				sum += weights.at(i[1], k[0], k[1], k[2]) * x.at(i[0], i[1]/(outs/group)*perGroup+k[0], y, xx)
			}
		})
		return sum
	})
	inputs := []string{x.name, weights.name}
	if bias.name != "" {
		inputs = append(inputs, bias.name)
	}
	return n.node("Conv", want, append(w.attrs(), onnxtest.IntAttr("group", int64(group))), inputs...)
}

// pool is MaxPool or AveragePool.
func (n *net) pool(op string, x val, w window, includePad bool) val {
	out := w.out([2]int(x.shape[2:]))
	want := tabulate([]int{x.shape[0], x.shape[1], out[0], out[1]}, func(i []int) float64 {
		best, sum, count := math.Inf(-1), 0.0, 0.0
		each(w.kernel[:], func(k []int) {
			y, xx := i[2]*w.stride[0]-w.pad[0]+k[0]*w.dilate[0], i[3]*w.stride[1]-w.pad[1]+k[1]*w.dilate[1]
			inside := y >= 0 && y < x.shape[2] && xx >= 0 && xx < x.shape[3]
			if inside {
				best, sum = max(best, x.at(i[0], i[1], y, xx)), sum+x.at(i[0], i[1], y, xx)
			}
			if inside || includePad {
				count++
			}
		})
		if op == "MaxPool" {
			return best
		}
		return sum / count
	})
	attrs := w.attrs()
	if op == "AveragePool" { // without dilations, which it got only in operator set 19
		attrs = slices.Delete(attrs, 2, 3)
		attrs = append(attrs, onnxtest.IntAttr("count_include_pad", map[bool]int64{true: 1}[includePad]))
	}
	if w.ceil {
		attrs = append(attrs, onnxtest.IntAttr("ceil_mode", 1))
	}
	return n.node(op, want, attrs, x.name)
}

// unary maps every element.
func (n *net) unary(op string, x val, f func(float64) float64, attrs ...onnxtest.Attr) val {
	return n.node(op, tabulate(x.shape, func(i []int) float64 { return f(x.at(i...)) }), attrs, x.name)
}

// binary is an operator with broadcasting.
func (n *net) binary(op string, a, b val, f func(a, b float64) float64) val {
	rank := max(len(a.shape), len(b.shape))
	shape := make([]int, rank)
	pick := func(v val, index []int) []int { // the index in v of an index of the result
		own := slices.Clone(index[rank-len(v.shape):])
		for i, d := range v.shape {
			if d == 1 {
				own[i] = 0
			}
		}
		return own
	}
	for i := range shape {
		shape[i] = 1
		for _, v := range []val{a, b} {
			if j := i - rank + len(v.shape); j >= 0 {
				shape[i] = max(shape[i], v.shape[j])
			}
		}
	}
	want := tabulate(shape, func(i []int) float64 { return f(a.at(pick(a, i)...), b.at(pick(b, i)...)) })
	return n.node(op, want, nil, a.name, b.name)
}

func (n *net) add(a, b val) val {
	return n.binary("Add", a, b, func(a, b float64) float64 { return a + b })
}

func (n *net) relu(x val) val {
	return n.unary("Relu", x, func(v float64) float64 { return max(v, 0) })
}

func (n *net) batchNorm(x, scale, bias, mean, variance val, epsilon float32) val {
	want := tabulate(x.shape, func(i []int) float64 {
		c := i[1]
		return scale.data[c]*(x.at(i...)-mean.data[c])/math.Sqrt(variance.data[c]+float64(epsilon)) + bias.data[c]
	})
	return n.node("BatchNormalization", want, []onnxtest.Attr{onnxtest.FloatAttr("epsilon", epsilon)},
		x.name, scale.name, bias.name, mean.name, variance.name)
}

// softmax normalises over the axes from first to last.
func (n *net) softmax(x val, first, last int, attrs ...onnxtest.Attr) val {
	same := func(i, j []int) bool {
		return slices.Equal(i[:first], j[:first]) && slices.Equal(i[last+1:], j[last+1:])
	}
	want := tabulate(x.shape, func(i []int) float64 {
		sum := 0.0
		each(x.shape, func(j []int) {
			if same(i, j) {
				sum += math.Exp(x.at(j...))
			}
		})
		return math.Exp(x.at(i...)) / sum
	})
	return n.node("Softmax", want, attrs, x.name)
}

// gemm is alpha·A·B + beta·C with A and B transposed where asked; c may have
// no name.
func (n *net) gemm(a, b, c val, alpha, beta float32, transA, transB bool) val {
	ta, tb := transpose(a, 1, 0), transpose(b, 1, 0)
	if !transA {
		ta = a
	}
	if !transB {
		tb = b
	}
	want := product(ta, tb)
	inputs := []string{a.name, b.name}
	for i := range want.data {
		want.data[i] *= float64(alpha)
	}
	if c.name != "" {
		inputs = append(inputs, c.name)
		for i := range want.data { // C is one value, a row or the whole
			want.data[i] += float64(beta) * c.data[i%len(c.data)]
		}
	}
	flag := map[bool]int64{true: 1}
	return n.node("Gemm", want, []onnxtest.Attr{onnxtest.FloatAttr("alpha", alpha), onnxtest.FloatAttr("beta", beta),
		onnxtest.IntAttr("transA", flag[transA]), onnxtest.IntAttr("transB", flag[transB])}, inputs...)
}

func (n *net) matMul(a, b val) val { return n.node("MatMul", product(a, b), nil, a.name, b.name) }

// product multiplies the last two axes; b has two, or as many as a.
func product(a, b val) val {
	last := len(a.shape) - 1
	shape := append(slices.Clone(a.shape[:last]), b.shape[len(b.shape)-1])
	return tabulate(shape, func(i []int) float64 {
		sum := 0.0
		for k := range a.shape[last] {
			ia, ib := slices.Clone(i), slices.Clone(i)
			ia[last], ib[last-1] = k, k
			sum += a.at(ia...) * b.at(ib[len(ib)-len(b.shape):]...)
		}
		return sum
	})
}

func transpose(x val, perm ...int) val {
	shape := make([]int, len(perm))
	for i, p := range perm {
		shape[i] = x.shape[p]
	}
	v := tabulate(shape, func(i []int) float64 {
		from := make([]int, len(perm))
		for k, p := range perm {
			from[p] = i[k]
		}
		return x.at(from...)
	})
	v.name = x.name
	return v
}

// reshaped is an operator that only changes the shape.
func (n *net) reshaped(op string, x val, shape []int, attrs []onnxtest.Attr, more ...string) val {
	return n.node(op, val{shape: shape, data: x.data}, attrs, append([]string{x.name}, more...)...)
}

func (n *net) concat(axis, attr int, xs ...val) val {
	shape := slices.Clone(xs[0].shape)
	var names []string
	shape[axis] = 0
	for _, x := range xs {
		shape[axis] += x.shape[axis]
		names = append(names, x.name)
	}
	want := tabulate(shape, func(i []int) float64 {
		j := slices.Clone(i)
		for _, x := range xs {
			if j[axis] < x.shape[axis] {
				return x.at(j...)
			}
			j[axis] -= x.shape[axis]
		}
		return math.NaN()
	})
	return n.node("Concat", want, []onnxtest.Attr{onnxtest.IntAttr("axis", int64(attr))}, names...)
}
