package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/internal/board"
)

// side of the frames, which are small to be quick.
const side = 160

// small is what all tests ask for.
func small(args ...string) []string {
	return append([]string{"-width", strconv.Itoa(side), "-height", strconv.Itoa(side), "-fps", "10", "-seed", "7", "-defects", "1", "-speed", "0.8"}, args...)
}

// lineOf is the line of small, made as synthetic://line makes it.
func lineOf(t *testing.T) *board.Line {
	t.Helper()
	cfg := board.DefaultLine().Sized(side, side)
	cfg.FPS, cfg.Seed, cfg.DefectRate, cfg.Speed = 10, 7, 1, 0.8
	l, err := board.NewLine(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// difference is the mean absolute difference of a picture from frame i of the
// line. The picture has step bytes a pixel.
func difference(t *testing.T, l *board.Line, i uint64, px []byte, step int) float64 {
	t.Helper()
	grey := make([]byte, side*side)
	if err := l.Gray(i, grey); err != nil {
		t.Fatal(err)
	}
	sum := 0
	for k, v := range grey {
		d := int(v) - int(px[k*step])
		sum += max(d, -d)
	}
	return float64(sum) / float64(len(grey))
}

// A frame differs by less than alike from itself encoded, and by more than
// other from its neighbour: measured were 2.0 to 2.5, and 36 to 45.
const alike, other = 6, 18

func readTruth(t *testing.T, r io.Reader) []frameTruth {
	t.Helper()
	var out []frameTruth
	for lines := bufio.NewScanner(r); lines.Scan(); {
		var f frameTruth
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		out = append(out, f)
	}
	return out
}

// checkTruth compares what was written with the line.
func checkTruth(t *testing.T, l *board.Line, truth []frameTruth) {
	t.Helper()
	defects := 0
	for i, f := range truth {
		seen, err := l.Truth(uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		seen = slices.DeleteFunc(seen, func(s board.Seen) bool { return s.Area.Empty() })
		if f.Frame != uint64(i) || f.PTSMillis != float64(i)*100 || len(f.Boards) != len(seen) {
			t.Fatalf("line %d is %+v, want %d boards", i, f, len(seen))
		}
		for k, b := range f.Boards {
			if b.Board != seen[k].Board || b.Area != boxOf(seen[k].Area) || b.Total != seen[k].Total || len(b.Defects) != len(seen[k].Defects) {
				t.Fatalf("frame %d: board %+v, want %+v", i, b, seen[k])
			}
			for n, d := range b.Defects {
				if want := seen[k].Defects[n]; d.Class != want.Class.String() || d.Box != boxOf(want.Box) || d.Visible <= 0 || d.Visible > 1 {
					t.Fatalf("frame %d: defect %+v, want %+v", i, d, want)
				}
				defects++
			}
		}
	}
	if defects == 0 {
		t.Error("no defect is in the truth")
	}
}

func TestVideo(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a line.mp4")
	if err := run(t.Context(), small("-out", path, "-frames", "15"), io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, "a line.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	truth, line := readTruth(t, f), lineOf(t)
	checkTruth(t, line, truth)
	raw, err := exec.CommandContext(t.Context(), "ffmpeg", "-loglevel", "error", "-i", path, "-vsync", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "pipe:1").Output()
	if err != nil {
		t.Fatal(err)
	}
	if len(truth) != 15 || len(raw) != 15*side*side {
		t.Fatalf("%d lines of truth, %d bytes of video", len(truth), len(raw))
	}
	for _, i := range []uint64{0, 7, 14} {
		px := raw[i*side*side:]
		if d := difference(t, line, i, px, 1); d > alike {
			t.Errorf("frame %d differs by %.1f from the line's", i, d)
		}
		if d := difference(t, line, i+1, px, 1); d < other {
			t.Errorf("frame %d differs by %.1f only from frame %d of the line", i, d, i+1)
		}
	}
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "there.mp4")
	half := filepath.Join(dir, "half.mp4")
	for _, path := range []string{there, filepath.Join(dir, "half.jsonl")} {
		if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		args []string
		want string
	}{
		{nil, "give either -out FILE or -rtsp"},
		{[]string{"-rtsp", "127.0.0.1:8554"}, "-rtsp takes no address"},
		{[]string{"-rtsp", "-frames", "5"}, "-rtsp has no end"},
		{[]string{"-out", filepath.Join(dir, "a.avi")}, "its ending must be one of .mp4"},
		{[]string{"-out", filepath.Join(dir, "a.mp4"), "-frames", "0"}, "-frames 0: want 1 or more"},
		{[]string{"-out", filepath.Join(dir, "a.mp4"), "-width", "129"}, "both even"},
		{[]string{"-out", filepath.Join(dir, "a.mp4"), "-height", "126"}, "height is 126, it must be 128 to 4096"},
		{[]string{"-out", filepath.Join(dir, "a.mp4"), "-light", "11"}, "light is 11, it must be 0 to 10"},
		{[]string{"-out", filepath.Join(dir, "a.mp4"), "-speed", "fast"}, `"fast" for flag -speed`},
		{[]string{"-out", there}, there + " is there already"},
		{[]string{"-out", half}, "half.jsonl is there already"},
		{[]string{"-out", filepath.Join(dir, "no", "a.mp4")}, "cannot be written: no such file or directory"},
	} {
		err := run(t.Context(), tc.args, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v, want … %s", tc.args, err, tc.want)
		}
	}
	if kept, err := os.ReadFile(there); err != nil || !bytes.Equal(kept, []byte("precious")) {
		t.Errorf("the video that was there is %q, %v", kept, err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 2 {
		t.Errorf("the folder has %v, %v", files, err)
	}
	t.Run("no ffmpeg", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		err := run(t.Context(), []string{"-out", filepath.Join(dir, "a.mp4")}, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), "not installed (package ffmpeg)") {
			t.Errorf("without ffmpeg: %v", err)
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := run(ctx, small("-out", filepath.Join(dir, "a.mp4")), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), "stopped before the end") {
			t.Errorf("interrupted: %v", err)
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) != 2 {
			t.Errorf("the folder has %v, %v", files, err)
		}
	})
}
