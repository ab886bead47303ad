package picture

import "image"

// fromYCbCr converts luma and chroma to BGR. Chroma that was stored at half
// the size is interpolated as the usual C libraries do it.
func fromYCbCr(out View, p *image.YCbCr, webp bool) {
	convert, bothLines := fullRange, jpegLines
	if webp {
		convert, bothLines = videoRange, webpLines
	}
	halfX, halfY := true, true
	switch p.SubsampleRatio {
	case image.YCbCrSubsampleRatio420:
	case image.YCbCrSubsampleRatio422:
		halfY = false
	case image.YCbCrSubsampleRatio440:
		halfX = false
	default: // not subsampled, or by four, which is repeated
		nearestChroma(out, p, convert)
		return
	}
	cw, ch := out.Width, out.Height
	if halfX {
		cw = (cw + 1) / 2
	}
	if halfY {
		ch = (ch + 1) / 2
	}
	if halfX && cw <= 2 && !webp { // too narrow for libjpeg to interpolate
		nearestChroma(out, p, convert)
		return
	}
	// A row of chroma at full width; sums of two rows come first.
	sum := [2][]int{make([]int, cw), make([]int, cw)}
	full := [2][]byte{make([]byte, 2*cw), make([]byte, 2*cw)}
	for y := range out.Height {
		near, far := y, y
		if halfY {
			near = y / 2
			if far = near + 1; y%2 == 0 {
				far = near - 1
			}
			far = min(max(far, 0), ch-1)
		}
		for i, plane := range [][]byte{p.Cb, p.Cr} {
			a, b := plane[near*p.CStride:], plane[far*p.CStride:]
			switch {
			case halfX && halfY:
				bothLines(full[i], a[:cw], b[:cw], sum[i])
			case halfX:
				acrossLine(full[i], a[:cw])
			default:
				bias := 1 + y%2
				for x := range cw {
					full[i][x] = byte((3*int(a[x]) + int(b[x]) + bias) >> 2)
				}
			}
		}
		luma, row := p.Y[y*p.YStride:], out.row(y)
		for x := range out.Width {
			row[3*x], row[3*x+1], row[3*x+2] = convert(int(luma[x]), int(full[0][x]), int(full[1][x]))
		}
	}
}

func nearestChroma(out View, p *image.YCbCr, convert func(y, cb, cr int) (b, g, r byte)) {
	for y := range out.Height {
		row := out.row(y)
		for x := range out.Width {
			i := p.COffset(p.Rect.Min.X+x, p.Rect.Min.Y+y)
			row[3*x], row[3*x+1], row[3*x+2] = convert(int(p.Y[y*p.YStride+x]), int(p.Cb[i]), int(p.Cr[i]))
		}
	}
}

// acrossLine doubles a line: libjpeg's h2v1_fancy_upsample.
func acrossLine(out, in []byte) {
	for i, v := range in {
		left, right := in[max(i-1, 0)], in[min(i+1, len(in)-1)]
		out[2*i] = byte((3*int(v) + int(left) + 1) >> 2)
		out[2*i+1] = byte((3*int(v) + int(right) + 2) >> 2)
	}
	out[0], out[2*len(in)-1] = in[0], in[len(in)-1]
}

// jpegLines doubles a line between itself and its neighbour: libjpeg's
// h2v2_fancy_upsample.
func jpegLines(out, near, far []byte, sum []int) {
	for i := range near {
		sum[i] = 3*int(near[i]) + int(far[i])
	}
	for i, v := range sum {
		left, right := sum[max(i-1, 0)], sum[min(i+1, len(sum)-1)]
		out[2*i] = byte((3*v + left + 8) >> 4)
		out[2*i+1] = byte((3*v + right + 7) >> 4)
	}
}

// webpLines does the same as libwebp's "fancy" upsampling, which weighs the four
// neighbours 9, 3, 3 and 1 in two steps of rounding down.
func webpLines(out, near, far []byte, _ []int) {
	at := func(a, b, c, d byte) byte { // the pixel's own, beside, above, across
		sum := int(a) + int(b) + int(c) + int(d) + 8
		return byte(((sum+2*(int(b)+int(c)))>>3 + int(a)) >> 1)
	}
	n := len(near)
	for i := range near {
		out[2*i] = at(near[i], near[max(i-1, 0)], far[i], far[max(i-1, 0)])
		out[2*i+1] = at(near[i], near[min(i+1, n-1)], far[i], far[min(i+1, n-1)])
	}
	out[0] = byte((3*int(near[0]) + int(far[0]) + 2) >> 2)
	out[2*n-1] = byte((3*int(near[n-1]) + int(far[n-1]) + 2) >> 2)
}

// fullRange is JFIF's conversion in libjpeg's 16 bits of fraction.
func fullRange(y, cb, cr int) (b, g, r byte) {
	cb, cr = cb-128, cr-128
	const half = 1 << 15
	return clamp(y + (116130*cb+half)>>16),
		clamp(y + (-22554*cb-46802*cr+half)>>16),
		clamp(y + (91881*cr+half)>>16)
}

// videoRange is that of WebP, whose luma is 16..235, in libwebp's fixed point.
func videoRange(y, cb, cr int) (b, g, r byte) {
	hi := func(v, k int) int { return v * k >> 8 }
	luma := hi(y, 19077)
	return clamp((luma + hi(cb, 33050) - 17685) >> 6),
		clamp((luma - hi(cb, 6419) - hi(cr, 13320) + 8708) >> 6),
		clamp((luma + hi(cr, 26149) - 14234) >> 6)
}

func clamp(v int) byte { return byte(min(max(v, 0), 255)) }
