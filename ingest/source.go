package ingest

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/vedette-io/vedette"
)

// Kind is what a source is.
type Kind string

// The kinds of sources.
const (
	File      Kind = "file"      // one video file
	Images    Kind = "images"    // pictures: files, a folder or a glob
	RTSP      Kind = "rtsp"      // rtsp:// or rtsps://
	HTTP      Kind = "http"      // MJPEG over http:// or https://
	Device    Kind = "device"    // a V4L2 device
	GStreamer Kind = "gstreamer" // a raw pipeline
	Synthetic Kind = "synthetic" // a generator
)

const gstreamerPrefix = "gstreamer:"

// Source is where pictures come from. Printed in any way it shows no secret.
type Source struct {
	kind     Kind
	location string   // with its secrets
	files    []string // picture files that were named one by one, as the user did
	finite   bool
	id       string
	secrets  []string
}

var devicePath = regexp.MustCompile(`^(?:/dev/video)?(\d{1,3})$`)

// ParseSource understands
//
//	a video file, a picture, a folder or a glob of pictures
//	rtsp://…  rtsps://…  http://…  https://… (MJPEG)  file://…
//	0, 1, … or /dev/videoN
//	gstreamer:PIPELINE
//	synthetic://bars  synthetic://line
//
// The first pattern is a test card with the frame's number burnt in, the second
// a belt of printed circuit boards. Behind a ? may stand, with & between them:
//
//	width, height   of a frame; bars: 16 to 16384, 640×360 unless given,
//	                line: 128 to 4096, 640×640 unless given
//	fps=25          frames a second, more than 0 and up to 1000
//	frames=0        how many; 0: without end, and in real time
//	seed=0          other colours; other boards and noise
//
// and for the line alone:
//
//	speed=0.5       boards a second, 0 to 100
//	light=1         brightness, 0 to 10
//	noise=3         deviation of the sensor's noise in grey levels, 0 to 100
//	defects=0.5     share of the boards that have defects, 0 to 1
//	max_defects=3   most defects of a board, 1 to 50
//	empty=0         share of the places on the belt without a board, 0 to 1
//	plain=true      false: boards with all that looks like a defect and is none
//
// A board has 520×520 pixels, or fewer where the frame is too small for that.
//
// It looks at the file system to tell a folder from a file, but a file that
// does not exist is no error here; see [Source.Check].
func ParseSource(text string) (Source, error) {
	s, err := parseSource(strings.TrimSpace(text))
	if err != nil {
		return Source{}, err
	}
	s.secrets = secretsOf(s)
	return s, nil
}

func parseSource(text string) (Source, error) {
	scheme, _, isURL := strings.Cut(text, "://")
	device := devicePath.FindStringSubmatch(text)
	switch {
	case text == "":
		return Source{}, badSource(text, "it is empty; give a file, a folder, an URL or a device number")
	case strings.ContainsRune(text, 0):
		return Source{}, badSource(text, "it contains a zero byte")
	case strings.HasPrefix(text, gstreamerPrefix):
		pipeline := strings.TrimSpace(strings.TrimPrefix(text, gstreamerPrefix))
		if pipeline == "" {
			return Source{}, badSource(text, "write a pipeline behind gstreamer:, ending in appsink")
		}
		return Source{kind: GStreamer, location: text, id: "gstreamer"}, nil
	case isURL && isScheme(scheme):
		return parseURL(strings.ToLower(scheme), text)
	case device != nil:
		n, err := strconv.Atoi(device[1])
		if err != nil {
			return Source{}, badSource(text, "not a device number")
		}
		path := "/dev/video" + strconv.Itoa(n)
		return Source{kind: Device, location: path, id: "video" + strconv.Itoa(n)}, nil
	}
	if _, err := os.Lstat(text); errors.Is(err, fs.ErrNotExist) && looksLikeURL(text) {
		return Source{}, badSource(text, "no such file, and a camera's address begins with rtsp:// or http://")
	}
	return parsePath(text), nil
}

func parseURL(scheme, text string) (Source, error) {
	u, err := url.Parse(text)
	if err != nil { // its text repeats the URL
		return Source{}, badSource(text, "not a valid URL; special characters in a password are written as %XX (# is %23, @ is %40)")
	}
	switch scheme {
	case "rtsp", "rtsps", "http", "https":
		if u.Hostname() == "" {
			return Source{}, badSource(text, "the URL names no host")
		}
		if port := u.Port(); port != "" {
			if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
				return Source{}, badSource(text, "the port is not one of 1 to 65535")
			}
		}
		kind := RTSP
		if strings.HasPrefix(scheme, "http") {
			kind = HTTP
		}
		return Source{kind: kind, location: text, id: vedette.Slug(u.Hostname())}, nil
	case "synthetic":
		p, err := parsePattern(u)
		if err != nil {
			return Source{}, badSource(text, err.Error())
		}
		return Source{kind: Synthetic, location: text, finite: p.frames > 0, id: vedette.Slug("synthetic-" + p.name)}, nil
	case "file":
		if u.Host != "" && u.Host != "localhost" {
			return Source{}, badSource(text, "a file URL names no host: file:///path")
		}
		return parsePath(u.Path), nil
	}
	unknown := "unknown scheme"
	if harmlessScheme(scheme) {
		unknown += " " + strconv.Quote(scheme)
	}
	return Source{}, badSource(text, unknown+"; known are rtsp, rtsps, http, https, file, synthetic and gstreamer:")
}

func parsePath(path string) Source {
	id := vedette.Slug(strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)))
	s := Source{kind: File, location: path, finite: true, id: id}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && strings.ContainsAny(path, "*?["):
		s.kind = Images
		s.id = vedette.Slug(filepath.Base(filepath.Dir(path)))
	case err == nil && info.IsDir(), strings.HasSuffix(path, "/"):
		s.kind = Images
	case isPicture(path):
		s.kind, s.files = Images, []string{path}
	}
	return s
}

func isScheme(s string) bool {
	for i, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (i == 0 || !strings.ContainsRune("0123456789+-.", r)) {
			return false
		}
	}
	return s != ""
}

// pictureTypes are the file name extensions that count as pictures.
var pictureTypes = []string{".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff",
	".pbm", ".pgm", ".ppm", ".pnm", ".jp2"}

func isPicture(path string) bool {
	return slices.Contains(pictureTypes, strings.ToLower(filepath.Ext(path)))
}

// videoTypes are endings that tell a video from other files beside pictures. What
// can be decoded shows FFmpeg, whatever its name.
var videoTypes = []string{".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts",
	".wmv", ".asf", ".flv", ".3gp", ".ogv", ".mjpg", ".mjpeg", ".h264", ".264", ".h265", ".265", ".hevc"}

func isVideo(path string) bool {
	return slices.Contains(videoTypes, strings.ToLower(filepath.Ext(path)))
}

// looksLikeURL reports whether a text that is no file was meant as a camera's
// address: without its scheme it would be shown as a path, password and all.
func looksLikeURL(text string) bool {
	if prefix, rest, ok := strings.Cut(text, ":"); ok {
		return isIn(schemes, prefix) || strings.Contains(rest, "@")
	}
	scheme, _, ok := strings.Cut(text, "//")
	return ok && isIn(schemes, scheme)
}

func badSource(text, detail string) error {
	shown := mask
	switch {
	case strings.HasPrefix(text, gstreamerPrefix):
		shown = gstreamerPrefix
	case strings.Contains(text, "://"):
		shown = redactor{}.url(text)
	case text == "":
		shown = ""
	}
	return &SourceError{Source: strconv.Quote(shown), Err: ErrBadSource, Detail: detail}
}

// Kind is what the source is.
func (s Source) Kind() Kind { return s.kind }

// Finite reports whether the source ends: files, pictures, and a generator
// with a number of frames.
func (s Source) Finite() bool { return s.finite }

// Live reports whether the source runs on its own clock, whoever looks.
func (s Source) Live() bool { return s.kind != "" && !s.finite }

// ID proposes a camera id, from the file or host name.
func (s Source) ID() string { return s.id }

// String is the source as it may be shown.
func (s Source) String() string {
	return s.shown(redactor{})
}

func (s Source) shown(r redactor) string {
	switch s.kind {
	case RTSP, HTTP:
		return r.url(s.location)
	case GStreamer:
		return gstreamerPrefix + r.pipeline(strings.TrimPrefix(s.location, gstreamerPrefix))
	}
	return s.location
}

// GoString implements [fmt.GoStringer], so that %#v shows no secret either.
func (s Source) GoString() string { return fmt.Sprintf("ingest.Source(%q)", s.String()) }

// LogValue implements [slog.LogValuer].
func (s Source) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements [encoding.TextMarshaler]: redacted.
func (s Source) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Redact masks this source's secrets, and what else looks like one, in text
// that came from elsewhere.
func (s Source) Redact(text string) string {
	if len(s.secrets) > 0 {
		text = strings.ReplaceAll(text, s.location, s.String())
	}
	for _, secret := range s.secrets {
		text = strings.ReplaceAll(text, secret, mask)
	}
	return Redact(text)
}

// longestSecret is the length of the longest text that Redact masks.
func (s Source) longestSecret() int {
	if len(s.secrets) == 0 {
		return 0
	}
	return len(s.secrets[0])
}

// fail makes an error of our own words. What comes from elsewhere goes through
// Redact first; our own must not, as a gap in a known sentence tells what the
// secret is.
func (s Source) fail(err error, detail string) *SourceError {
	return &SourceError{Source: s.String(), Err: err, Detail: detail}
}
