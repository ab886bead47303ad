package eval

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	_ "image/gif"  // register the format for sizes
	_ "image/jpeg" // register the format for sizes
	_ "image/png"  // register the format for sizes
	"io"
	"os"
	"path/filepath"
	"strings"

	_ "golang.org/x/image/bmp"  // register the format for sizes
	_ "golang.org/x/image/tiff" // register the format for sizes
	_ "golang.org/x/image/webp" // register the format for sizes
)

// isPicture reports whether a file's name says that it is a picture.
func isPicture(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp":
		return true
	}
	return false
}

// headerBytes is how much of a picture is read for its size: JPEG files can
// carry a thumbnail and a colour profile before the frame header.
const headerBytes = 1 << 20

// pictureSize reads a picture's size from its header, as it is after EXIF
// rotation: labels and captured frames are in that orientation.
func pictureSize(file string) (width, height int, err error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, headerBytes))
	if err != nil {
		return 0, 0, fmt.Errorf("read picture %s: %w", file, err)
	}
	cfg, format, err := image.DecodeConfig(io.MultiReader(bytes.NewReader(head), f))
	if err != nil {
		return 0, 0, fmt.Errorf("read the size of picture %s: %w", file, err)
	}
	if format == "jpeg" && exifOrientation(head) >= 5 {
		return cfg.Height, cfg.Width, nil // 5 to 8 are quarter turns
	}
	return cfg.Width, cfg.Height, nil
}

// exifOrientation returns the orientation (1 to 8) that the EXIF header of a
// JPEG file gives, or 1. See "Exif Version 2.3", tag 0x0112.
func exifOrientation(jpeg []byte) int {
	const upright = 1
	if len(jpeg) < 2 || jpeg[0] != 0xff || jpeg[1] != 0xd8 {
		return upright
	}
	for rest := jpeg[2:]; len(rest) >= 4 && rest[0] == 0xff; {
		if rest[1] == 0xff { // a fill byte
			rest = rest[1:]
			continue
		}
		marker, size := rest[1], int(binary.BigEndian.Uint16(rest[2:]))
		if marker == 0xda || size < 2 || len(rest) < 2+size {
			break // the scan: no header follows
		}
		segment := rest[4 : 2+size]
		if tiff, ok := bytes.CutPrefix(segment, []byte("Exif\x00\x00")); ok && marker == 0xe1 {
			return tiffOrientation(tiff)
		}
		rest = rest[2+size:]
	}
	return upright
}

// tiffOrientation looks up the tag in the first directory of a TIFF block.
func tiffOrientation(b []byte) int {
	const upright, tag, entrySize = 1, 0x0112, 12
	if len(b) < 8 {
		return upright
	}
	var order binary.ByteOrder
	switch string(b[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return upright
	}
	start := uint64(order.Uint32(b[4:]))
	if start+2 > uint64(len(b)) {
		return upright
	}
	entries := b[start+2:]
	for range order.Uint16(b[start:]) {
		if len(entries) < entrySize {
			break
		}
		if order.Uint16(entries) == tag {
			if v := int(order.Uint16(entries[8:])); v >= 1 && v <= 8 {
				return v
			}
			return upright
		}
		entries = entries[entrySize:]
	}
	return upright
}
