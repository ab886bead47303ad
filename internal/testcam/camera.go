package testcam

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"

	"github.com/vedette-io/vedette/internal/backoff"
	"github.com/vedette-io/vedette/internal/testcam/clip"
)

// Options of an RTSP camera.
type Options struct {
	Video
	// HoldUntilPlay makes a clip start when the first reader plays, so that it
	// gets every frame.
	HoldUntilPlay bool
	// User and Password are asked for (Digest or Basic) if User is set.
	User, Password string
	// Path of the stream; empty: /stream.
	Path string
	// Readers is how many can play at once; 0: any number.
	Readers int
	// TLS makes it speak rtsps, which is TCP only.
	TLS bool
	// Sent, if set, is told of each access unit just before its first packet is
	// written, by the number of units that were due before it. It must not
	// block.
	Sent func(unit int)
}

// Camera is an RTSP server with one H.264 stream, over TCP or UDP as the
// reader wishes. Its clock runs on while it is frozen or dead: what it would
// have sent is lost, and the numbers and time stamps that follow show it.
type Camera struct {
	opts   Options
	port   *port
	cancel context.CancelFunc
	done   chan struct{}
	desc   *description.Session
	format *format.H264
	sender *sender
	// change carries videos to the goroutine that sends.
	change chan opened
	// played is closed when the first reader plays.
	played     chan struct{}
	playedOnce sync.Once

	mu     sync.Mutex
	closed bool
	server *server   // nil while dead
	hole   *listener // set while it never answers
	conns  int       // accepted by servers that are gone
	err    error
}

// opened is a video that has started.
type opened struct {
	feed   feed
	first  clip.Unit
	period time.Duration
}

// Stats of a camera.
type Stats struct {
	// Connections accepted so far.
	Connections int
	// Readers that play now.
	Readers int
	// Units that were due so far, sent or not.
	Units int
}

// New starts a camera on a free port of 127.0.0.1.
func New(opts Options) (*Camera, error) {
	opts.Path = cmp.Or(opts.Path, "/stream")
	feed, first, period, err := opts.open()
	if err != nil {
		return nil, err
	}
	p, err := reserve()
	if err != nil {
		feed.close()
		return nil, err
	}
	h264 := &format.H264{PayloadTyp: 96, PacketizationMode: 1, SPS: first.SPS(), PPS: first.PPS()}
	media := &description.Media{Type: description.MediaTypeVideo, Formats: []format.Format{h264}}
	c := &Camera{
		opts: opts, port: p, done: make(chan struct{}), change: make(chan opened), played: make(chan struct{}), format: h264,
		desc: &description.Session{Medias: []*description.Media{media}},
	}
	if c.sender, err = newSender(h264, media, opts.Sent); err == nil {
		err = c.Restart()
	}
	if err != nil {
		feed.close()
		p.release()
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	go c.run(ctx, opened{feed, first, period})
	return c, nil
}

// Addr is the camera's host and port.
func (c *Camera) Addr() string { return c.port.addr }

// URL is the stream's address, with user and password if it asks for them.
func (c *Camera) URL() string { return c.URLFor(c.opts.User, c.opts.Password) }

// URLFor is the stream's address with the given credentials, none if user is
// empty.
func (c *Camera) URLFor(user, password string) string {
	scheme := "rtsp"
	if c.opts.TLS {
		scheme = "rtsps"
	}
	u := url.URL{Scheme: scheme, Host: c.port.addr, Path: c.opts.Path}
	if user != "" {
		u.User = url.UserPassword(user, password)
	}
	return u.String()
}

// Stats counts what happened so far.
func (c *Camera) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Stats{Connections: c.conns, Units: c.sender.count()}
	if c.server != nil {
		conns, readers := c.server.stats()
		s.Connections += conns
		s.Readers = readers
	}
	return s
}

// Err is why a live picture broke off, nil if it did not.
func (c *Camera) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Kill ends all connections and closes the port: who dials is refused.
func (c *Camera) Kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kill()
}

// NeverAnswer ends all connections; from then on the camera accepts new ones
// and says nothing.
func (c *Camera) NeverAnswer() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClosed
	}
	c.kill()
	h, err := openHole(c.port)
	if err != nil {
		return err
	}
	c.hole = h
	return nil
}

// Restart brings the camera back at the same address after [Camera.Kill] or
// [Camera.NeverAnswer]; else it ends all connections and takes new ones.
func (c *Camera) Restart() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClosed
	}
	c.kill()
	s, err := startServer(c.port, c.opts, c.desc, func() { c.playedOnce.Do(func() { close(c.played) }) })
	if err != nil {
		return fmt.Errorf("start the RTSP server: %w", err)
	}
	c.server = s
	c.sender.attach(s.stream)
	return nil
}

var errClosed = errors.New("the camera is closed")

// kill needs c.mu.
func (c *Camera) kill() {
	c.sender.attach(nil)
	if c.server != nil {
		conns, _ := c.server.stats()
		c.conns += conns
		c.server.close()
		c.server = nil
	}
	if c.hole != nil {
		c.hole.close()
		c.hole = nil
	}
}

// Show continues with another video, in mid-stream and without telling the
// readers but by new parameter sets, as a camera does whose resolution or
// profile was changed. New readers are told the new ones. It returns when the
// new video begins.
func (c *Camera) Show(v Video) error {
	feed, first, period, err := v.open()
	if err != nil {
		return err
	}
	select {
	case c.change <- opened{feed, first, period}:
		return nil
	case <-c.done:
		feed.close()
		return errClosed
	}
}

// Close ends the camera.
func (c *Camera) Close() {
	c.mu.Lock()
	c.closed = true
	c.kill()
	c.mu.Unlock()
	c.cancel()
	<-c.done
	c.port.release()
}

// run sends until the camera is closed.
func (c *Camera) run(ctx context.Context, v opened) {
	defer close(c.done)
	if c.opts.HoldUntilPlay {
		select {
		case <-c.played:
		case <-ctx.Done():
			v.feed.close()
			return
		}
	}
	for {
		next, ok := c.send(ctx, v)
		v.feed.close()
		if !ok {
			return
		}
		v = next
		c.mu.Lock()
		//lint:ignore SA1019 the encoder of another goroutine reads them meanwhile
		c.format.SafeSetParams(v.first.SPS(), v.first.PPS())
		if c.server != nil {
			c.server.stream.ReloadDesc()
		}
		c.mu.Unlock()
	}
}

// send plays a video until another is to be shown, which it returns, or the
// camera is closed.
func (c *Camera) send(ctx context.Context, v opened) (next opened, ok bool) {
	for {
		select {
		case next := <-c.change:
			return next, true
		default:
		}
		unit, err := v.feed.next(ctx)
		if ctx.Err() != nil {
			return opened{}, false
		}
		if err != nil {
			if err != io.EOF {
				c.mu.Lock()
				c.err = err
				c.mu.Unlock()
			}
			// Over UDP the farewell goes to another port than the packets: let
			// them arrive first. What ends the sleep ends the loop below.
			_ = backoff.Sleep(ctx, 200*time.Millisecond)
			c.sender.bye()
			select {
			case next := <-c.change:
				return next, true
			case <-ctx.Done():
				return opened{}, false
			}
		}
		c.sender.send(unit, v.period)
	}
}
