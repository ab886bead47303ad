package picture

import (
	"bytes"
	"encoding/binary"
)

// jpegOrientation is the EXIF orientation of a JPEG, 1 (upright) to 8; 1 where
// it says none.
func jpegOrientation(file []byte) int {
	for at := 2; at+4 <= len(file) && file[at] == 0xff; {
		marker, size := file[at+1], int(binary.BigEndian.Uint16(file[at+2:]))
		if marker == 0xda || size < 2 || at+2+size > len(file) { // the picture itself, or damage
			break
		}
		if exif, ok := bytes.CutPrefix(file[at+4:at+2+size], []byte("Exif\x00\x00")); ok && marker == 0xe1 {
			return orientation(exif)
		}
		at += 2 + size
	}
	return 1
}

// pngOrientation is that of a PNG.
func pngOrientation(file []byte) int {
	const signature, head, sum = 8, 8, 4
	for at := signature; at+head <= len(file); {
		size := binary.BigEndian.Uint32(file[at:])
		if int64(at)+head+int64(size)+sum > int64(len(file)) {
			break
		}
		if string(file[at+4:at+head]) == "eXIf" {
			return orientation(file[at+head : at+head+int(size)])
		}
		at += head + int(size) + sum
	}
	return 1
}

// orientation reads tag 0x112 of the first directory of a TIFF structure.
func orientation(tiff []byte) int {
	if len(tiff) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch string(tiff[:4]) {
	case "II*\x00":
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 1
	}
	at := int64(order.Uint32(tiff[4:]))
	if at+2 > int64(len(tiff)) {
		return 1
	}
	entries := tiff[at+2:]
	for range order.Uint16(tiff[at:]) {
		const size, tag = 12, 0x112
		if len(entries) < size {
			break
		}
		if order.Uint16(entries) == tag {
			if v := int(order.Uint16(entries[8:])); v >= 1 && v <= 8 {
				return v
			}
			break
		}
		entries = entries[size:]
	}
	return 1
}

// upright turns and mirrors a picture as its orientation says.
func upright(v View, orientation int) View {
	if orientation == 1 {
		return v
	}
	w, h := v.Width, v.Height
	if orientation >= 5 {
		w, h = h, w
	}
	out := newBGR(w, h)
	for y := range h {
		row := out.row(y)
		for x := range w {
			sx, sy := x, y
			switch orientation {
			case 2:
				sx = w - 1 - x
			case 3:
				sx, sy = w-1-x, h-1-y
			case 4:
				sy = h - 1 - y
			case 5:
				sx, sy = y, x
			case 6:
				sx, sy = y, w-1-x
			case 7:
				sx, sy = h-1-y, w-1-x
			case 8:
				sx, sy = h-1-y, x
			}
			i := sy*v.Stride + 3*sx
			copy(row[3*x:3*x+3], v.Data[i:i+3])
		}
	}
	return out
}
