package enginetest

import (
	"math"

	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
)

// testCase is a small model. build is given the input, of random values in
// -1..1, and returns the outputs.
type testCase struct {
	name    string
	opset   int64  // 0: 13
	picture [3]int // channels, height, width; zero: 4×7×6
	build   func(n *net, x val) []val
}

func one(v val) []val { return []val{v} }

func cases() []testCase {
	all := append(convCases(), poolCases()...)
	all = append(all, elementCases()...)
	all = append(all, shapeCases()...)
	return append(all, networkCases()...)
}

func convCases() []testCase {
	conv := func(name string, outs, group int, bias bool, w window) testCase {
		return testCase{name: name, build: func(n *net, x val) []val {
			weights := n.weight(-1, 1, outs, x.shape[1]/group, w.kernel[0], w.kernel[1])
			var b val
			if bias {
				b = n.weight(-1, 1, outs)
			}
			return one(n.conv(x, weights, b, group, w))
		}}
	}
	asymmetric, dilated, oblong := win(3, 1, 0), win(3, 1, 2), win(3, 1, 0)
	asymmetric.pad = [4]int{0, 1, 2, 0}
	dilated.dilate = [2]int{2, 2}
	oblong.kernel, oblong.stride, oblong.pad = [2]int{1, 5}, [2]int{3, 1}, [4]int{0, 2, 0, 2}
	upper, lower, valid := win(3, 2, 0), win(2, 1, 0), win(3, 2, 0)
	upper.auto, lower.auto, valid.auto = "SAME_UPPER", "SAME_LOWER", "VALID"
	list := []testCase{
		conv("conv", 5, 1, true, win(3, 1, 1)),
		conv("conv without bias", 5, 1, false, win(3, 1, 1)),
		conv("conv stride 2", 3, 1, true, win(3, 2, 1)),
		conv("conv stride 3 over the edge", 3, 1, true, win(5, 3, 2)),
		conv("conv 1x1", 6, 1, true, win(1, 1, 0)),
		conv("conv 1x1 stride 2", 6, 1, true, win(1, 2, 0)),
		conv("conv oblong", 2, 1, true, oblong),
		conv("conv asymmetric padding", 2, 1, true, asymmetric),
		conv("conv dilated", 2, 1, true, dilated),
		conv("conv in groups", 6, 2, true, win(3, 1, 1)),
		conv("conv depthwise", 4, 4, false, win(3, 1, 1)),
		conv("conv SAME_UPPER", 2, 1, true, upper),
		conv("conv SAME_LOWER", 2, 1, true, lower),
		conv("conv VALID", 2, 1, true, valid),
		conv("conv of more outputs than a block", 70, 1, true, win(3, 1, 1)),
	}
	large := conv("conv of many pixels", 3, 1, true, win(3, 1, 1))
	large.picture = [3]int{3, 23, 31}
	large1 := conv("conv 1x1 of many pixels", 3, 1, true, win(1, 1, 0))
	large1.picture = [3]int{3, 23, 31}
	return append(list, large, large1)
}

func poolCases() []testCase {
	pool := func(name, op string, w window, includePad bool) testCase {
		return testCase{name: name, build: func(n *net, x val) []val { return one(n.pool(op, x, w, includePad)) }}
	}
	ceil, dilated, lower := win(3, 2, 0), win(2, 1, 0), win(2, 2, 0)
	ceil.ceil, dilated.dilate, lower.auto = true, [2]int{2, 3}, "SAME_LOWER"
	return []testCase{
		pool("max pool", "MaxPool", win(2, 2, 0), false),
		pool("max pool with padding", "MaxPool", win(3, 2, 1), false),
		pool("max pool ceil", "MaxPool", ceil, false),
		pool("max pool dilated", "MaxPool", dilated, false),
		pool("max pool SAME_LOWER", "MaxPool", lower, false),
		pool("average pool", "AveragePool", win(2, 2, 0), false),
		pool("average pool with padding", "AveragePool", win(3, 2, 1), false),
		pool("average pool counting padding", "AveragePool", win(3, 2, 1), true),
		{name: "global average pool", build: func(n *net, x val) []val { return one(globalAverage(n, x)) }},
	}
}

func globalAverage(n *net, x val) val {
	want := tabulate([]int{x.shape[0], x.shape[1], 1, 1}, func(i []int) float64 {
		sum := 0.0
		each(x.shape[2:], func(p []int) { sum += x.at(i[0], i[1], p[0], p[1]) })
		return sum / float64(x.shape[2]*x.shape[3])
	})
	return n.node("GlobalAveragePool", want, nil, x.name)
}

func elementCases() []testCase {
	leaky := func(alpha float64) func(float64) float64 {
		return func(v float64) float64 { return max(v, 0) + alpha*min(v, 0) }
	}
	unary := func(op string, f func(float64) float64, attrs ...onnxtest.Attr) testCase {
		return testCase{name: op, build: func(n *net, x val) []val { return one(n.unary(op, x, f, attrs...)) }}
	}
	ops := map[string]func(a, b float64) float64{
		"Add": func(a, b float64) float64 { return a + b }, "Sub": func(a, b float64) float64 { return a - b },
		"Mul": func(a, b float64) float64 { return a * b }, "Div": func(a, b float64) float64 { return a / b },
	}
	second := func(name, op string, shape ...int) testCase {
		return testCase{name: op + " " + name, build: func(n *net, x val) []val {
			return []val{n.binary(op, x, n.weight(1, 2, shape...), ops[op]), n.binary(op, n.weight(1, 2, shape...), n.unary("Exp", x, math.Exp), ops[op])}
		}}
	}
	return []testCase{
		unary("Relu", leaky(0)), unary("LeakyRelu", leaky(0.1), onnxtest.FloatAttr("alpha", 0.1)),
		unary("Sigmoid", func(v float64) float64 { return 1 / (1 + math.Exp(-v)) }),
		unary("Tanh", math.Tanh), unary("Exp", math.Exp), unary("Abs", math.Abs), unary("Ceil", math.Ceil),
		unary("Floor", math.Floor), unary("Neg", func(v float64) float64 { return -v }),
		{name: "Log and Sqrt", build: func(n *net, x val) []val {
			e := n.unary("Exp", x, math.Exp)
			return []val{n.unary("Log", e, math.Log), n.unary("Sqrt", e, math.Sqrt)}
		}},
		{name: "Clip", build: func(n *net, x val) []val {
			lo, hi := n.floats(val{shape: []int{}, data: []float64{-0.25}}), n.floats(val{shape: []int{}, data: []float64{0.5}})
			clip := func(lo, hi float64) val {
				return tabulate(x.shape, func(i []int) float64 { return min(max(x.at(i...), lo), hi) })
			}
			return []val{n.node("Clip", clip(-0.25, 0.5), nil, x.name, lo.name, hi.name), n.node("Clip", clip(-9, 0.5), nil, x.name, "", hi.name)}
		}},
		second("of one shape", "Sub", 1, 4, 7, 6), second("by a number", "Mul"), second("by a vector of one", "Add", 1),
		second("by channels", "Mul", 4, 1, 1), second("along rows", "Add", 6), second("along columns", "Div", 7, 1),
		second("in the middle", "Sub", 1, 1, 7, 1), second("by channels and columns", "Div", 4, 1, 6), second("of a higher rank", "Add", 2, 1, 1, 1, 6),
		{name: "BatchNormalization", build: func(n *net, x val) []val {
			return one(n.batchNorm(x, n.weight(0.5, 2, 4), n.weight(-1, 1, 4), n.weight(-1, 1, 4), n.weight(0.1, 2, 4), 1e-3))
		}},
		{name: "Softmax", build: func(n *net, x val) []val {
			return []val{n.softmax(x, 3, 3), n.softmax(x, 1, 1, onnxtest.IntAttr("axis", 1)), n.softmax(x, 2, 2, onnxtest.IntAttr("axis", -2))}
		}},
		{name: "Softmax before operator set 13", opset: 11, build: func(n *net, x val) []val {
			return []val{n.softmax(x, 1, 3), n.softmax(x, 2, 3, onnxtest.IntAttr("axis", 2))}
		}},
		{name: "one value read twice", build: func(n *net, x val) []val {
			return []val{n.binary("Mul", x, x, func(a, b float64) float64 { return a * b }), n.concat(1, 1, x, x)}
		}},
		{name: "one value read by several", build: func(n *net, x val) []val { // none may change it, nor be taken for another
			a := n.unary("LeakyRelu", x, leaky(0.1), onnxtest.FloatAttr("alpha", 0.1))
			b := n.unary("LeakyRelu", x, leaky(0.5), onnxtest.FloatAttr("alpha", 0.5))
			s, t, m, v := n.weight(0.5, 2, 4), n.weight(-1, 1, 4), n.weight(-1, 1, 4), n.weight(0.1, 2, 4)
			return []val{a, b, n.batchNorm(x, s, t, m, v, 1e-3), n.batchNorm(x, s, t, m, v, 0.5), n.add(x, a), n.relu(x)}
		}},
	}
}

func shapeCases() []testCase {
	ints := onnxtest.IntsAttr
	return []testCase{
		{name: "Concat", build: func(n *net, x val) []val {
			w := n.weight(-1, 1, x.shape[0], 2, 7, 6)
			return []val{n.concat(1, 1, x, w, n.relu(x)), n.concat(3, -1, x, x), n.concat(2, 2, n.relu(x), x)}
		}},
		{name: "Reshape", build: func(n *net, x val) []val {
			return []val{
				n.reshaped("Reshape", x, []int{x.shape[0], 4, 42}, nil, n.ints(0, 4, -1)),
				n.reshaped("Reshape", x, []int{x.shape[0], 4, 42}, nil, n.ints(0, 0, 42)),
				n.reshaped("Reshape", n.relu(x), []int{x.shape[0] * 168}, nil, n.ints(-1)),
			}
		}},
		{name: "Flatten", build: func(n *net, x val) []val {
			b := x.shape[0]
			return []val{
				n.reshaped("Flatten", x, []int{b, 168}, nil),
				n.reshaped("Flatten", x, []int{b * 4, 42}, []onnxtest.Attr{onnxtest.IntAttr("axis", 2)}),
				n.reshaped("Flatten", x, []int{b * 28, 6}, []onnxtest.Attr{onnxtest.IntAttr("axis", -1)}),
			}
		}},
		{name: "Squeeze and Unsqueeze", build: func(n *net, x val) []val {
			g := globalAverage(n, x)
			flat := n.reshaped("Squeeze", g, []int{x.shape[0], 4}, nil, n.ints(2, -1))
			return []val{flat, n.reshaped("Unsqueeze", flat, []int{1, x.shape[0], 4, 1}, nil, n.ints(0, -1))}
		}},
		{name: "Squeeze and Unsqueeze before operator set 13", opset: 11, build: func(n *net, x val) []val {
			g := globalAverage(n, x)
			flat := n.reshaped("Squeeze", g, []int{x.shape[0], 4}, []onnxtest.Attr{ints("axes", 2, 3)})
			return []val{flat, n.reshaped("Unsqueeze", flat, []int{x.shape[0], 1, 4, 1}, []onnxtest.Attr{ints("axes", 1, 3)})}
		}},
		{name: "Transpose", build: func(n *net, x val) []val {
			return []val{
				n.node("Transpose", transpose(x, 0, 2, 3, 1), []onnxtest.Attr{ints("perm", 0, 2, 3, 1)}, x.name),
				n.node("Transpose", transpose(x, 3, 2, 1, 0), nil, x.name),
			}
		}},
		{name: "Identity and Dropout", build: func(n *net, x val) []val {
			return []val{n.reshaped("Identity", x, x.shape, nil), n.reshaped("Dropout", n.relu(x), x.shape, nil)}
		}},
		{name: "Gemm", build: func(n *net, x val) []val {
			flat := n.reshaped("Flatten", x, []int{x.shape[0], 168}, nil)
			w, wt := n.weight(-1, 1, 168, 5), n.weight(-1, 1, 5, 168)
			return []val{
				n.gemm(flat, w, n.weight(-1, 1, 5), 1, 1, false, false),
				n.gemm(flat, wt, n.weight(-1, 1, 1, 5), 0.5, 2, false, true),
				n.gemm(flat, wt, val{}, 1, 1, false, true),
				n.gemm(n.node("Transpose", transpose(flat, 1, 0), nil, flat.name), w, n.weight(-1, 1, 1), 1, 1, true, false),
				n.gemm(flat, n.weight(-1, 1, 500, 168), n.weight(-1, 1, x.shape[0], 500), 1, 1, false, true),
			}
		}},
		{name: "MatMul", build: func(n *net, x val) []val {
			return []val{
				n.matMul(x, n.weight(-1, 1, 6, 5)),
				n.matMul(x, n.node("Transpose", transpose(x, 0, 1, 3, 2), []onnxtest.Attr{ints("perm", 0, 1, 3, 2)}, x.name)),
			}
		}},
		{name: "Constant", build: func(n *net, x val) []val {
			shape := n.name()
			n.graph.Nodes = append(n.graph.Nodes, onnxtest.Node{Op: "Constant", Outputs: []string{shape}, Attrs: []onnxtest.Attr{ints("value_ints", 0, -1)}})
			half := n.node("Constant", val{data: []float64{0.5}}, []onnxtest.Attr{onnxtest.FloatAttr("value_float", 0.5)})
			flat := n.reshaped("Reshape", x, []int{x.shape[0], 168}, nil, shape)
			return one(n.binary("Mul", flat, half, func(a, b float64) float64 { return a * b }))
		}},
		{name: "weights computed from constants", build: func(n *net, x val) []val {
			w := n.reshaped("Reshape", n.weight(-1, 1, 6, 5, 1), []int{6, 5}, nil, n.ints(6, 5))
			return one(n.matMul(x, n.relu(w)))
		}},
	}
}

// networkCases are whole networks: a classifier as it is trained for small
// machines, and a detector with a head of two scales.
func networkCases() []testCase {
	block := func(n *net, x val, outs, stride int) val {
		c := n.conv(x, n.weight(-0.4, 0.4, outs, x.shape[1], 3, 3), val{}, 1, win(3, stride, 1))
		return n.relu(n.batchNorm(c, n.weight(0.5, 2, outs), n.weight(-1, 1, outs), n.weight(-1, 1, outs), n.weight(0.5, 2, outs), 1e-5))
	}
	return []testCase{
		{name: "classifier", picture: [3]int{3, 24, 20}, build: func(n *net, x val) []val {
			a := n.pool("MaxPool", block(n, x, 8, 1), win(2, 2, 0), false)
			b := n.add(a, block(n, a, 8, 1)) // a residual
			g := globalAverage(n, block(n, b, 12, 2))
			flat := n.reshaped("Flatten", g, []int{x.shape[0], 12}, nil)
			return one(n.softmax(n.gemm(flat, n.weight(-1, 1, 7, 12), n.weight(-1, 1, 7), 1, 1, false, true), 1, 1))
		}},
		{name: "detector", picture: [3]int{3, 32, 24}, build: func(n *net, x val) []val {
			rows := func(f val) val { // [b,6,h,w] to [b,h·w,6]
				h := n.conv(f, n.weight(-1, 1, 6, f.shape[1], 1, 1), n.weight(-1, 1, 6), 1, win(1, 1, 0))
				h = n.unary("Sigmoid", h, func(v float64) float64 { return 1 / (1 + math.Exp(-v)) })
				flat := n.reshaped("Reshape", h, []int{x.shape[0], 6, f.shape[2] * f.shape[3]}, nil, n.ints(0, 6, -1))
				return n.node("Transpose", transpose(flat, 0, 2, 1), []onnxtest.Attr{onnxtest.IntsAttr("perm", 0, 2, 1)}, flat.name)
			}
			a := block(n, block(n, x, 6, 2), 8, 2)
			b := block(n, a, 10, 2)
			return []val{n.concat(1, 1, rows(a), rows(b)), rows(b)}
		}},
	}
}
