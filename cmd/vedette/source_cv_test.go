//go:build cv

package main_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/testcam"
	"github.com/vedette-io/vedette/internal/testcam/clip"
	"github.com/vedette-io/vedette/internal/testkit"
)

// clipFrames is the length of the test video, at 25 frames a second.
const clipFrames = 50

// videoFile is a video in an MP4 file, made once.
var videoFile = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "vedette-clip-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "clip.mp4")
	err = clip.WriteFile(context.Background(), path, clip.Spec{Width: 320, Height: 180, FPS: 25, Frames: clipFrames, GOP: 10})
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

func video(t *testing.T) []byte {
	t.Helper()
	v, err := videoFile()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func picture(width, height int) image.Image {
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	for i := range m.Pix {
		m.Pix[i] = byte(i * 7)
	}
	m.Set(0, 0, color.White)
	return m
}

func jpegOf(t *testing.T, width, height int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, picture(width, height), nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pngOf(t *testing.T, width, height int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, picture(width, height)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// hugePNG claims a size that nothing behind its head bears out.
func hugePNG(t *testing.T, side uint32) []byte {
	t.Helper()
	b := pngOf(t, 2, 2)
	head := b[12:29] // IHDR and its 13 bytes
	binary.BigEndian.PutUint32(head[4:], side)
	binary.BigEndian.PutUint32(head[8:], side)
	binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(head))
	return b
}

// folder writes files and returns their folder.
func folder(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// detect looks with the smallest model, and with the engine that needs nothing.
func detect(t *testing.T, args ...string) outcome {
	t.Helper()
	return run(t, append([]string{"detect", "--model", "barcode-reader", "--engine", "gorgonia", "--format", "jsonl"}, args...)...)
}

func (o outcome) detections(t *testing.T) []vedette.Detection {
	t.Helper()
	var ds []vedette.Detection
	for line := range strings.Lines(o.stdout) {
		var d vedette.Detection
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		if err := d.Validate(); err != nil {
			t.Error(err)
		}
		ds = append(ds, d)
	}
	return ds
}

func TestBadSources(t *testing.T) {
	t.Parallel()
	v, jpg := video(t), jpegOf(t, 160, 120)
	scrambled := bytes.Clone(jpg)
	for i := len(jpg) / 2; i < len(jpg); i += 3 {
		scrambled[i] ^= 0x55
	}
	for name, c := range map[string]struct {
		source     string
		code, line int // exit code and lines of results
		says       string
	}{
		"no such file":        {"nosuch.mp4", 2, 0, "nosuch.mp4: no such file"},
		"no such picture":     {"nosuch.jpg", 2, 0, "nosuch.jpg: no such file"},
		"nothing matches":     {"nosuch*.jpg", 2, 0, "nothing is there"},
		"empty video":         {file(t, "a.mp4", nil), 2, 0, "a.mp4: the file is empty"},
		"text as video":       {file(t, "a.mp4", []byte("no video at all\n")), 2, 0, "a.mp4: not a video that can be decoded: it looks like a text file"},
		"head of a video":     {file(t, "a.mp4", v[:100]), 2, 0, "a.mp4: not a video that can be decoded"},
		"empty folder":        {t.TempDir(), 2, 0, "there are no pictures: nothing is there"},
		"folder of text":      {folder(t, map[string][]byte{"readme": nil}), 2, 0, "there are no pictures: 1 other files"},
		"no such device":      {"/dev/video99", 2, 0, "/dev/video99: no such capture device"},
		"unknown scheme":      {"foo://x", 2, 0, `unknown scheme "foo"`},
		"no pipeline":         {"gstreamer:", 2, 0, "appsink"},
		"unknown generator":   {"synthetic://nosuch", 2, 0, "synthetic://"},
		"empty name":          {"", 2, 0, "it is empty"},
		"empty picture":       {file(t, "a.jpg", nil), 1, 1, "a.jpg: the file is empty"},
		"text as picture":     {file(t, "a.jpg", []byte("no picture\n")), 1, 1, "a.jpg: not a picture"},
		"half a picture":      {file(t, "a.jpg", jpg[:len(jpg)/2]), 1, 1, "a.jpg: not a picture"},
		"claims 60000×60000":  {file(t, "a.png", hugePNG(t, 60000)), 1, 1, "a.png: not a picture"},
		"claims 30000×30000":  {file(t, "a.png", hugePNG(t, 30000)), 1, 1, "a.png: not a picture"},
		"one bad among good":  {folder(t, map[string][]byte{"a.jpg": jpg, "b.jpg": jpg[:200], "c.jpg": jpg}), 1, 3, "1 of 3 frames failed, the first was b.jpg"},
		"1×1":                 {file(t, "a.png", pngOf(t, 1, 1)), 0, 1, ""},
		"20000×20":            {file(t, "a.png", pngOf(t, 20000, 20)), 0, 1, ""},
		"20000×20, JPEG":      {file(t, "a.jpg", jpegOf(t, 20000, 20)), 0, 1, ""},
		"a name of 200 signs": {file(t, strings.Repeat("ä", 100)+".png", pngOf(t, 8, 8)), 0, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := detect(t, c.source)
			if n := len(o.detections(t)); n != c.line {
				t.Errorf("%d results, want %d", n, c.line)
			}
			if c.code != 0 {
				o.wantSentence(t, c.code, c.says)
			} else if o.code != 0 || o.stderr != "" {
				t.Errorf("exit code %d; stderr %s", o.code, o.stderr)
			}
		})
	}
	t.Run("scrambled picture", func(t *testing.T) {
		t.Parallel() // whether it can be decoded is the decoder's choice
		if o := detect(t, file(t, "a.jpg", scrambled)); len(o.detections(t)) != 1 {
			t.Errorf("%d results; stderr %s", len(o.detections(t)), o.stderr)
		}
	})
	t.Run("cut video", func(t *testing.T) {
		t.Parallel() // the index is at the end of this file, so that nothing is left
		detect(t, file(t, "a.mp4", v[:len(v)*2/3])).wantSentence(t, 2, "a.mp4: not a video that can be decoded")
	})
	t.Run("video that lacks its end", func(t *testing.T) {
		t.Parallel()
		whole, err := os.ReadFile(testkit.Data(t, "videos/car-detection.mp4"))
		if err != nil {
			t.Fatal(err)
		}
		o := detect(t, file(t, "a.mp4", whole[:len(whole)*99/100]))
		o.wantSentence(t, 1, "a.mp4: the video is damaged or was cut short: 370 of 377 frames")
		if n := len(o.detections(t)); n != 370 {
			t.Errorf("%d lines", n)
		}
	})
	t.Run("video that is damaged inside", func(t *testing.T) {
		t.Parallel()
		film, err := os.ReadFile(testkit.Data(t, "videos/car-detection.mp4"))
		if err != nil {
			t.Fatal(err)
		}
		clear(film[len(film)/2:][:100_000])
		path := file(t, "a.mp4", film)
		o := detect(t, path)
		// The only line on stderr looks like every other that is for a person.
		line := regexp.MustCompile(`^\d\d:\d\d:\d\d vedette: the video is damaged: camera a, source \S*a\.mp4, reason 3\d\d of 377 frames could be read\n$`)
		if n := len(o.detections(t)); o.code != 0 || n < 300 || n >= 377 || !line.MatchString(o.stderr) {
			t.Errorf("exit code %d, %d results; stderr %s", o.code, n, o.stderr)
		}
		lost := fmt.Sprintf("; %d frames of the source lost (source_gap)\n", 377-len(o.detections(t)))
		plant := file(t, "film.yaml", []byte("bus: {listen: '', store: ''}\nhttp: {listen: ''}\n"+
			"models: [{name: bars, file: barcode-reader, engine: gorgonia}]\ncameras: [{id: film, delivery: every, source: '"+path+"'}]\n"))
		if r := run(t, "run", "-c", plant); r.code != 0 || !strings.HasSuffix(r.stderr, lost) {
			t.Errorf("run: exit code %d, want … %q: %s", r.code, lost, r.stderr)
		}
	})
	t.Run("all at once", func(t *testing.T) {
		t.Parallel()
		o := detect(t, "nosuch.mp4", file(t, "a.mp4", nil), t.TempDir())
		if n := len(o.sentences()); o.code != 2 || n != 3 {
			t.Errorf("exit code %d, %d sentences: %s", o.code, n, o.stderr)
		}
	})
}

func TestBadFlags(t *testing.T) {
	t.Parallel()
	one := file(t, "a.png", pngOf(t, 8, 8))
	for _, c := range []struct{ args, says string }{
		{"--fps x", `--fps "x": want a number`},
		{"--fps -1", "--fps -1: want 0 or more"},
		{"--fps NaN", "fps: must be 0 to 1000"},
		{"--min-score 2", "--min-score 2: want 0 to 1"},
		{"--min-score NaN", "want 0 to 1"},
		{"--engine tensorflow", `--engine "tensorflow"`},
		{"--device npu", `"npu": allowed are auto, cpu`},
		{"--workers -1", "--workers -1"},
		{"--workers 100000", "--workers 100000"},
		{"--threads 0", "--threads 0"},
		{"--threads 100000", "--threads 100000"},
		{"--transport pigeon", `transport: must be tcp or udp (got "pigeon")`},
		{"--decode magic", `(got "magic")`},
		{"--label cell-oo1", `no label "cell-oo1"`},
		{"--save " + one, "--save " + one},
		{"--save /proc/nosuch", "--save /proc/nosuch"},
		{"--save-frames " + one, "--save-frames " + one},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			detect(t, append(strings.Fields(c.args), one)...).wantSentence(t, 2, c.says)
		})
	}
}

func TestBadCameras(t *testing.T) {
	t.Parallel()
	c, err := clip.Encode(t.Context(), clip.Spec{Width: 160, Height: 120, FPS: 25, Frames: 100, GOP: 10})
	if err != nil {
		t.Fatal(err)
	}
	cam, err := testcam.New(testcam.Options{Video: testcam.Video{Clip: c}, User: "viewer", Password: "s3cret"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cam.Close)
	hole, err := testcam.NewBlackHole()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hole.Close)
	for name, c := range map[string]struct{ source, says string }{
		"refused":         {"rtsp://viewer:s3cret@127.0.0.1:1/x", "connection refused"},
		"refused, HTTP":   {"http://viewer:s3cret@127.0.0.1:1/x", "connection refused"},
		"no such host":    {"rtsp://nosuch.invalid/x", "cannot be resolved"},
		"never answers":   {"rtsp://" + hole.Addr() + "/x", "does not answer"},
		"wrong password":  {cam.URLFor("viewer", "wr0ng"), "refused the user name or password"},
		"no password":     {cam.URLFor("", ""), "refused the user name or password"},
		"wrong path":      {cam.URL() + "nosuch", "no such stream"},
		"broken pipeline": {"gstreamer:nosuch ! appsink", "the pipeline cannot be started"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := detect(t, c.source)
			o.wantSentence(t, 1, c.says)
			if strings.Contains(o.stderr, "s3cret") || strings.Contains(o.stderr, "wr0ng") {
				t.Errorf("a password was shown: %s", o.stderr)
			}
		})
	}
}

// A port, a store or a disk that cannot be used.
func TestBadPlaces(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	taken := l.Addr().String()
	plant := func(t *testing.T, bus, http string) []string {
		return []string{"run", "-c", file(t, "plant.yaml", []byte("bus: "+bus+"\nhttp: {listen: '"+http+"'}\n"+
			"models: [{name: bars, file: barcode-reader, engine: gorgonia}]\ncameras: [{id: a, source: 'synthetic://bars?frames=5'}]\n"))}
	}
	for name, c := range map[string]struct{ bus, http, says string }{
		"bus.listen taken":  {"{listen: '" + taken + "', store: " + t.TempDir() + "}", "", "bus.listen"},
		"http.listen taken": {"{listen: '', store: " + t.TempDir() + "}", taken, "http.listen: " + taken + " is in use"},
		"store is a file":   {"{listen: '', store: " + file(t, "store", nil) + "}", "", "cannot make the folder"},
		"store in /proc":    {"{listen: '', store: /proc/nosuch}", "", "/proc/nosuch: cannot make the folder"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, plant(t, c.bus, c.http)...).wantSentence(t, 2, c.says)
		})
	}
	t.Run("demo, port taken", func(t *testing.T) {
		t.Parallel()
		run(t, "demo", "--listen", taken).wantSentence(t, 2, taken)
	})
	t.Run("no temporary folder", func(t *testing.T) {
		t.Parallel()
		o := program{args: []string{"detect", "synthetic://bars?frames=1", "--model", "barcode-reader"}, env: []string{"TMPDIR=/nosuch"}}.run(t)
		o.wantSentence(t, 1, "no temporary folder")
	})
}

// doctor -c looks at each camera, and one that is away costs only its line.
func TestDoctorsCameras(t *testing.T) {
	t.Parallel()
	clip := file(t, "clip.mp4", video(t))
	out := examine(t, textFile(t, "plant.yaml", "bus: {store: '', listen: ''}\nhttp: {listen: ''}\nmodels: [{name: barcode-reader, engine: gorgonia}]\ncameras:\n"+
		"  - {id: gate, source: 'synthetic://bars?fps=50&width=2560&height=1440'}\n  - {id: clip, source: "+clip+"}\n"+
		"  - {id: gone, source: nosuch.mp4}\n  - {id: away, source: 'rtsp://viewer:hunter2@127.0.0.1:1/x'}\n"), true)
	for _, want := range []string{
		`ok    camera          gate: 2560×1440, \d+\.\d frames a second, the first after \d`, `warn  camera          gate: decoding so many pixels`,
		`ok    camera          clip: \d+×\d+, \d+\.\d frames a second`,
		`bad   camera          gone: \S*/nosuch\.mp4: no such file: check the path`,
		`bad   camera          away: rtsp://\S*@127\.0\.0\.1:1/\*+: the camera cannot be reached.*: check the address`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	if strings.Contains(out, "hunter2") {
		t.Errorf("a secret is shown:\n%s", out)
	}
}
