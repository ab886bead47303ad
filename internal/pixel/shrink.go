package pixel

// Shrinker makes small grey copies of large pictures for cheap looks at them.
// Each value is the mean of four samples spread over the part of the picture
// it stands for, so that its cost depends on the copy's size, not on the
// picture's; brightness is (B+2G+R)/4. Not safe for concurrent use.
type Shrinker struct {
	// MaxSide is the longer side of the copies; pictures smaller than that
	// keep their size.
	MaxSide int

	// Width and Height are those of the last copy.
	Width, Height int

	srcW, srcH, stride, channels int

	gray []byte
	cols []int // two byte offsets in a row for each column of the copy
	rows []int // two byte offsets of rows for each row of the copy
}

// Shrink returns the grey copy of a w×h picture of interleaved channels (1 or
// 3), row y of which starts at data[y*stride]. The picture must have at least
// one pixel. The copy is valid until the next call. fresh says that the copy
// has another shape than the one before, or is the first.
func (s *Shrinker) Shrink(data []byte, stride, w, h, channels int) (gray []byte, fresh bool) {
	if w != s.srcW || h != s.srcH || stride != s.stride || channels != s.channels {
		s.prepare(stride, w, h, channels)
		fresh = true
	}
	for y := range s.Height {
		a, b := data[s.rows[2*y]:], data[s.rows[2*y+1]:]
		out := s.gray[y*s.Width:][:s.Width]
		if channels == 1 {
			s.row1(out, a, b)
		} else {
			s.row3(out, a, b)
		}
	}
	return s.gray, fresh
}

func (s *Shrinker) prepare(stride, w, h, channels int) {
	s.srcW, s.srcH, s.stride, s.channels = w, h, stride, channels
	long := max(w, h)
	side := min(s.MaxSide, long)
	s.Width, s.Height = max(w*side/long, 1), max(h*side/long, 1)
	s.gray = make([]byte, s.Width*s.Height)
	s.cols = samples(s.Width, w, channels)
	s.rows = samples(s.Height, h, stride)
}

// samples are the places, a quarter and three quarters into each of n parts of
// a side of size pixels, times step.
func samples(n, size, step int) []int {
	at := make([]int, 0, 2*n)
	for i := range n {
		at = append(at, (4*i+1)*size/(4*n)*step, (4*i+3)*size/(4*n)*step)
	}
	return at
}

func (s *Shrinker) row3(out, a, b []byte) {
	cols := s.cols
	for x := range out {
		if len(cols) < 2 {
			return
		}
		l, r := cols[0], cols[1]
		cols = cols[2:]
		p, q, t, u := (*[3]byte)(a[l:]), (*[3]byte)(a[r:]), (*[3]byte)(b[l:]), (*[3]byte)(b[r:])
		green := int(p[1]) + int(q[1]) + int(t[1]) + int(u[1])
		blue := int(p[0]) + int(q[0]) + int(t[0]) + int(u[0])
		red := int(p[2]) + int(q[2]) + int(t[2]) + int(u[2])
		out[x] = byte((blue + 2*green + red + 8) >> 4)
	}
}

func (s *Shrinker) row1(out, a, b []byte) {
	cols := s.cols
	for x := range out {
		if len(cols) < 2 {
			return
		}
		l, r := cols[0], cols[1]
		cols = cols[2:]
		out[x] = byte((int(a[l]) + int(a[r]) + int(b[l]) + int(b[r]) + 2) >> 2)
	}
}
