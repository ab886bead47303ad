package clip

import (
	"bytes"
	"testing"
)

// stream is a small FLV stream: parameter sets, a key frame and another one.
func stream() []byte {
	tag := func(packet byte, payload ...byte) []byte {
		body := append([]byte{0x17, packet, 0, 0, 0}, payload...)
		head := []byte{flvVideo, 0, 0, byte(len(body)), 0, 0, 0, 0, 0, 0, 0}
		return append(append(head, body...), 0, 0, 0, byte(len(body)+flvTagHeader))
	}
	b := []byte{'F', 'L', 'V', 1, 1, 0, 0, 0, 9, 0, 0, 0, 0}
	b = append(b, tag(avcHeader, 1, 100, 0, 31, 0xff, 0xe1, 0, 2, 0x67, 1, 1, 0, 2, 0x68, 2)...)
	b = append(b, tag(avcUnit, 0, 0, 0, 2, 0x65, 3)...)
	return append(b, tag(avcUnit, 0, 0, 0, 2, 0x41, 4)...)
}

func TestUnitReader(t *testing.T) {
	r := newUnitReader(bytes.NewReader(stream()))
	for i, want := range []Unit{{{0x67, 1}, {0x68, 2}, {0x65, 3}}, {{0x41, 4}}} {
		got, err := r.next()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(bytes.Join(got, nil), bytes.Join(want, nil)) || len(got) != len(want) {
			t.Errorf("unit %d is %v, want %v", i, got, want)
		}
	}
	if _, err := r.next(); err == nil {
		t.Error("no error at the end")
	}
}

func FuzzUnitReader(f *testing.F) {
	f.Add(stream())
	f.Add(stream()[:40])
	f.Fuzz(func(t *testing.T, b []byte) {
		r := newUnitReader(bytes.NewReader(b))
		for n := 0; ; n++ {
			if _, err := r.next(); err != nil {
				return
			}
			if n > len(b) {
				t.Fatal("more units than bytes")
			}
		}
	})
}
