package ingest

import (
	"math"
	"runtime"
	"time"

	"github.com/vedette-io/vedette/internal/cv"
)

// job describes the source to a new child.
func (c *Camera) job() *job {
	cfg := &c.cfg
	j := &job{
		Kind: cfg.Source.kind, Location: cfg.Source.location, Items: c.items.paths, Names: c.items.names,
		Live: cfg.Source.Live(), Every: cfg.Delivery == Every,
		Paced: cfg.Source.finite && cfg.Delivery == Latest && !cfg.Unpaced,
		FPS:   cfg.FPS, Slots: cfg.Slots, Ring: c.ringBytes(), Threads: c.threads(), Acceleration: c.acceleration(),
		Codecs: c.codecs(), Transport: cfg.Transport, Patient: c.patient,
		OpenTimeout: cfg.OpenTimeout, FirstFrame: cfg.FirstFrame, Stall: c.stall(), Memory: cfg.Memory,
	}
	switch {
	case cfg.Source.kind == Images:
		j.Location = ""
	case cfg.Source.kind == File:
		j.Location = c.items.paths[0] // absolute: nothing in it can look like a protocol
		j.Items, j.Names = nil, nil
	}
	if cfg.Source.finite {
		j.Seq = c.position.seq
	}
	return j
}

// stall is how long a camera may send nothing at all, not a byte. The child
// notices that itself, before it is killed for it. A camera that was slow to
// open its stream gets more time for that at the next attempt.
func (c *Camera) stall() time.Duration {
	if c.slow {
		return max(c.cfg.Silence, c.cfg.OpenTimeout)
	}
	return c.cfg.Silence * 3 / 4
}

func (c *Camera) acceleration() cv.Acceleration {
	switch {
	case c.software:
		return cv.Software
	case c.cfg.Decode == "auto":
		return cv.Any
	case c.cfg.Decode == "vaapi":
		return cv.VAAPI
	case c.cfg.Decode == "mfx":
		return cv.MFX
	}
	return cv.Software
}

// codecs are decoders of FFmpeg to ask for by name: OpenCV has no other way to
// NVIDIA's.
func (c *Camera) codecs() []string {
	if c.cfg.Decode == "cuda" {
		return []string{"h264_cuvid", "hevc_cuvid", "av1_cuvid", "mjpeg_cuvid"}
	}
	return nil
}

// threads is how many threads the child's decoder may use.
func (c *Camera) threads() int {
	if c.cfg.Source.Live() {
		return 1
	}
	if c.cfg.DecoderThreads > 0 {
		return c.cfg.DecoderThreads
	}
	threads := min(runtime.GOMAXPROCS(0), maxDecoderThreads)
	if c.cfg.CPU > 0 {
		threads = min(threads, int(math.Ceil(c.cfg.CPU)))
	}
	return threads
}

// ringBytes is how many bytes the camera's ring may take.
func (c *Camera) ringBytes() int64 {
	switch {
	case c.cfg.Ring > 0:
		return c.cfg.Ring
	case c.cfg.Source.Live() && c.cfg.Delivery == Every:
		return 128 << 20
	}
	return 512 << 20
}
