package ingest_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/ingest"
)

func TestParseSource(t *testing.T) {
	dir := t.TempDir()
	odd := filepath.Join(dir, "clip [1].mp4")
	if err := os.WriteFile(odd, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		in     string
		kind   ingest.Kind
		finite bool
		id     string
		shown  string
	}{
		{"/videos/Car Detection.mp4", ingest.File, true, "car_detection", ""},
		{"clip.MKV", ingest.File, true, "clip", ""},
		{odd, ingest.File, true, "clip_1", ""},
		{"file:///videos/a%20b.mp4", ingest.File, true, "a_b", "/videos/a b.mp4"},
		{"photo.JPG", ingest.Images, true, "photo", ""},
		{dir, ingest.Images, true, vedette.Slug(filepath.Base(dir)), ""},
		{"gone/", ingest.Images, true, "gone", ""},
		{"shots/*.png", ingest.Images, true, "shots", ""},
		{"0", ingest.Device, false, "video0", "/dev/video0"},
		{"/dev/video3", ingest.Device, false, "video3", ""},
		{"rtsp://10.0.0.5/stream2", ingest.RTSP, false, "10_0_0_5", ""},
		{"RTSPS://Cam.Example:7441/ch1?channel=1", ingest.RTSP, false, "cam_example", "RTSPS://Cam.Example:7441/ch1?channel=1"},
		{"rtsp://[::1]:8554/s", ingest.RTSP, false, "1", ""},
		{"http://cam/mjpg/video.mjpg", ingest.HTTP, false, "cam", ""},
		{"gstreamer:v4l2src ! videoconvert ! appsink", ingest.GStreamer, false, "gstreamer", ""},
		{"synthetic://bars", ingest.Synthetic, false, "synthetic-bars", ""},
		{"synthetic://bars?frames=10", ingest.Synthetic, true, "synthetic-bars", ""},
		{"synthetic://line?width=128&height=128&plain=false", ingest.Synthetic, false, "synthetic-line", ""},
	} {
		t.Run(tc.in, func(t *testing.T) {
			s, err := ingest.ParseSource(tc.in)
			if err != nil {
				t.Fatal(err)
			}
			if s.Kind() != tc.kind || s.Finite() != tc.finite || s.Live() == tc.finite || s.ID() != tc.id {
				t.Errorf("kind %s finite %v id %s", s.Kind(), s.Finite(), s.ID())
			}
			if want := tc.shown; want != "" && s.String() != want {
				t.Errorf("shown as %s", s)
			}
			if err := vedette.CheckID(s.ID()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestGather(t *testing.T) {
	dir := t.TempDir()
	var sources []ingest.Source
	for _, text := range []string{"a/1.jpg", "a/2.png", "clip.mp4", "a/1.jpg", dir, "b/*.png", "1.jpg", "c/3.jpg", "c/4.jpg"} {
		s, err := ingest.ParseSource(text)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, s)
	}
	var shown, ids []string
	for _, s := range ingest.Gather(sources) {
		shown, ids = append(shown, s.String()), append(ids, s.ID())
	}
	if want := []string{"a/1.jpg and 1 more", "clip.mp4", "a/1.jpg", dir, "b/*.png", "1.jpg and 2 more"}; !slices.Equal(shown, want) {
		t.Errorf("the sources are %q, want %q", shown, want)
	}
	if want := []string{"a", "clip", "1", vedette.Slug(filepath.Base(dir)), "b", "pictures"}; !slices.Equal(ids, want) {
		t.Errorf("the ids are %q, want %q", ids, want)
	}
	if s := sources[0].String() + sources[0].ID(); s != "a/1.jpg1" {
		t.Errorf("what was gathered has become %s", s)
	}
}

func TestParseSourceRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":                                    "it is empty",
		"ftp://u:geheim@host/x":               `unknown scheme "ftp"`,
		"rtsp:///stream":                      "names no host",
		"rtsp://u:geheim@host:99999/":         "the port is not one of",
		"rtsp://u:gehe#im@host/":              "%XX",
		"gstreamer: ":                         "write a pipeline",
		"synthetic://line-of-parts":           "there are synthetic://bars",
		"synthetic://bars?width=7":            "bad value of width",
		"synthetic://bars?geheim=1":           "unknown parameter",
		"synthetic://bars?fps=NaN":            "bad value of fps: want 0 to 1000",
		"synthetic://bars?fps=0":              "bad value of fps: want more than 0",
		"synthetic://bars?seed=geheim":        "bad value of seed: want a whole number",
		"synthetic://bars?speed=1":            "unknown parameter",
		"synthetic://line?height=127":         "bad value of height: want 128 to 4096",
		"synthetic://line?width=4097":         "bad value of width: want 128 to 4096",
		"synthetic://line?speed=geheim":       "bad value of speed: want 0 to 100",
		"synthetic://line?max_defects=0":      "bad value of max_defects: want 1 to 50",
		"synthetic://line?plain=geheim":       "bad value of plain: want true or false",
		"file://server/share.mp4":             "names no host",
		"a\x00b":                              "zero byte",
		"rtsp://admin:geheim/slash@host:5 4/": "URL",
	} {
		_, err := ingest.ParseSource(in)
		if !errors.Is(err, ingest.ErrBadSource) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want … %s", in, err, want)
			continue
		}
		for _, secret := range []string{"geheim", "gehe#im", "im@host"} {
			if strings.Contains(err.Error(), secret) && strings.Contains(in, "@") {
				t.Errorf("%q: the error shows the password: %v", in, err)
			}
		}
	}
}

// The same text is the same source: a reload starts cameras anew whose source
// is another.
func TestSourceIsComparable(t *testing.T) {
	const text = "rtsp://viewer:p%40ss@10.0.0.5/live/P4thSecret/ch1?token=a+b/c"
	first, err := ingest.ParseSource(text)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if again, err := ingest.ParseSource(text); err != nil || !reflect.DeepEqual(first, again) {
			t.Fatalf("%+v and %+v, %v", first, again, err)
		}
	}
}
