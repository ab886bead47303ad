package decode

import "fmt"

// level is one feature map of a detector: cols × rows cells of stride pixels.
type level struct{ stride, cols, rows int }

func (l level) cells() int { return l.cols * l.rows }

// levels lays the feature maps of these strides over the model's input, cells
// at the edge included. Nil strides mean 8, 16, 32.
func (s spec) levels() []level {
	strides := s.out.Strides
	if len(strides) == 0 {
		strides = []int{8, 16, 32}
	}
	return levelsFor(s.in.Width, s.in.Height, strides)
}

func levelsFor(width, height int, strides []int) []level {
	ls := make([]level, len(strides))
	for i, n := range strides {
		ls[i] = level{stride: n, cols: (width + n - 1) / n, rows: (height + n - 1) / n}
	}
	return ls
}

func cellCount(ls []level) int {
	n := 0
	for _, l := range ls {
		n += l.cells()
	}
	return n
}

// needCells checks the box axis of an output against the grid, and fills it in
// where the file leaves it open.
func needCells(axis *int, ls []level, in spec) error {
	n := cellCount(ls)
	if *axis < 1 {
		*axis = n
	}
	if *axis != n {
		strides := make([]int, len(ls))
		for i, l := range ls {
			strides[i] = l.stride
		}
		return fmt.Errorf("a %d×%d input with strides %v has %d cells, the output has %d boxes",
			in.in.Width, in.in.Height, strides, n, *axis)
	}
	return nil
}
