package picture_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"image"
	"image/jpeg"
	"image/png"
	"os"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/internal/picture"
)

func view(w, h int, at func(x, y, c int) byte) picture.View {
	v := picture.View{Data: make([]byte, 3*w*h), Width: w, Height: h, Stride: 3 * w, Channels: 3}
	for i := range v.Data {
		v.Data[i] = at(i/3%w, i/3/w, i%3)
	}
	return v
}

// TestResizeGolden compares with what OpenCV answered; the test that writes it
// is in package cv, and compares more.
func TestResizeGolden(t *testing.T) {
	b, err := os.ReadFile("testdata/opencv.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []struct {
		From, To [2]int
		Interp   picture.Interp
		Data     []byte
	}
	if err := json.Unmarshal(b, &all); err != nil || len(all) < 16 {
		t.Fatalf("%d cases, %v", len(all), err)
	}
	for _, c := range all {
		src := view(c.From[0], c.From[1], func(x, y, ch int) byte { return byte(x*x*7 + y*y*13 + x*y*ch*5) })
		got := view(c.To[0], c.To[1], func(_, _, _ int) byte { return 0 })
		if err := picture.Resize(got, src, c.Interp); err != nil {
			t.Fatal(err)
		}
		allowed := 0
		if c.Interp == picture.Area || c.Interp == picture.Cubic {
			allowed = 1
		}
		for i, v := range c.Data {
			if d := int(v) - int(got.Data[i]); d > allowed || -d > allowed {
				t.Errorf("%v to %v, interpolation %d: byte %d is %d, OpenCV's %d", c.From, c.To, c.Interp, i, got.Data[i], v)
				break
			}
		}
	}
}

func encoded(t testing.TB) (jpg, pngFile []byte) {
	img := image.NewRGBA(image.Rect(0, 0, 32, 16))
	for i := range img.Pix {
		img.Pix[i] = 255
		if i/4%32 < 16 && i%4 < 3 {
			img.Pix[i] = 40 // dark on the left
		}
	}
	var j, p bytes.Buffer
	if err := errors.Join(jpeg.Encode(&j, img, nil), png.Encode(&p, img)); err != nil {
		t.Fatal(err)
	}
	return j.Bytes(), p.Bytes()
}

func exif(o byte) []byte {
	return append([]byte("MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00"), o, 0, 0, 0, 0, 0, 0)
}

// TestOrientation reads pictures of a camera that was held upright.
func TestOrientation(t *testing.T) {
	jpg, pngFile := encoded(t)
	seg := append([]byte("Exif\x00\x00"), exif(6)...)
	turnedJPEG := append(append([]byte{0xff, 0xd8, 0xff, 0xe1, 0, byte(len(seg) + 2)}, seg...), jpg[2:]...)
	chunk := append(append([]byte{0, 0, 0, byte(len(exif(6)))}, "eXIf"...), exif(6)...)
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk[4:]))
	const header = 8 + 25
	turnedPNG := append(append(bytes.Clone(pngFile[:header]), chunk...), pngFile[header:]...)
	for name, file := range map[string][]byte{"JPEG": turnedJPEG, "PNG": turnedPNG} {
		v, err := picture.Decode(file)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if v.Width != 16 || v.Height != 32 || v.Data[0] > 60 || v.Data[len(v.Data)-1] < 200 {
			t.Errorf("%s: %d×%d, %d at the top and %d at the bottom", name, v.Width, v.Height, v.Data[0], v.Data[len(v.Data)-1])
		}
	}
}

func TestNotPictures(t *testing.T) {
	jpg, pngFile := encoded(t)
	bomb := bytes.Clone(pngFile)
	binary.BigEndian.PutUint32(bomb[16:], 1<<17)
	binary.BigEndian.PutUint32(bomb[20:], 1<<17)
	binary.BigEndian.PutUint32(bomb[29:], crc32.ChecksumIEEE(bomb[12:29]))
	for name, c := range map[string]struct {
		file []byte
		says string
	}{
		"nothing": {nil, "it is empty"}, "text": {[]byte("not a picture\n"), "neither JPEG"},
		"cut JPEG": {jpg[:len(jpg)-20], ""}, "cut PNG": {pngFile[:len(pngFile)-20], ""}, "bomb": {bomb, "131072×131072"},
	} {
		if v, err := picture.Decode(c.file); !errors.Is(err, picture.ErrNotAPicture) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %d×%d, %v", name, v.Width, v.Height, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	good := view(4, 4, func(_, _, _ int) byte { return 0 })
	for _, bad := range []picture.View{{}, {Data: good.Data, Width: 5, Height: 4, Stride: 15, Channels: 3}, {Data: good.Data, Width: 4, Height: 4, Stride: 4, Channels: 1}} {
		if picture.Resize(good, bad, picture.Linear) == nil || picture.Resize(bad, good, picture.Area) == nil || picture.Convert(good, bad, picture.SwapRB) == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}

func FuzzDecode(f *testing.F) {
	jpg, pngFile := encoded(f)
	for _, seed := range [][]byte{jpg, pngFile, []byte("BM"), []byte("II*\x00"), []byte("RIFF\x00\x00\x00\x00WEBPVP8 ")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if v, err := picture.Decode(data); err == nil && len(v.Data) != 3*v.Width*v.Height {
			t.Errorf("%d bytes for %d×%d", len(v.Data), v.Width, v.Height)
		}
	})
}
