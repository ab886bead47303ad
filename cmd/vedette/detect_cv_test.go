//go:build cv && linux

package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/testkit"
)

func TestDetectPictures(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string][]byte{"b.png": pngOf(t, 64, 48), "a.jpg": jpegOf(t, 64, 48), "notes.txt": nil})
	saved := t.TempDir()
	ds := detect(t, dir, "--save", saved).detections(t)
	if len(ds) != 2 || ds[0].Item != "a.jpg" || ds[1].Item != "b.png" || ds[1].Seq != 1 {
		t.Errorf("detections are %+v", ds)
	}
	for i, stem := range []string{"a", "b"} {
		name := fmt.Sprintf("%s-%s-%06d-barcode-reader.jpg", stem, ds[i].Camera, i)
		if info, err := os.Stat(filepath.Join(saved, name)); err != nil || info.Size() == 0 {
			t.Errorf("annotated picture: %v", err)
		}
	}
}

// Picture files that follow each other, as a shell makes them of a pattern, are one
// camera: in the order given, each with its name, and a picture of its own in the
// folder of --save.
func TestDetectPictureFiles(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string][]byte{"clip.mp4": video(t)})
	write := func(name string) {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, pngOf(t, 16, 16), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	var many []string
	for i := range 300 {
		many = append(many, fmt.Sprintf("many/%03d.png", (i*7)%300)) // not in the order of their names
		write(many[i])
	}
	for _, name := range []string{"a/x.png", "b/x.png", "b/y.png", "z.png"} {
		write(name)
	}
	look := func(t *testing.T, args ...string) []vedette.Detection {
		o := program{dir: dir, args: append([]string{"detect", "--model", "barcode-reader", "--engine", "gorgonia", "--format", "jsonl"}, args...)}.run(t)
		if o.code != 0 || o.stderr != "" {
			t.Errorf("exit code %d; %s", o.code, o.stderr)
		}
		return o.detections(t)
	}
	t.Run("hundreds", func(t *testing.T) {
		t.Parallel()
		ds := look(t, many...)
		if len(ds) != len(many) {
			t.Fatalf("%d results of %d pictures", len(ds), len(many))
		}
		for i, d := range ds {
			if d.Camera != "many" || d.Seq != uint64(i) || d.Item != filepath.Base(many[i]) || d.Epoch != ds[0].Epoch {
				t.Fatalf("line %d is %s %s %d of %s", i, d.Camera, d.Epoch, d.Seq, d.Item)
			}
		}
	})
	t.Run("of one name", func(t *testing.T) {
		t.Parallel()
		saved := t.TempDir()
		ds := look(t, "z.png", "./b/x.png", "a/x.png", "b/y.png", "z.png", "--save", saved)
		for i, want := range []string{"z.png", "b/x.png", "a/x.png", "y.png", "z.png"} {
			if len(ds) != 5 || ds[i].Item != want || ds[i].Camera != "pictures" {
				t.Fatalf("the items are %+v", ds)
			}
		}
		if files, err := os.ReadDir(saved); err != nil || len(files) != 5 {
			t.Errorf("saved are %v, %v", files, err)
		}
	})
	t.Run("beside others", func(t *testing.T) {
		t.Parallel()
		items := map[string][]string{}
		for _, d := range look(t, "z.png", "clip.mp4", "b/y.png", "b/x.png", "a", "a/x.png", "--fps", "1") {
			if d.Item != "" {
				items[d.Camera] = append(items[d.Camera], d.Item)
			}
		}
		if want := map[string][]string{"z": {"z.png"}, "b": {"y.png", "x.png"}, "a": {"x.png"}, "x": {"x.png"}}; !maps.EqualFunc(items, want, slices.Equal) {
			t.Errorf("the cameras have %v, want %v", items, want)
		}
	})
	t.Run("not there", func(t *testing.T) {
		t.Parallel()
		o := program{dir: dir, args: []string{"detect", "z.png", "nosuch.png", "a/x.png", "gone.jpg"}}.run(t)
		if s := o.sentences(); o.code != 2 || o.stdout != "" || !slices.Equal(s, []string{"nosuch.png: no such file", "gone.jpg: no such file"}) {
			t.Errorf("exit code %d; %s", o.code, o.stderr)
		}
	})
}

// Videos that lie beside pictures are not passed over in silence.
func TestDetectVideosBesidePictures(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string][]byte{"a.png": pngOf(t, 16, 16), "b.mp4": video(t), "c.MOV": nil, "notes.txt": nil})
	for _, source := range []string{dir, dir + "/*"} {
		o := detect(t, source)
		if ds := o.detections(t); o.code != 0 || len(ds) != 1 || ds[0].Item != "a.png" {
			t.Errorf("exit code %d, %+v", o.code, ds)
		}
		if want := " vedette: " + source + ": of a folder or glob the pictures are looked at; left out: 2 videos, the first is b.mp4: "; !strings.Contains(o.stderr, want) || strings.Count(o.stderr, "\n") != 1 {
			t.Errorf("it does not say %q alone: %s", want, o.stderr)
		}
	}
	videos := folder(t, map[string][]byte{"b.mp4": video(t)})
	detect(t, videos).wantSentence(t, 2, "there are no pictures: 1 other files", "videos are sources of their own: name each")
}

func TestDetectSeveralSources(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string][]byte{"Gate 1.png": pngOf(t, 32, 32), "x.png": pngOf(t, 32, 32), "x-2.png": pngOf(t, 32, 32), "clip.mp4": video(t)})
	path := func(name string) string { return filepath.Join(dir, name) }
	clip, x := path("clip.mp4"), path("x.png")
	ds := detect(t, path("Gate 1.png"), clip, x, clip, x, clip, path("x-2.png"), "--fps", "5").detections(t)
	lines := map[string][]uint64{}
	for _, d := range ds {
		lines[d.Camera] = append(lines[d.Camera], d.Seq)
	}
	for _, id := range []string{"gate_1", "x", "x-2", "x-2-2"} {
		if !slices.Equal(lines[id], []uint64{0}) {
			t.Errorf("camera %s has frames %v", id, lines[id])
		}
	}
	if len(lines["clip"]) != len(lines["clip-2"]) || len(lines["clip"]) != len(lines["clip-3"]) {
		t.Errorf("the same clip has frames %v, %v and %v", lines["clip"], lines["clip-2"], lines["clip-3"])
	}
	// 25 frames a second, every fifth looked at by its time stamp.
	if want := []uint64{0, 5, 10, 15, 20, 25, 30, 35, 40, 45}; !slices.Equal(lines["clip"], want) {
		t.Errorf("of the clip frames %v were looked at, want %v", lines["clip"], want)
	}
	for _, d := range ds {
		if d.Camera == "clip" && d.Seq > 0 && (d.GapBefore["sampled"] != 4 || d.PTSMillis != 40*float64(d.Seq)) {
			t.Errorf("frame %d is at %v ms, behind a gap of %v", d.Seq, d.PTSMillis, d.GapBefore)
		}
	}
}

// Every frame of a file is looked at, once and in order, and numbers are fit to
// be read.
func TestDetectVideo(t *testing.T) {
	t.Parallel()
	path := file(t, "clip.mp4", video(t))
	o := detect(t, path)
	ds := o.detections(t)
	if len(ds) != clipFrames || o.code != 0 || o.stderr != "" {
		t.Errorf("%d lines, exit code %d, stderr %s", len(ds), o.code, o.stderr)
	}
	for i, d := range ds {
		if d.Seq != uint64(i) {
			t.Fatalf("line %d is of frame %d", i, d.Seq)
		}
	}
	if long := regexp.MustCompile(`[:,\[]-?\d*\.\d{7,}`).FindString(o.stdout); long != "" {
		t.Errorf("a number has too many decimals: %s", long)
	}
	if len(*ds[0].Objects) == 0 {
		t.Fatal("nothing was seen")
	}
	label := (*ds[0].Objects)[0].Label
	text := run(t, "detect", path, "--model", "barcode-reader", "--engine", "gorgonia", "--label", label)
	shape := regexp.MustCompile(`^clip \d{6} +\d+\.\d{3}s  (-|` + label + ` [01]\.\d\d \[\d+ \d+ \d+ \d+\])\n$`)
	for line := range strings.Lines(text.stdout) {
		if !shape.MatchString(line) {
			t.Fatalf("line %q", line)
		}
	}
	if n := strings.Count(text.stdout, "\n"); n != clipFrames || !strings.Contains(text.stdout, label) || text.code != 0 {
		t.Errorf("%d lines of text, exit code %d", n, text.code)
	}
}

// Without --model it says which one it looks with, what that one is for, and
// the command that looks for people and cars.
func TestDetectSaysWhichModel(t *testing.T) {
	t.Parallel()
	clip := file(t, "it's mine.png", pngOf(t, 64, 48))
	for args, says := range map[string]string{
		clip:                           "vedette detect '" + strings.ReplaceAll(clip, "'", `'\''`) + "' --model yolox-nano",
		"synthetic://line?frames=2":    "vedette detect 'synthetic://line?frames=2' --model yolox-nano",
		"rtsp://a:hunter2@127.0.0.1:1": "vedette detect SOURCE --model yolox-nano",
	} {
		o := program{args: []string{"detect", args}, env: []string{"XDG_CACHE_HOME=" + t.TempDir()}}.run(t)
		for _, want := range []string{"no --model given", "pcb-defects", "circuit boards", "vedette models pull yolox-nano, then " + says} {
			if !strings.Contains(o.stderr, want) {
				t.Errorf("%s: it does not say %q:\n%s", args, want, o.stderr)
			}
		}
		if strings.Contains(o.stderr, "hunter2") {
			t.Errorf("a secret is shown:\n%s", o.stderr)
		}
	}
}

// A progress bar is for a person: it is drawn when stderr is a terminal.
func TestProgress(t *testing.T) {
	t.Parallel()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no terminal can be opened: ", err)
	}
	defer master.Close()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile("/dev/pts/"+jsonOf(t, n), os.O_RDWR, 0)
	if err != nil {
		t.Skip("no terminal can be opened: ", err)
	}
	defer terminal.Close()
	s := startOn(t, terminal, "detect", file(t, "clip.mp4", video(t)), "--model", "barcode-reader", "--engine", "gorgonia")
	if err := s.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	shown := make([]byte, 4096)
	if err := master.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		t.Log(err) // then the read below blocks only if nothing was shown
	}
	read, err := master.Read(shown)
	if err != nil || !strings.Contains(string(shown[:read]), "looking") {
		t.Errorf("the terminal shows %q, %v", shown[:read], err)
	}
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Scores of stored detections are those of the model that made them.
func TestEvalStored(t *testing.T) {
	t.Parallel()
	data, model := testkit.Data(t, "images/coco64"), testkit.Data(t, "models/yolox_nano_416.onnx")
	library(t)
	stored := run(t, "detect", filepath.Join(data, "images"), "--model", model, "--min-score", "0.01", "--format", "jsonl")
	if stored.code != 0 {
		t.Fatalf("exit code %d; %s", stored.code, stored.stderr)
	}
	type scores struct {
		Judged, Found int
		COCO          map[string]float64
	}
	score := func(args ...string) (s scores) {
		o := run(t, append([]string{"eval", "--data", data, "--format", "json"}, args...)...)
		if err := json.Unmarshal([]byte(o.stdout), &s); err != nil || o.code != 0 {
			t.Fatalf("%v; exit code %d; %s", err, o.code, o.stderr)
		}
		return s
	}
	a := score("--model", model)
	b := score("--detections", file(t, "stored.jsonl", []byte(stored.stdout)))
	if a.Judged != 64 || a.Judged != b.Judged || a.Found != b.Found || len(a.COCO) < 12 {
		t.Errorf("a model's scores are %+v, those of its stored detections %+v", a, b)
	}
	for name, v := range a.COCO {
		if math.Abs(v-b.COCO[name]) > 1e-4 {
			t.Errorf("%s is %v, from stored detections %v", name, v, b.COCO[name])
		}
	}
}
