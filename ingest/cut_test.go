package ingest

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func box(kind string, content int) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+content))
	return append(append(b, kind...), make([]byte, content)...)
}

func TestBoxesEndEarly(t *testing.T) {
	large := append([]byte("\x00\x00\x00\x01mdat\x00\x00\x00\x00\x00\x00\x00\x20"), make([]byte, 16)...)
	for name, c := range map[string]struct {
		file []byte
		want bool
	}{
		"whole":              {bytes.Join([][]byte{box("ftyp", 16), box("moov", 99), box("mdat", 1000)}, nil), false},
		"cut in the media":   {bytes.Join([][]byte{box("ftyp", 16), box("moov", 99), box("mdat", 1000)[:999]}, nil), true},
		"cut in a head":      {bytes.Join([][]byte{box("ftyp", 16), box("mdat", 1000), []byte("\x00\x00\x00")}, nil), true},
		"large box":          {append(box("ftyp", 16), large...), false},
		"large box, cut":     {append(box("ftyp", 16), large[:20]...), true},
		"large box, no size": {append(box("ftyp", 16), large[:10]...), true},
		"up to the end":      {append(box("ftyp", 16), "\x00\x00\x00\x00mdat123"...), false},
		"junk behind":        {append(box("ftyp", 16), "\x00\x00\x00\x03junkjunk"...), false},
		"negative size":      {append(box("ftyp", 16), "\x00\x00\x00\x01mdat\xff\xff\xff\xff\xff\xff\xff\xff"...), false},
		"no MP4":             {[]byte("RIFF\x00\x00\x00\x00AVI LIST"), false},
		"empty":              {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := boxesEndEarly(bytes.NewReader(c.file), int64(len(c.file))); got != c.want {
				t.Errorf("it says %v", got)
			}
		})
	}
}
