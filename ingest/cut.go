package ingest

import (
	"encoding/binary"
	"io"
	"os"
)

// endsEarly reports whether an MP4 or MOV file (ISO/IEC 14496-12) stops before
// the end of its last box: a copy that broke off. Of any other file, and where
// it cannot tell, it says no.
func endsEarly(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false
	}
	return boxesEndEarly(f, info.Size())
}

func boxesEndEarly(r io.ReaderAt, size int64) bool {
	const maxBoxes = 1 << 16 // a fragmented file has two for each second
	at := int64(0)
	for range maxBoxes {
		if at == size {
			return false
		}
		var head [16]byte
		n, _ := r.ReadAt(head[:], at)
		if n < 8 {
			return true
		}
		if at == 0 && string(head[4:8]) != "ftyp" {
			return false
		}
		box := int64(binary.BigEndian.Uint32(head[:4]))
		switch {
		case box == 0: // to the end of the file
			return false
		case box == 1: // a large one
			if n < 16 {
				return true
			}
			box = int64(binary.BigEndian.Uint64(head[8:]))
		}
		if box < 8 {
			return false // no boxes at all
		}
		if box > size-at {
			return true
		}
		at += box
	}
	return false
}
