package ingest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/ring"
)

// outcome is how one child ended.
type outcome struct {
	ended     bool  // the source's end
	err       error // a *SourceError, else
	permanent bool  // trying again is of no use
	fatal     error // Output.Frame's error: Run ends with it
	online    bool  // there was a picture
	progress  bool  // something was announced
	uptime    time.Duration
	total     uint64
}

// session is one child process and what is known of it.
type session struct {
	c      *Camera
	cmd    *exec.Cmd
	stdin  *commandPipe
	stderr *stderrRelay
	pipe   *os.File // the events'
	events chan event
	quit   chan struct{} // ends the goroutine that reads events
	exited chan error

	ring   *heldRing
	stall  time.Duration
	opened bool
	// openTook is how long that took.
	openTook time.Duration
	since    time.Time // of the first picture
	out      outcome
	fail     *event // the child's own last word
}

// capture runs one child to its end.
func (c *Camera) capture(ctx context.Context) outcome {
	s := &session{c: c, stall: c.stall(), events: make(chan event), quit: make(chan struct{}), exited: make(chan error, 1)}
	if err := s.start(); err != nil {
		return outcome{err: c.cfg.Source.fail(ErrCannotStart, c.cfg.Source.Redact(err.Error())), permanent: c.cfg.Source.finite}
	}
	why := s.watch(ctx)
	exit := s.stop()
	if c.cfg.Source.Live() && s.out.online {
		if err := c.endEpoch(ctx, s.endReason(why)); err != nil && s.out.fatal == nil {
			s.out.fatal = err
		}
	}
	if !s.since.IsZero() {
		s.out.uptime = time.Since(s.since)
	}
	if s.out.ended {
		return s.out
	}
	s.out.err, s.out.permanent = s.diagnose(why, exit)
	if !s.out.online {
		c.software = c.software || c.cfg.Decode == "auto" // it may be what failed
		s.learn()
	}
	return s.out
}

// learn lets the next attempt be another than this one, which brought no
// picture: a camera that was slow to answer gets more time, a stream that came
// in time and showed nothing is analysed at length.
func (s *session) learn() {
	took := s.openTook
	if !s.opened {
		took = s.c.cfg.OpenTimeout
		if s.fail != nil {
			took = time.Duration(s.fail.Millis * float64(time.Millisecond))
		}
	}
	if took >= s.stall*9/10 {
		s.c.slow = !s.c.slow
		return
	}
	s.c.patient = !s.c.patient
}

func (s *session) endReason(why error) string {
	switch {
	case why != nil:
		return cause(why)
	case s.fail != nil:
		return "the connection was lost"
	}
	return "the capture process crashed"
}

// selfCommand starts this program again. /proc/self/exe stays right when the
// file was replaced by a newer version meanwhile.
func selfCommand() *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args[0] = "vedette-capture"
	return cmd
}

func (s *session) start() (err error) {
	s.cmd = s.c.deps.Command()
	s.cmd.Env = append(s.cmd.Env, s.c.childEnviron(os.Environ())...)
	// Its own process group: Ctrl-C in the terminal is ours to handle.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var files []*os.File
	defer func() {
		for _, f := range files {
			err = errors.Join(err, f.Close())
		}
	}()
	pipe := func() (r, w *os.File, err error) {
		if r, w, err = os.Pipe(); err == nil {
			files = append(files, r, w)
		}
		return r, w, err
	}
	inR, inW, err := pipe()
	if err != nil {
		return err
	}
	evR, evW, err := pipe()
	if err != nil {
		return err
	}
	errR, errW, err := pipe()
	if err != nil {
		return err
	}
	s.cmd.Stdin, s.cmd.Stderr, s.cmd.ExtraFiles = inR, errW, []*os.File{evW}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	files = []*os.File{inR, evW, errW} // the child's ends
	s.stdin = &commandPipe{w: inW}
	s.stderr = newStderrRelay(errR, s.c.log, s.c.cfg.Source)
	s.pipe = evR
	go s.read()
	go func() { s.exited <- s.cmd.Wait() }()
	go s.stderr.run()
	// In a goroutine: a long list of pictures fills the pipe before the child reads.
	go s.stdin.send(s.c.job())
	return nil
}

// read passes events on until the child closes its end.
func (s *session) read() {
	defer close(s.events)
	defer s.pipe.Close()
	lines := newLineReader(s.pipe, maxEventLine)
	for {
		var ev event
		if lines.next(&ev) != nil {
			return
		}
		select {
		case s.events <- ev:
		case <-s.quit:
			return
		}
	}
}

// watch handles the child's events until there are no more, the context ends,
// or the child has been silent for too long, and says why when it was that.
func (s *session) watch(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		limit := s.patience()
		timer.Reset(limit)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return s.c.cfg.Source.fail(ErrNoFrames, fmt.Sprintf("silent for %v", limit.Round(100*time.Millisecond)))
		case ev, ok := <-s.events:
			if !ok {
				return nil
			}
			if err := s.handle(ctx, &ev); err != nil {
				if ctx.Err() == nil {
					s.out.fatal = err
				}
				return err
			}
			if s.out.ended || s.fail != nil {
				return nil
			}
		}
	}
}

// patience is how long the child may be silent in its present phase. A busy
// consumer is no silence of the child: the time counts from when this side
// listens.
func (s *session) patience() time.Duration {
	cfg := &s.c.cfg
	switch {
	case !s.opened:
		return cfg.OpenTimeout + time.Second
	case s.since.IsZero():
		return cfg.FirstFrame
	}
	return cfg.Silence * 9 / 10 // so that it is over and told of within Silence
}

// grace is how long a child has to exit by itself: closing its pipe ends it at
// once, unless it is stopped or hangs in the kernel.
const grace = 500 * time.Millisecond

// stop ends the child and everything around it, and returns how it exited.
func (s *session) stop() error {
	s.stdin.close() // asks it to exit
	close(s.quit)
	exit, ok := s.wait(grace)
	if !ok {
		s.kill()
		if exit, ok = s.wait(5 * time.Second); !ok {
			// Stuck in the kernel: nothing can end it before its call returns.
			s.c.log.Error("capture process cannot be killed", "pid", s.cmd.Process.Pid)
			exit = errors.New("it cannot be killed")
			s.abandon()
		}
	}
	for range s.events { // until its reader is gone
	}
	s.stderr.wait()
	return exit
}

// kill ends the child, and what a wrapper around it has started, by force. It
// fails only when they have just ended.
func (s *session) kill() { _ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) }

// abandon ends the goroutines that listen to a child that cannot be ended.
func (s *session) abandon() {
	_ = s.pipe.Close()
	_ = s.stderr.file.Close()
}

func (s *session) wait(d time.Duration) (exit error, exited bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case exit = <-s.exited:
		return exit, true
	case <-timer.C:
		return nil, false
	}
}

// handle acts on one event. The child decodes what strangers send, so that its
// word is checked. An error is Output's.
func (s *session) handle(ctx context.Context, ev *event) error {
	c := s.c
	switch ev.Type {
	case evOpened:
		s.opened, s.openTook = true, time.Duration(ev.Millis*float64(time.Millisecond))
		c.state.FPS = ev.SourceFPS
		s.out.total = uint64(max(ev.Total, 0))
		c.state.Total = s.out.total
		c.noteDecoder(ev.Accelerated)
	case evRing:
		s.takeRing(ev)
	case evFrame, evUnreadable:
		return s.frame(ctx, ev)
	case evTick:
		s.advance(ev)
	case evEnd:
		s.advance(ev)
		c.position.seq, c.position.sampled = max(c.position.seq, ev.Seq), ev.Sampled
		s.out.ended = c.cfg.Source.finite
	case evFail:
		s.advance(ev)
		s.fail = ev
	}
	return nil
}

// advance notes the frames of a live source that were decoded but not wanted.
// Of a finite source only what was announced counts: a new child decides anew.
func (s *session) advance(ev *event) {
	if s.c.cfg.Source.Live() && s.out.online {
		s.c.position.seq = max(s.c.position.seq, ev.Seq)
		s.c.position.sampled = max(s.c.position.sampled, ev.Sampled)
	}
}

// takeRing takes hold of the child's ring before it announces frames in it.
func (s *session) takeRing(ev *event) {
	hold, err := ring.Keep(ring.FDPath(s.cmd.Process.Pid, ev.FD))
	if err != nil {
		s.c.log.Error("open the capture process's ring", "err", err)
		return // the child waits in vain and is found silent
	}
	s.ring = s.c.rings.add(hold, ev.Ring)
	s.stdin.send(command{Ring: ev.Ring, Held: true})
}

func (s *session) frame(ctx context.Context, ev *event) error {
	c := s.c
	if ev.Type == evFrame && (s.ring == nil || ev.Ring != s.ring.number || ev.Width < 1 || ev.Height < 1 ||
		(ev.Channels != 1 && ev.Channels != 3)) {
		s.fail = &event{Code: failOther, Text: "the capture process announced an impossible frame"}
		return nil
	}
	if s.since.IsZero() {
		s.firstFrame(ctx)
	}
	if ev.Seq < c.position.seq { // never twice
		s.fail = &event{Code: failOther, Text: "the capture process repeated a frame"}
		return nil
	}
	s.out.progress = true
	c.crashes = 0
	f := c.newFrame(ev.Seq)
	f.Item, f.PTSMillis, f.CaptureMillis = ev.Item, ev.PTS, ev.Millis
	f.CapturedAt = vedette.At(time.UnixMicro(ev.At))
	f.CaptureTime, f.Clock = f.CapturedAt, vedette.ClockHost
	if c.cfg.Source.finite {
		f.CaptureTime = vedette.At(c.start.Add(time.Duration(ev.PTS * float64(time.Millisecond))))
		f.Clock = vedette.ClockFile
	}
	f.Sampled, f.SourceGap = ev.Sampled, ev.Gap
	c.position = position{epoch: c.position.epoch, seq: ev.Seq + 1, sampled: ev.Sampled, gap: ev.Gap}
	if ev.Type == evUnreadable {
		f.Unreadable, f.Reason = true, c.cfg.Source.Redact(ev.Text)
		return c.deps.Output.Frame(ctx, f, func() {})
	}
	f.Width, f.Height, f.Format = ev.Width, ev.Height, vedette.BGR24
	if ev.Channels == 1 {
		f.Format = vedette.Gray8
	}
	f.Ref = vedette.RingRef{Path: s.ring.path, Slot: ev.Slot, Generation: ev.Generation, Offset: ev.Offset,
		Stride: ev.Width * ev.Channels, Bytes: ev.Width * ev.Channels * ev.Height}
	return c.deps.Output.Frame(ctx, f, s.releaser(ev.Slot))
}

// firstFrame is when a source counts as connected.
func (s *session) firstFrame(ctx context.Context) {
	c := s.c
	s.since = time.Now()
	s.out.online = true
	if c.cfg.Source.Live() {
		if c.everOnline {
			c.state.Reconnects++
		}
		c.everOnline = true
		c.position = position{epoch: c.deps.Epochs.Next(s.since)}
		c.log.Info("camera is online", "epoch", c.position.epoch, "source_fps", c.state.FPS)
	}
	c.setState(ctx, Online, "", nil)
}

// releaser returns what frees a slot under every delivery.
func (s *session) releaser(slot int) func() {
	if s.c.cfg.Delivery != Every {
		return func() {}
	}
	r, stdin := s.ring, s.stdin
	r.retain()
	var once sync.Once
	return func() {
		once.Do(func() {
			stdin.send(command{Ring: r.number, Slot: slot})
			r.release()
		})
	}
}

// noteDecoder warns once when hardware decoding was wished for in vain.
func (c *Camera) noteDecoder(accelerated bool) {
	if c.cfg.Decode == "auto" && !accelerated && !c.warned {
		c.warned = true
		c.log.Warn("no hardware decoder could be used; decoding in software")
	}
}

// threads is how many threads the child's decoder may use.
func (c *Camera) threads() int {
	if c.cfg.Source.Live() {
		return 1
	}
	if c.cfg.DecoderThreads > 0 {
		return c.cfg.DecoderThreads
	}
	return min(runtime.GOMAXPROCS(0), maxDecoderThreads)
}

// commandPipe is the parent's end of the child's standard input.
type commandPipe struct {
	mu sync.Mutex // keeps lines whole
	w  *os.File
}

// send is safe for concurrent use. A child that is gone needs no commands, so
// that a failure is no matter.
func (p *commandPipe) send(v any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = writeLine(p.w, v)
}

// close also ends a send that the child does not read.
func (p *commandPipe) close() { _ = p.w.Close() }
