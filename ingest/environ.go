package ingest

import (
	"slices"
	"strconv"
	"strings"
)

// passed are the variables a capture child inherits, by name or prefix. The
// list is closed because passwords of cameras often come in by environment
// variables, and a child's environment can be read by others of its user.
var passed = []string{"PATH", "HOME", "USER", "LANG", "LC_*", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "LD_PRELOAD",
	"XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "DISPLAY", "LIBVA_*", "CUDA_*", "NVIDIA_*", "GST_*", "OPENCV_*",
	"SSL_CERT_*", "GODEBUG", "GOTRACEBACK", "GOCOVERDIR", "GOMAXPROCS", "ASAN_OPTIONS", "MALLOC_*"}

// childEnviron is the child's environment.
func (c *Camera) childEnviron(parent []string) []string {
	env := []string{childEnv + "=" + childRole}
	// What OpenCV reads when it is loaded; a user's own choice comes later and
	// wins. Its errors repeat the source's URL, and the reasons are found out
	// otherwise.
	env = append(env, "OPENCV_LOG_LEVEL=SILENT", "OPENCV_FFMPEG_LOGLEVEL=-8")
	for _, v := range parent {
		name, _, _ := strings.Cut(v, "=")
		if slices.ContainsFunc(passed, func(p string) bool {
			prefix, isPrefix := strings.CutSuffix(p, "*")
			return name == p || isPrefix && strings.HasPrefix(name, prefix)
		}) {
			env = append(env, v)
		}
	}
	return env
}

// captureOptions are FFmpeg's options in the form OpenCV reads from the
// environment at each open. It replaces OpenCV's own default.
//
// Streams are analysed only briefly and without buffering: with FFmpeg's
// defaults opening takes 3 s and what comes then is 2 s old. A stream that
// does not open this way gets more time. nobuffer throws away what came during
// the analysis, so that files and streams of which every frame counts do
// without it.
func captureOptions(j *job, codec string) string {
	var options []string
	add := func(key, value string) { options = append(options, key+";"+value) }
	if j.Kind == RTSP {
		add("rtsp_transport", j.Transport)
	}
	if j.Kind == RTSP || j.Kind == HTTP {
		add("timeout", strconv.FormatInt(j.Stall.Microseconds(), 10)) // without a byte
		if !j.Every {
			add("fflags", "nobuffer")
		}
		add("flags", "low_delay")
		if !j.Patient {
			add("analyzeduration", "500000")
			add("probesize", "500000")
		}
	}
	if codec != "" {
		add("video_codec", codec)
	}
	return strings.Join(options, "|")
}
