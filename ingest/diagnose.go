package ingest

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/vedette-io/vedette/internal/cv"
)

// diagnose says in one sentence why a child ended, and whether another would
// fare no better.
func (s *session) diagnose(why, exit error) (error, bool) {
	src := &s.c.cfg.Source
	if why != nil {
		if !errors.Is(why, ErrNoFrames) {
			return why, false
		}
		if !s.opened {
			return src.fail(ErrNoFrames, "it does not answer"), src.finite
		}
		return why, false
	}
	if s.fail == nil && s.stderr.ranOut() {
		limit := s.job.memoryLimit(s.meter.pixels)
		return src.fail(ErrMemory, fmt.Sprintf("its limit is %d MiB: %s", limit>>20, s.stderr.lastWords(exit))), false
	}
	if s.fail == nil {
		return src.fail(ErrCrashed, s.stderr.lastWords(exit)), false
	}
	text := src.Redact(s.fail.Text) // of a child that decodes what strangers send
	switch s.fail.Code {
	case failSpace:
		return src.fail(ErrCapture, text), true
	case failDecoder:
		return src.fail(ErrNoDecoder, fmt.Sprintf("decode: %s cannot be used here; use auto or software", s.c.cfg.Decode)), true
	case failOpen:
		return s.openError(text)
	case failRead:
		if src.Live() {
			return src.fail(ErrNoFrames, "the connection was lost or nothing came in time"), false
		}
	}
	return src.fail(ErrCapture, text), strings.Contains(text, cv.ErrNoOpenCV.Error()) || src.finite
}

func (s *session) openError(text string) (error, bool) {
	c := s.c
	src := &c.cfg.Source
	if strings.Contains(text, cv.ErrNoOpenCV.Error()) {
		return src.fail(ErrCapture, text), true
	}
	switch src.kind {
	case File:
		return src.fail(ErrNotVideo, describeFile(c.items.paths[0])), true
	case Device:
		return src.fail(ErrNoDevice, "it "+text), false
	case GStreamer:
		return src.fail(ErrCapture, "the pipeline cannot be started; try it with gst-launch-1.0"), false
	}
	if took := time.Duration(s.fail.Millis * float64(time.Millisecond)); took >= s.job.Stall*9/10 {
		return src.fail(ErrNoFrames, "it stopped answering while the stream was being opened"), false
	}
	return src.fail(ErrNotOpened, ""), false
}
