package ingest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
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
		"synthetic://bars?fps=NaN":            "bad value of fps",
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

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"open rtsp://viewer:geheim@10.0.0.5:554/stream2 failed":    "open rtsp://***@10.0.0.5:554/stream2 failed",
		"rtsp://u:a/b@c?d@10.0.0.5/s":                              "rtsp://***@10.0.0.5/s",
		"http://cam/video?user=admin&pwd=geheim&channel=1":         "http://cam/video?user=***&pwd=***&channel=1",
		"rtsp://cam/user=admin_password=geheim_channel=1_stream=0": "rtsp://cam/***",
		"rtsps://nvr:7441/a8Fj3kLm9QpXzR2t?enableSrtp":             "rtsps://nvr:7441/***?***",
		"rtspsrc location=rtsp://a:b@c/d user-pw=geheim ! x":       "rtspsrc location=rtsp://***@c/d user-pw=*** ! x",
		`password: "two words" done`:                               `password: *** done`,
		"Authorization: Basic YWRtaW46Z2VoZWlt":                    "Authorization: ***",
		"rtsp://10.0.0.5:554/Streaming/Channels/101":               "rtsp://10.0.0.5:554/Streaming/Channels/101",
		"/data/videos/car-detection.mp4: no such file":             "/data/videos/car-detection.mp4: no such file",
		"http://cam/#geheim":                                       "http://cam/#***",
		"":                                                         "",
	} {
		if got := ingest.Redact(in); got != want {
			t.Errorf("Redact(%q)\n = %q\nwant %q", in, got, want)
		}
	}
}

// A source shows no secret, however it is printed, and masks its own secrets
// in any text.
func TestSourceIsShy(t *testing.T) {
	for _, in := range []string{
		"rtsp://viewer:sup3rgeheim@host/a",
		"rtsp://host/user=admin_password=sup3rgeheim_channel=1",
		"http://host/a?token=sup3rgeheim",
		"http://host/a?sup3rgeheim",
		"gstreamer:rtspsrc location=rtsp://u:sup3rgeheim@h/ ! appsink",
		"gstreamer:rtspsrc location=rtsp://h/ user-pw=sup3rgeheim ! appsink",
		"rtsp://viewer:sup3r%67eheim@host/a",
	} {
		s := source(t, in)
		var b strings.Builder
		slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "source", s)
		j, err := json.Marshal(map[string]any{"s": s})
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("%v %+v %#v %s %q %s %s %s", s, s, s, s, s, b.String(), j,
			s.Redact("cannot open sup3rgeheim: bad thing"))
		if strings.Contains(text, "sup3r") {
			t.Errorf("%s: %s", in, text)
		}
	}
}

func FuzzRedact(f *testing.F) {
	for _, s := range []string{"geheim12", "a@b:c/d", "x#y?z", "%41%zz", "\"'", "://", "ü€"} {
		f.Add(s, "rtsp")
	}
	forms := []string{"rtsp://user:%s@host/path", "x rtsp://%s@host y", "http://host/p?key=%s", "http://host/p?%s&channel=2",
		"rtsp://host/user=a_password=%s_channel=1", "http://host/#%s"}
	f.Fuzz(func(t *testing.T, secret, scheme string) {
		ingest.Redact(secret)
		ingest.Redact(scheme + "://" + secret)
		if s, err := ingest.ParseSource(scheme + "://" + secret); err == nil {
			_ = s.String()
		}
		// What a URL in running text cannot hold is not a secret in one.
		if len(secret) < 4 || strings.ContainsAny(secret, " \t\r\n\v\f\"'<>*") || strings.Contains(secret, "\u0085") ||
			strings.ContainsFunc(secret, func(r rune) bool { return r < 32 || r == 0x7f }) {
			return
		}
		for _, form := range forms {
			fixed := strings.ReplaceAll(form, "%s", "")
			if strings.Contains(fixed, secret) || strings.Contains(ingest.Redact(fixed), secret) {
				continue
			}
			text := strings.ReplaceAll(form, "%s", secret)
			if i := strings.Index(form, "%s"); strings.ContainsAny(secret, "@#?&/") && !strings.Contains(form[i:], "@") {
				continue // it changes the structure of the URL behind the user part
			}
			if got := ingest.Redact(text); strings.Contains(got, secret) {
				t.Fatalf("Redact(%q) = %q", text, got)
			}
		}
	})
}
