package picture

import "math"

// halve averages 2×2 pixels.
func halve(dst, src View) {
	n := dst.Channels
	for y := range dst.Height {
		a, b, to := src.row(2*y), src.row(2*y+1), dst.row(y)
		for x := range dst.Width {
			for c := range n {
				i := 2*x*n + c
				to[x*n+c] = byte((int(a[i]) + int(a[i+n]) + int(b[i]) + int(b[i+n]) + 2) >> 2)
			}
		}
	}
}

// average averages kx×ky pixels.
func average(dst, src View, kx, ky int) {
	n := dst.Channels
	scale := 1 / float32(kx*ky)
	sums := make([]int32, dst.Width*n)
	for y := range dst.Height {
		clear(sums)
		for j := range ky {
			from := src.row(y*ky + j)
			for x := range dst.Width {
				for i := range kx {
					for c := range n {
						sums[x*n+c] += int32(from[(x*kx+i)*n+c])
					}
				}
			}
		}
		to := dst.row(y)
		for i, s := range sums {
			to[i] = round8(float32(s) * scale)
		}
	}
}

// share is the part that a source pixel has in a destination pixel.
type share struct {
	to, from int
	weight   float32
}

// shares divides from pixels among n.
func shares(n, from int, scale float64) []share {
	var all []share
	for d := range n {
		begin := float64(d) * scale
		end := begin + scale
		cell := min(scale, float64(from)-begin)
		s1, s2 := int(math.Ceil(begin)), int(math.Floor(end))
		s2 = min(s2, from-1)
		s1 = min(s1, s2)
		if float64(s1)-begin > 1e-3 {
			all = append(all, share{d, s1 - 1, float32((float64(s1) - begin) / cell)})
		}
		for s := s1; s < s2; s++ {
			all = append(all, share{d, s, float32(1 / cell)})
		}
		if end-float64(s2) > 1e-3 {
			all = append(all, share{d, s2, float32(min(end-float64(s2), 1, cell) / cell)})
		}
	}
	return all
}

// area averages cells whose borders lie within pixels.
func area(dst, src View, sx, sy float64) {
	n := dst.Channels
	across, down := shares(dst.Width, src.Width, sx), shares(dst.Height, src.Height, sy)
	line, sum := make([]float32, dst.Width*n), make([]float32, dst.Width*n)
	last := -1
	flush := func() {
		if last < 0 {
			return
		}
		to := dst.row(last)
		for i, v := range sum {
			to[i] = round8(v)
		}
	}
	for _, v := range down {
		clear(line)
		from := src.row(v.from)
		for _, h := range across {
			for c := range n {
				line[h.to*n+c] += float32(float32(from[h.from*n+c]) * h.weight)
			}
		}
		if v.to != last {
			flush()
			last = v.to
			clear(sum)
		}
		for i, x := range line {
			sum[i] += float32(v.weight * x)
		}
	}
	flush()
}
