package preprocess

import "slices"

// looks is what a small grey copy shows.
type looks struct {
	bright   float64 // grey level that one spot in a hundred exceeds
	contrast float64 // greatest difference over coarseStep places, but for outliers
	sharp    float64 // 0..1, see sharpness
}

const (
	// cell is the side of the spots' squares that are averaged for contrast, so
	// that noise does not pass for content.
	cell = 4
	// reach is how many spots apart an edge begins and ends.
	reach = 8
	// coarseReach is the same distance in cells.
	coarseReach = reach / cell
	// faint is the rise in grey levels below which an edge is not looked at: soft
	// shades of a plain scene say nothing about the lens.
	faint = 20
	// margin is the share, one in so many, of the height that is left out above
	// and below: there, cameras burn in the time, which stays bright and sharp
	// whatever the lens sees.
	margin = 10
)

// look measures gray, w spots wide, without its margins. A picture too small
// to have structure is given the benefit of the doubt.
func (f *Fitness) look(gray []byte, w int) looks {
	h := len(gray) / w
	gray = gray[h/margin*w : (h-h/margin)*w]
	h = len(gray) / w
	v := looks{contrast: 255, sharp: 1}
	var levels [256]int
	for _, p := range gray {
		levels[p]++
	}
	v.bright = float64(top(&levels, len(gray)/100))
	if f.cfg.Covered > 0 && w/cell > 2*coarseReach && h/cell > 2*coarseReach {
		v.contrast = f.contrast(gray, w, h)
	}
	if f.cfg.Blurred > 0 && w > 4*reach && h > 4*reach {
		if s := max(sharpness(gray, w, h, 1, w), sharpness(gray, h, w, w, 1)); s >= 0 {
			v.sharp = s
		}
	}
	return v
}

// top is the level that at most n of the counted values exceed.
func top(levels *[256]int, n int) int {
	for l := 255; l > 0; l-- {
		n -= levels[l]
		if n < 0 {
			return l
		}
	}
	return 0
}

// contrast is the difference between the means of squares coarseReach apart
// that one pair in a hundred exceeds, along rows or columns.
func (f *Fitness) contrast(gray []byte, w, h int) float64 {
	cw, ch := w/cell, h/cell
	f.coarse = slices.Grow(f.coarse[:0], cw*ch)[:cw*ch]
	for y := range ch {
		for x := range cw {
			sum := cell * cell / 2
			for dy := range cell {
				for _, p := range gray[(y*cell+dy)*w+x*cell:][:cell] {
					sum += int(p)
				}
			}
			f.coarse[y*cw+x] = byte(sum / (cell * cell))
		}
	}
	var diffs [256]int
	n := 0
	for y := range ch {
		for x := range cw {
			p := int(f.coarse[y*cw+x])
			if x+coarseReach < cw {
				diffs[abs(int(f.coarse[y*cw+x+coarseReach])-p)]++
				n++
			}
			if y+coarseReach < ch {
				diffs[abs(int(f.coarse[(y+coarseReach)*cw+x])-p)]++
				n++
			}
		}
	}
	return float64(top(&diffs, n/100))
}

// sharpness looks at the strongest edges along one axis (lines of length n,
// step bytes between spots and line bytes between lines) and returns the share
// of an edge's rise over reach spots that its steepest pair of neighbours makes,
// for the middle one of these edges: near 1 for a sharp picture, 1/reach for
// ramps. It is a form of measuring the width of edges (Marziliano et al., "A
// no-reference perceptual blur metric", ICIP 2002), which unlike the variance of
// the Laplacian depends neither on contrast nor on how much there is to see. It
// is -1 where too few edges are strong enough to tell.
func sharpness(gray []byte, n, lines, step, line int) float64 {
	var rises [256]int
	for l := range lines {
		row := gray[l*line:]
		for i := 0; i+reach < n; i++ {
			rises[abs(int(row[(i+reach)*step])-int(row[i*step]))]++
		}
	}
	strong := top(&rises, (n-reach)*lines/200)
	if strong < faint {
		return -1
	}
	var shares [101]int
	count := 0
	for l := range lines {
		row := gray[l*line:]
		for i := 0; i+reach < n; i++ {
			rise := abs(int(row[(i+reach)*step]) - int(row[i*step]))
			if rise < strong {
				continue
			}
			steepest := 0
			for j := i; j < i+reach; j++ {
				steepest = max(steepest, abs(int(row[(j+1)*step])-int(row[j*step])))
			}
			shares[min(100*steepest/rise, 100)]++
			count++
		}
	}
	half := count / 2
	for s, c := range shares {
		half -= c
		if half < 0 {
			return float64(s) / 100
		}
	}
	return 1
}

func abs(x int) int {
	if x < 0 {
		return -x
	}
	return x
}
