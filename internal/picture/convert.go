package picture

import "fmt"

// Convert changes the colours of src into dst, a picture of the same size in
// other memory.
func Convert(dst, src View, c Conversion) error {
	if err := CheckConvert(dst, src, c); err != nil {
		return fmt.Errorf("convert colour: %w", err)
	}
	for y := range src.Height {
		from, to := src.row(y), dst.row(y)
		switch c {
		case BGRToGray:
			for x := range to {
				to[x] = gray(from[3*x], from[3*x+1], from[3*x+2])
			}
		case GrayToBGR:
			for x, v := range from {
				to[3*x], to[3*x+1], to[3*x+2] = v, v, v
			}
		default:
			for i := 0; i < len(from); i += 3 {
				to[i], to[i+1], to[i+2] = from[i+2], from[i+1], from[i]
			}
		}
	}
	return nil
}

// gray is the luma of ITU-R BT.601 in 15 bits.
func gray(b, g, r byte) byte {
	return byte((int(b)*3735 + int(g)*19235 + int(r)*9798 + 1<<14) >> 15)
}
