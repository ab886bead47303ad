package ingest

import (
	"regexp"
	"slices"
	"strings"
)

// What may be shown of a camera's address. Everything else in it may be a
// secret: cameras take passwords and tokens in the user part, the query and
// the path, in forms nobody can list. So the lists are of what is harmless, and
// words that somebody may have for a password (admin, camera, home) are not in
// them.

// schemes are those of URLs that turn up in logs.
var schemes = []string{"rtsp", "rtsps", "rtspt", "rtspu", "rtmp", "rtmps", "http", "https", "file", "synthetic",
	"tcp", "udp", "tls", "rtp", "srt", "nats", "ws", "wss", "mms", "hls", "ftp", "sftp", "smb", "v4l2"}

var shortScheme = regexp.MustCompile(`^[a-z]{1,5}$`)

// harmlessScheme also shows mistyped ones.
func harmlessScheme(s string) bool { return isIn(schemes, s) || shortScheme.MatchString(s) }

// pathWords make up the paths of the usual cameras. Alone, several in a row
// (mainstream), and with a short number behind them (stream1) they are shown.
var pathWords = []string{"live", "stream", "streams", "streaming", "channel", "channels", "main", "minor", "media", "video",
	"videos", "videoinput", "cam", "mjpeg", "mjpg", "jpeg", "jpg", "h264", "h265", "hevc", "mpeg4", "mpeg", "mpg", "mp4", "asf",
	"sdp", "sav", "onvif", "profile", "axis", "amp", "cgi", "bin", "realmonitor", "unicast", "multicast", "track", "trackid",
	"preview", "sub", "snapshot", "image", "img", "medium", "psia", "isapi", "tunnel", "rtsp", "rtp", "tcp",
	"udp", "nph", "motion", "input", "low", "high", "hls", "playlist", "m3u8", "flv", "vod", "encoder", "codec"}

// shortWords are shown alone or with a short number, not in a row: too many
// passwords are made of them.
var shortWords = []string{"ch", "av", "hd", "sd", "s", "v", "ts", "api", "4k", "2k", "360p", "480p", "720p", "1080p", "1440p", "2160p", "fps", "osd", "nvr", "dvr"}

// plainKeys are the parameters of a query whose values are worth reading.
var plainKeys = []string{"channel", "subtype", "stream", "streamtype", "profile", "width", "height", "fps", "frames", "seed",
	"speed", "light", "noise", "defects", "max_defects", "resolution", "codec", "videocodec", "transport", "transportmode", "unicast",
	"proto", "port", "timeout", "audio", "compression", "quality"}

// secretKeys are those whose values are not, but which are no secrets themselves.
var secretKeys = []string{"user", "username", "usr", "login", "loginuse", "loginpas", "account", "pwd", "pass", "passwd", "password",
	"auth", "token", "key", "apikey", "api_key", "secret", "session", "sid", "sig", "signature", "expires"}

func isIn(words []string, s string) bool { return slices.Contains(words, strings.ToLower(s)) }

const (
	maxShown  = 32 // characters of a part that is shown
	maxTokens = 5  // of a part, divided by - _ .
	maxInARow = 3  // words without a divider
	maxDigits = 3  // of a number
)

var sizePattern = regexp.MustCompile(`^[0-9]{2,4}x[0-9]{2,4}$`)

// harmless reports whether a part of a path is made of known words and a short
// number: stream1, h264Preview_01_main, axis-media, 101, video.mjpg.
func harmless(part string) bool {
	if part == "" || len(part) > maxShown {
		return false
	}
	tokens := strings.FieldsFunc(part, func(c rune) bool { return c == '-' || c == '_' || c == '.' })
	if len(tokens) == 0 || len(tokens) > maxTokens {
		return false
	}
	digits := 0 // of numbers alone: several of them can be a telephone number
	for _, t := range tokens {
		t = strings.ToLower(t)
		word := strings.TrimRight(t, "0123456789")
		switch {
		case isIn(shortWords, t), isIn(pathWords, t), sizePattern.MatchString(t):
			continue
		case len(t)-len(word) > maxDigits:
			return false
		case word == "":
			digits += len(t)
		case !isIn(shortWords, word) && !madeOf(pathWords, word, maxInARow):
			return false
		}
	}
	return digits <= maxDigits
}

// madeOf reports whether s is at most n words in a row.
func madeOf(words []string, s string, n int) bool {
	if s == "" {
		return true
	}
	return n > 0 && slices.ContainsFunc(words, func(w string) bool {
		rest, ok := strings.CutPrefix(s, w)
		return ok && madeOf(words, rest, n-1)
	})
}

var numberPattern = regexp.MustCompile(`^[0-9]{1,6}(\.[0-9]{1,4})?$`)

// harmlessValue is what a parameter of plainKeys may show.
func harmlessValue(v string) bool { return numberPattern.MatchString(v) || harmless(v) }
