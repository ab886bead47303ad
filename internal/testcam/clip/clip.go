// Package clip makes H.264 video for tests: files, access units in memory, and
// a live encoder that runs in real time. Frames are painted in Go and encoded
// by the ffmpeg command (x264, one slice a frame, no B-frames), which must be
// installed.
package clip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// Spec describes a video.
type Spec struct {
	// Width and Height in pixels, even.
	Width, Height int
	// FPS is the number of frames a second, 1 to 1000.
	FPS int
	// Frames is the length of the video; a live one has no end and ignores it.
	Frames int
	// GOP is the number of frames from one key frame to the next; 0 means one
	// second. Every key frame is an IDR.
	GOP int
	// Kbps bounds the bitrate; 0 means x264's constant quality.
	Kbps int
	// Paint makes the pictures; nil means [Numbered] from 0.
	Paint Painter
}

// Unit is one access unit: its NAL units without start codes. A key frame
// begins with SPS and PPS.
type Unit [][]byte

// Clip is an encoded video in memory.
type Clip struct {
	Width, Height, FPS int
	Units              []Unit
}

// The types of NAL units that matter here (H.264 table 7-1).
const (
	nalIDR = 5
	nalSPS = 7
	nalPPS = 8
)

// Key says whether a decoder can start at this unit.
func (u Unit) Key() bool { return u.find(nalIDR) != nil }

// SPS is the unit's sequence parameter set, nil if it has none.
func (u Unit) SPS() []byte { return u.find(nalSPS) }

// PPS is the unit's picture parameter set, nil if it has none.
func (u Unit) PPS() []byte { return u.find(nalPPS) }

func (u Unit) find(typ byte) []byte {
	for _, nalu := range u {
		if len(nalu) > 0 && nalu[0]&0x1f == typ {
			return nalu
		}
	}
	return nil
}

// WriteFile encodes the video into path; its extension (.mp4, .mkv, .ts, …)
// chooses the container. A file that exists is replaced.
func WriteFile(ctx context.Context, path string, s Spec) error {
	s, err := s.complete()
	if err != nil {
		return err
	}
	// The parameter sets stay in every key frame, as cameras send them.
	args := append(s.args("veryfast", ":repeat-headers=1"), "-y", path)
	enc, err := start(ctx, args)
	if err != nil {
		return err
	}
	defer enc.kill()
	feedErr := enc.feed(s)
	return enc.finish(feedErr)
}

// Encode encodes the video in memory.
func Encode(ctx context.Context, s Spec) (*Clip, error) {
	s, err := s.complete()
	if err != nil {
		return nil, err
	}
	enc, err := start(ctx, s.streamArgs("veryfast"))
	if err != nil {
		return nil, err
	}
	defer enc.kill()
	fed := make(chan error, 1)
	go func() { fed <- enc.feed(s) }()
	c := &Clip{Width: s.Width, Height: s.Height, FPS: s.FPS}
	units := newUnitReader(enc.stdout)
	for {
		unit, err := units.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			enc.kill()
			<-fed
			return nil, fmt.Errorf("read the encoder's output: %w", err)
		}
		c.Units = append(c.Units, unit)
	}
	if err := enc.finish(<-fed); err != nil {
		return nil, err
	}
	if len(c.Units) != s.Frames {
		return nil, fmt.Errorf("ffmpeg made %d access units of %d frames", len(c.Units), s.Frames)
	}
	return c, nil
}

// complete checks a spec and fills in its defaults.
func (s Spec) complete() (Spec, error) {
	switch {
	case s.Width < 16 || s.Height < 16 || s.Width%2 != 0 || s.Height%2 != 0:
		return s, fmt.Errorf("size %dx%d: width and height must be even and at least 16", s.Width, s.Height)
	case s.FPS < 1 || s.FPS > 1000:
		return s, fmt.Errorf("fps %d: must be 1 to 1000", s.FPS)
	case s.Frames < 0 || s.GOP < 0 || s.Kbps < 0:
		return s, fmt.Errorf("frames %d, gop %d, kbps %d: must not be negative", s.Frames, s.GOP, s.Kbps)
	}
	if s.GOP == 0 {
		s.GOP = s.FPS
	}
	if s.Paint == nil {
		s.Paint = Numbered(0)
	}
	return s, nil
}

// args are ffmpeg's, up to the output. One thread and zerolatency: every frame
// comes out before the next goes in.
func (s Spec) args(preset, params string) []string {
	args := []string{
		"-hide_banner", "-nostdin", "-loglevel", "error",
		"-probesize", "32", "-analyzeduration", "0", // "nobuffer" would lose the first frame
		"-f", "rawvideo", "-pixel_format", "bgr24", "-video_size", fmt.Sprintf("%dx%d", s.Width, s.Height),
		"-framerate", strconv.Itoa(s.FPS), "-i", "pipe:0", "-an", "-vsync", "passthrough",
		"-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", preset, "-tune", "zerolatency", "-threads", "1",
		"-bf", "0", "-g", strconv.Itoa(s.GOP), "-keyint_min", strconv.Itoa(s.GOP), "-sc_threshold", "0",
		"-x264-params", "sliced-threads=0:slices=1" + params,
	}
	if s.Kbps > 0 {
		rate := strconv.Itoa(s.Kbps) + "k"
		args = append(args, "-b:v", rate, "-maxrate", rate, "-bufsize", rate)
	}
	return args
}

// streamArgs make ffmpeg write access units to its output as it makes them.
// FLV says how long each one is; in a bare H.264 stream the end of a frame is
// only seen when the next begins, which would hold every frame back by one.
func (s Spec) streamArgs(preset string) []string {
	return append(s.args(preset, ""), "-f", "flv", "-flvflags", "no_duration_filesize", "-flush_packets", "1", "pipe:1")
}

// encoder is a running ffmpeg.
type encoder struct {
	cmd    *exec.Cmd
	cancel context.CancelFunc
	stdin  io.WriteCloser
	stdout io.Reader
	stderr bytes.Buffer
}

func start(ctx context.Context, args []string) (*encoder, error) {
	ctx, cancel := context.WithCancel(ctx)
	e := &encoder{cancel: cancel, cmd: exec.CommandContext(ctx, "ffmpeg", args...)}
	e.cmd.Stderr = &e.stderr
	e.cmd.WaitDelay = 2 * time.Second
	var err error
	if e.stdin, err = e.cmd.StdinPipe(); err == nil {
		if e.stdout, err = e.cmd.StdoutPipe(); err == nil {
			err = e.cmd.Start()
		}
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("start ffmpeg (package ffmpeg): %w", err)
	}
	return e, nil
}

// feed paints and writes all frames.
func (e *encoder) feed(s Spec) error {
	defer e.stdin.Close()
	pic := newPicture(s)
	for i := range s.Frames {
		s.Paint(pic, i)
		if _, err := e.stdin.Write(pic.Pix); err != nil {
			return fmt.Errorf("write frame %d to ffmpeg: %w", i, err)
		}
	}
	return nil
}

// finish waits for ffmpeg to end. Its own complaint says more than the broken
// pipe that follows from it.
func (e *encoder) finish(feedErr error) error {
	err := e.cmd.Wait()
	if err != nil {
		return fmt.Errorf("ffmpeg: %w: %s", err, strings.TrimSpace(e.stderr.String()))
	}
	return feedErr
}

// kill ends ffmpeg at once; after finish it does nothing.
func (e *encoder) kill() {
	e.cancel()
	if e.cmd.ProcessState == nil {
		// The error is that of having been killed.
		_ = e.cmd.Wait()
	}
}
