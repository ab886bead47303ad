package testcam

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/vedette-io/vedette/internal/backoff"
	"github.com/vedette-io/vedette/internal/testcam/clip"
)

// Video is what an RTSP camera shows: a clip or a live picture, just one of
// them.
type Video struct {
	// Clip is sent over and over, or once. Its numbers begin anew with each
	// round; the time stamps go on.
	Clip *clip.Clip
	Once bool
	// Live is painted and encoded while it is sent, without end.
	Live *clip.Spec
}

// feed is a running video.
type feed interface {
	// next waits until the next access unit is due. It returns io.EOF behind
	// the last.
	next(ctx context.Context) (clip.Unit, error)
	close()
}

// open starts a video, and returns its first unit, which has SPS and PPS.
func (v Video) open() (f feed, first clip.Unit, period time.Duration, err error) {
	switch {
	case (v.Clip == nil) == (v.Live == nil):
		return nil, nil, 0, errors.New("a video needs either a clip or a live picture")
	case v.Clip != nil:
		if len(v.Clip.Units) == 0 || v.Clip.FPS <= 0 {
			return nil, nil, 0, errors.New("the clip is empty")
		}
		period = time.Second / time.Duration(v.Clip.FPS)
		return &clipFeed{clip: v.Clip, once: v.Once, period: period}, v.Clip.Units[0], period, nil
	}
	live, err := clip.StartLive(*v.Live)
	if err != nil {
		return nil, nil, 0, err
	}
	unit, ok := <-live.Units()
	if !ok {
		live.Close()
		return nil, nil, 0, live.Err()
	}
	return &liveFeed{live: live, first: unit}, unit, time.Second / time.Duration(v.Live.FPS), nil
}

// clipFeed sends a clip at its rate; the clock starts with the first unit.
type clipFeed struct {
	clip   *clip.Clip
	once   bool
	period time.Duration
	sent   int
	due    time.Time
}

func (f *clipFeed) next(ctx context.Context) (clip.Unit, error) {
	if f.once && f.sent == len(f.clip.Units) {
		return nil, io.EOF
	}
	if f.sent == 0 {
		f.due = time.Now()
	}
	if err := backoff.Sleep(ctx, time.Until(f.due)); err != nil {
		return nil, err
	}
	f.due = f.due.Add(f.period)
	unit := f.clip.Units[f.sent%len(f.clip.Units)]
	f.sent++
	return unit, nil
}

func (f *clipFeed) close() {}

// liveFeed passes on what a live encoder makes.
type liveFeed struct {
	live  *clip.Live
	first clip.Unit
}

func (f *liveFeed) next(ctx context.Context) (clip.Unit, error) {
	if unit := f.first; unit != nil {
		f.first = nil
		return unit, nil
	}
	select {
	case unit, ok := <-f.live.Units():
		if !ok {
			return nil, f.live.Err()
		}
		return unit, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (f *liveFeed) close() { f.live.Close() }
