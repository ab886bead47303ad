package ingest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"log/slog"
	"net/url"
	"strings"
	"testing"
)

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"open rtsp://viewer:geheim@10.0.0.5:554/stream2 failed":    "open rtsp://***@10.0.0.5:554/stream2 failed",
		"rtsp://h/live/viewer/P4th/ch1":                            "rtsp://h/live/***/***/ch1",
		"rtsp://h/live/admin/12345":                                "rtsp://h/live/***/***",
		"rtsp://u:a/b@c?d@10.0.0.5/s":                              "rtsp://***",
		"http://cam/video.cgi?user=admin&pwd=geheim&channel=1":     "http://cam/video.cgi?user=***&pwd=***&channel=1",
		"rtsp://cam/user=admin_password=geheim_channel=1_stream=0": "rtsp://cam/***",
		"rtsps://nvr:7441/a8Fj3kLm9QpXzR2t?enableSrtp":             "rtsps://nvr:7441/***?***",
		"rtspsrc location=rtsp://a:b@c/d user-pw=geheim ! x":       "rtspsrc location=rtsp://***@c/*** user-pw=*** ! x",
		`password: "two words" done`:                               `password: *** done`,
		"Authorization: Basic YWRtaW46Z2VoZWlt":                    "Authorization: ***",
		`Authorization: Digest username="u", response="abc"`:       "Authorization: ***",
		"/data/videos/car-detection.mp4: no such file":             "/data/videos/car-detection.mp4: no such file",
		"file:///data/my%20videos/a.mp4":                           "file:///data/my%20videos/a.mp4",
		"http://cam/#geheim":                                       "http://cam/#***",
		"http://cam/?P4th=1":                                       "http://cam/?***=***",
		"http://cam/?P4th":                                         "http://cam/?***",
		"http://cam/?channel=geheim":                               "http://cam/?channel=***",
		"rtsp://user:geheim":                                       "rtsp://***",
		"rtsp://geh$eim/":                                          "rtsp://***/",
		"geheim://cam/live":                                        "***://cam/live",
		`"rtsp://10.0.0.5/live": refused`:                          `"rtsp://10.0.0.5/live": refused`,
		`'rtsp://10.0.0.5/geheim','rtsp://10.0.0.6/live'`:          `'rtsp://10.0.0.5/***','rtsp://10.0.0.6/live'`,
		"(rtsp://10.0.0.5/live), or rtsp://10.0.0.6/geheim.":       "(rtsp://10.0.0.5/live), or rtsp://10.0.0.6/***.",
		"rtsp://h/it's":                                            "rtsp://h/***",
		"rtsp://[fe80::1%eth0]:8554/live?x=1":                      "rtsp://[fe80::1%eth0]:8554/live?***=***",
		"":                                                         "",
	} {
		if got := Redact(in); got != want {
			t.Errorf("Redact(%q)\n = %q\nwant %q", in, got, want)
		}
	}
}

// The addresses of the usual makes of cameras stay readable.
func TestRedactKeepsTheUsual(t *testing.T) {
	for _, path := range []string{
		"/Streaming/Channels/101", "/ISAPI/Streaming/channels/102/httpPreview?channel=1", "/h264/ch1/main/av_stream", // Hikvision
		"/cam/realmonitor?channel=1&subtype=0", "/cam/realmonitor?channel=1&subtype=1&unicast=true&proto=Onvif", // Dahua
		"/axis-media/media.amp?videocodec=h264&resolution=1280x720&fps=12.5", "/mjpg/video.mjpg", "/axis-cgi/mjpg/video.cgi", // Axis
		"/h264Preview_01_main", "/Preview_01_sub", // Reolink
		"/stream1", "/stream2", // Tapo
		"/live/ch00_0", "/live/0/MAIN", "/videoMain", "/video1", "/media/video1", "/onvif1", "/onvif/profile2/media.smp", "/profile1",
		"/MediaInput/h264/stream_1", "/ch01/0", "/ch0_0.h264", "/11", "/live.sdp", "/live/main", "/img/media.sav", "/nphMotionJpeg?Resolution=640x480",
		"/1080p", "/s0", "/rtsp_tunnel", "/live/stream1.m3u8", "/LiveMedia/ch1/Media1", "/unicast/c1/s0/live",
	} {
		in := "rtsp://10.0.0.5:554" + path
		src, err := ParseSource(in)
		if err != nil {
			t.Fatal(err)
		}
		switch path {
		case "/onvif/profile2/media.smp", "/ISAPI/Streaming/channels/102/httpPreview?channel=1", "/unicast/c1/s0/live":
			continue // not all of it is known
		case "/cam/realmonitor?channel=1&subtype=1&unicast=true&proto=Onvif":
			in = strings.Replace(in, "true", mask, 1)
		}
		if src.String() != in {
			t.Errorf("%s is shown as %s", in, src)
		}
	}
}

// Words that people have for passwords are none that are shown, anywhere.
func TestPlausiblePasswordsAreMasked(t *testing.T) {
	for w := range strings.FieldsSeq(`admin Admin admin1 admin123 administrator root toor user viewer guest operator service support
		password Password1 passw0rd pass secret geheim letmein qwerty abc123 iloveyou monkey dragon master welcome login princess
		camera camera1 cameras home office door front garage gate test test123 default system supervisor ubnt tlJwpbo6 xmhdipc jvc
		1234 12345 123456 4321 888888 666666 111111 000000 9999 1111 2024 123-456-789 12.34.56 0000 fliradmin meinsm wbox123
		ikwd hi3518 antslq klv123 zlxx xc3511 vizxv anko cat1029 changeme smcadmin realtek hunter2 Summer2024 stream12345 live2024
		P4th a1b2 x9 Zz correct horse battery staple`) {
		for _, form := range []string{"rtsp://h/live/%s/ch1", "rtsp://h/%s", "http://h/x.cgi?%s", "http://h/video.cgi?%s=1",
			"http://h/video.cgi?k=%s", "rtsp://%s@h/live", "rtsp://viewer:%s@h/live", "rtsp://h/live#%s", "rtsp://h/user=%s&x=y"} {
			in := strings.Replace(form, "%s", w, 1)
			if got := Redact(in); strings.Contains(strings.TrimPrefix(got, "rtsp://h"), w) && !isIn(secretKeys, w) {
				t.Errorf("%s is shown as %s", in, got)
			}
		}
	}
}

func TestPipelineIsRedacted(t *testing.T) {
	for in, want := range map[string]string{
		"v4l2src device=/dev/video0 ! video/x-raw,width=640,framerate=(fraction)30/1 ! videoconvert ! appsink drop=true max-buffers=1":                                                                                     "",
		"rtspsrc location=rtsp://u:geheim@h:554/live/P4th user-id=u user-pw=12345 latency=0 protocols=tcp ! rtph264depay ! h264parse ! nvv4l2decoder ! nvvidconv ! video/x-raw(memory:NVMM),format=(string)BGRx ! appsink": "rtspsrc location=rtsp://***@h:554/live/*** user-id=*** user-pw=*** latency=0 protocols=tcp ! rtph264depay ! h264parse ! nvv4l2decoder ! nvvidconv ! video/x-raw(memory:NVMM),format=(string)BGRx ! appsink",
		`filesrc location="/my videos/a.mp4" ! decodebin ! avdec_h264 ! appsink`:                                                                                                                                           "",
		`souphttpsrc location="http://h/video.mjpg" cookies="a b" P4th=1 x=geheim`:                                                                                                                                         `souphttpsrc location="http://h/video.mjpg" cookies="***" ***=*** ***=***`,
		"rtspsrc user-pw=my geheim ! geheim ! appsink name=geheim":                                                                                                                                                         "rtspsrc user-pw=*** *** ! *** ! appsink name=***",
	} {
		if want == "" {
			want = in
		}
		src, err := ParseSource("gstreamer:" + in)
		if err != nil {
			t.Fatal(err)
		}
		if got := src.String(); got != "gstreamer:"+want {
			t.Errorf("%s\n is %s\nwant gstreamer:%s", in, got, want)
		}
	}
}

// spoken is everything by which a source can show itself.
func spoken(t *testing.T, s Source, said string) string {
	t.Helper()
	var b strings.Builder
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "source", s)
	j, err := json.Marshal(map[string]any{"s": s})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%v %+v %#v %s %q %s %s %s %v", s, s, s, s, s, b.String(), j, s.Redact(said), s.fail(ErrCapture, s.Redact(said)))
}

// A source shows no secret, however it is printed, and masks its own secrets
// in any text, in every encoding.
func TestSourceIsShy(t *testing.T) {
	const secret = `sup3r+geh"eim/ü&`
	for _, in := range []string{
		"rtsp://viewer:" + url.QueryEscape(secret) + "@host/a",
		"rtsp://" + url.QueryEscape(secret) + "@host/a",
		"rtsp://host/live/" + url.PathEscape(secret) + "/ch1",
		"rtsp://host/user=admin_password=" + url.QueryEscape(secret) + "_channel=1",
		"http://host/a?token=" + url.QueryEscape(secret),
		"http://host/a?" + url.QueryEscape(secret),
		"gstreamer:rtspsrc location=rtsp://u:" + url.QueryEscape(secret) + "@h/ ! appsink",
		"gstreamer:rtspsrc location=rtsp://h/ user-pw='" + secret + "' ! appsink",
	} {
		s, err := ParseSource(in)
		if err != nil {
			t.Fatal(err)
		}
		said := strings.Join([]string{"cannot open", secret, url.QueryEscape(secret), url.PathEscape(secret), strings.ToLower(url.QueryEscape(secret)),
			fmt.Sprintf("%q", secret), html.EscapeString(secret), base64.StdEncoding.EncodeToString([]byte(secret)), s.location}, " | ")
		text := spoken(t, s, said)
		for _, part := range []string{"sup3r", "eim", base64.StdEncoding.EncodeToString([]byte(secret))} {
			if strings.Contains(text, part) {
				t.Errorf("%s: %s", in, text)
				break
			}
		}
	}
}

// A camera's address that was mistyped is no file's name, which would be shown.
func TestMistypedURL(t *testing.T) {
	for _, in := range []string{"rtsp:/viewer:geheim@h/live", "rtsp//viewer:geheim@h/live", "viewer:geheim@10.0.0.5/live", "rtsp:h/geheim", "geheim://h/", "http:geheim"} {
		_, err := ParseSource(in)
		if !errors.Is(err, ErrBadSource) || strings.Contains(fmt.Sprint(err), "geheim") {
			t.Errorf("%s: %v", in, err)
		}
	}
}

// forms are the places of an address in which a secret can stand.
var forms = []string{"rtsp://user:%s@host/path", "rtsp://%s@host/path", "rtsp://%s:x@host/live", "rtsp://host/%s", "rtsp://host/%s/ch1",
	"rtsp://host/live/%s/ch1?channel=1", "rtsp://host/live?%s", "rtsp://host/live?%s=1", "rtsp://host/live?key=%s", "rtsp://host/live?channel=%s&subtype=0",
	"rtsp://host/live?a=b&%s&channel=2", "rtsp://host/user=a_password=%s_channel=1", "rtsp://host/user=a&password=%s&channel=1.sdp", "http://host/#%s",
	"http://host/live?x=1#%s", "http://host:80/mjpg/video.cgi?user=%s&pwd=%s", "https://%s:%s@host/%s?%s=%s#%s",
	"gstreamer:rtspsrc location=rtsp://u:%s@host/live ! appsink", "gstreamer:rtspsrc location=rtsp://host/%s user-id=u ! appsink",
	"gstreamer:rtspsrc user-pw=%s ! appsink", `gstreamer:rtspsrc user-pw="%s" ! appsink`, "gstreamer:rtspsrc %s=1 ! appsink",
	"gstreamer:rtspsrc x=%s ! appsink", "gstreamer:rtspsrc latency=%s ! appsink", "gstreamer:rtspsrc ! %s ! appsink", "gstreamer:rtspsrc %s ! appsink"}

// mayBeShown reports whether a text is made of what is known to be harmless,
// so that it can stand in an address without being masked.
func mayBeShown(secret string) bool {
	for p := range strings.FieldsFuncSeq(secret, func(c rune) bool { return strings.ContainsRune(" \t\r\n/?#&=@:!,\"'()", c) }) {
		words := [][]string{plainKeys, secretKeys, properties, secretProperties, pathProperties, values}
		known := harmlessValue(p) || pipelineNumber.MatchString(p) || madeOf(elementWords, strings.ToLower(p), 8)
		for _, w := range words {
			known = known || isIn(w, p)
		}
		if !known {
			return false
		}
	}
	return true
}

func FuzzRedact(f *testing.F) {
	for _, s := range []string{"geheim12", "a@b:c/d", "x#y?z", "%41%zz", "\"'\"'", "://x", "ü€ü€", "P4th", "))))", "a b c", "rtsp://x", "****", "\xff\xfe\xfd\xfc"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, secret string) {
		Redact(secret)
		secret = strings.ReplaceAll(secret, mask[:1], "+") // else the mask completes it
		if len(secret) < 4 || mayBeShown(secret) {
			return
		}
		for _, form := range forms {
			in := strings.ReplaceAll(form, "%s", secret)
			// What surrounds the secret may be like it.
			if beside := spokenOf(t, strings.ReplaceAll(form, "%s", "Zq9~Zq9")); strings.Contains(beside, secret) {
				continue
			}
			if got := spokenOf(t, in); strings.Contains(got, secret) {
				t.Fatalf("the secret %q in %q shows in: %s", secret, in, got)
			}
			// In running text an URL ends with white space, which it cannot have.
			if strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("\u0085\u00a0\"'<>", r) }) {
				continue
			}
			if strings.HasPrefix(form, gstreamerPrefix) {
				continue // who prints a pipeline goes through the source
			}
			for _, around := range []string{"%s", "cannot open %s: it is closed", `open "%s": bad`} {
				text := strings.Replace(around, "%s", in, 1)
				if got := Redact(text); strings.Contains(got, secret) && !strings.Contains(strings.Replace(around, "%s", "", 1), secret) {
					t.Fatalf("Redact(%q) = %q", text, got)
				}
			}
		}
	})
}

// spokenOf is what is shown of a source, or the error that says it is none.
func spokenOf(t *testing.T, in string) string {
	t.Helper()
	s, err := ParseSource(in)
	if err != nil {
		return err.Error()
	}
	if s.Kind() == File || s.Kind() == Images {
		return "" // a path
	}
	return spoken(t, s, "open "+in+": no route to host")
}
