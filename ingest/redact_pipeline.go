package ingest

import (
	"regexp"
	"strings"
)

// pipeline masks a GStreamer pipeline in the syntax of gst-launch: known
// elements and properties, numbers, local paths and redacted URLs are shown.
func (r redactor) pipeline(text string) string {
	var out strings.Builder
	element := true // the next word is in an element's place
	for _, w := range pipelineWords(text) {
		switch {
		case strings.TrimSpace(w) == "":
		case w == "!":
			element = true
		case element && strings.Contains(w, "/"):
			w = r.caps(w)
			element = false
		case element:
			if !madeOf(elementWords, strings.ToLower(w), 8) {
				w = r.mask(w)
			}
			element = false
		default:
			w = r.property(w)
		}
		out.WriteString(w)
	}
	return out.String()
}

// pipelineWords divides a pipeline into words, with quoted parts whole, and
// the white space between them.
func pipelineWords(text string) []string {
	var words []string
	from, quote, blank := 0, byte(0), false
	cut := func(to int) {
		if to > from {
			words = append(words, text[from:to])
		}
		from = to
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		space := quote == 0 && strings.IndexByte(" \t\r\n", c) >= 0
		if space != blank {
			cut(i)
			blank = space
		}
		switch {
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case c == quote:
			quote = 0
		case c == '\\':
			i++
		}
	}
	cut(len(text))
	return words
}

// property masks key=value.
func (r redactor) property(w string) string {
	key, value, ok := strings.Cut(w, "=")
	if !ok {
		return r.mask(w)
	}
	isPath, isPlain := isIn(pathProperties, key), isIn(properties, key)
	if !isPath && !isPlain && !isIn(secretProperties, key) {
		key = r.mask(key)
	}
	quote := ""
	if len(value) > 1 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
		quote, value = value[:1], value[1:len(value)-1]
	}
	cast := castPattern.FindString(value)
	value = value[len(cast):]
	switch {
	case isPath && strings.Contains(value, "://"):
		value = r.url(value)
	case isPath && localPath.MatchString(value), value == "",
		isPlain && (pipelineNumber.MatchString(value) || isIn(values, value)):
	default:
		value = r.mask(value)
	}
	return key + "=" + quote + cast + value + quote
}

// caps masks a media type and its fields.
func (r redactor) caps(w string) string {
	parts := strings.Split(w, ",")
	for i, p := range parts {
		switch {
		case i > 0 && p != "":
			parts[i] = r.property(p)
		case !mediaType.MatchString(p):
			parts[i] = r.mask(p)
		}
	}
	return strings.Join(parts, ",")
}

var (
	castPattern    = regexp.MustCompile(`^\((int|string|fraction|boolean|float|double|uint|guint)\)`)
	pipelineNumber = regexp.MustCompile(`^(-?[0-9]{1,10}(\.[0-9]{1,4})?|[0-9]{1,5}/[0-9]{1,5}|0x[0-9a-f]{1,8})$`)
	localPath      = regexp.MustCompile(`^(/|\./|\.\./|~/)`)
	mediaType      = regexp.MustCompile(`^(video|image|audio|application)/(x-raw|x-h264|x-h265|x-av1|x-vp[89]|x-bayer|jpeg|x-jpeg|x-rtp|x-rtp-stream|mpeg|quicktime)` +
		`(\(memory:(NVMM|DMABuf|VASurface|VAMemory|CUDAMemory|GLMemory|SystemMemory)\))?$`)
)

// elementWords make up the names of elements.
var elementWords = []string{"rtsp", "rtp", "rtmp", "src", "sink", "depay", "pay", "h264", "h265", "av1", "vp8", "vp9", "jpeg", "mjpeg",
	"mpeg", "mp4", "parse", "parser", "dec", "enc", "decode", "decoder", "encoder", "decodebin", "decodebin3", "bin", "uri", "video",
	"audio", "convert", "conv", "scale", "rate", "queue", "queue2", "app", "av", "_", "v4l2", "nv", "nvvid", "vaapi", "va", "msdk", "qsv",
	"cuda", "omx", "mpp", "lib", "libcamera", "argus", "camera", "post", "proc", "test", "file", "multi", "udp", "tcp", "client", "server",
	"http", "soup", "curl", "hls", "demux", "mux", "matroska", "qt", "ts", "flv", "multipart", "tee", "caps", "filter", "setter", "watchdog",
	"identity", "fake", "auto", "crop", "flip", "box", "overlay", "clock", "time", "text", "jitterbuffer", "session", "ximage", "gl",
	"ms", "png", "free", "image", "valve", "selector", "input", "output", "whip", "srt", "ndi", "shm", "fd", "download", "upload"}

// pathProperties may hold the path of a local file or device.
var pathProperties = []string{"location", "device", "uri", "filename"}

// properties are those of elements and of media types.
var properties = []string{"latency", "protocols", "drop-on-latency", "max-buffers",
	"drop", "sync", "async", "width", "height", "framerate", "format", "name", "is-live", "port", "address", "host", "timeout",
	"tcp-timeout", "retry", "do-timestamp", "num-buffers", "max-size-buffers", "max-size-time", "max-size-bytes", "leaky", "caps",
	"emit-signals", "method", "buffer-mode", "ntp-sync", "io-mode", "sensor-id", "media", "encoding-name", "payload", "clock-rate",
	"pattern", "max-threads", "threads", "config-interval", "tls-validation-flags", "do-rtsp-keep-alive", "buffer-size", "stream-format",
	"alignment", "interlace-mode", "colorimetry", "qos", "automatic-redirect"}

// secretProperties are those that hold secrets.
var secretProperties = []string{"user-id", "user-pw", "proxy", "proxy-id", "proxy-pw", "cookies", "extra-headers", "user-agent"}

// values are the words that properties are set to.
var values = []string{"true", "false", "tcp", "udp", "udp-mcast", "tcp+udp", "http", "tls", "bgr", "bgrx", "bgra", "rgb", "rgba", "rgbx",
	"i420", "nv12", "nv21", "yuy2", "uyvy", "gray8", "h264", "h265", "jpeg", "video", "upstream", "downstream", "no", "auto", "none",
	"byte-stream", "avc", "au", "nal", "progressive", "smpte", "ball", "slave", "buffer", "synced"}
