package ingest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/cv"
	"github.com/vedette-io/vedette/internal/proc"
	"github.com/vedette-io/vedette/internal/ring"
)

// IsChild reports whether this process was started as a capture child: the
// program must then call [ChildMain] and exit with its result, before it does
// anything else.
func IsChild() bool { return os.Getenv(childEnv) == childRole }

// ChildMain captures one source, as the parent process asks on standard input.
// It ends with the source, and the process exits when standard input is
// closed, whatever it is doing.
func ChildMain() int {
	out := os.NewFile(eventFD, "events")
	if out == nil {
		fmt.Fprintln(os.Stderr, "capture: not started by a parent")
		return 2
	}
	in := newLineReader(os.Stdin, maxJobLine)
	var j job
	if err := in.next(&j); errors.Is(err, io.EOF) {
		return 0 // it was started ahead and is not needed
	} else if err != nil {
		fmt.Fprintln(os.Stderr, "capture: no job from the parent:", err)
		return 2
	}
	c := &child{job: &j, out: out, slots: newSlots(j.Slots), fresh: !j.Standby}
	go c.obey(in)
	confine()
	c.memory = newMemoryCap(&j)
	err := c.memory.fit(0)
	if err == nil {
		err = c.run()
	}
	if err == nil {
		return 0
	}
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{code: failOther, err: err}
	}
	if err := c.send(&event{Type: evFail, Seq: c.seq, Code: f.code, Text: f.err.Error(), Millis: vedette.Millis(f.took)}); err != nil {
		fmt.Fprintln(os.Stderr, "capture: report to the parent:", err)
	}
	return 1
}

// failure is an error with a code that the parent understands.
type failure struct {
	code string
	err  error
	took time.Duration
}

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

// liveWait is how long a live source waits for a free slot before the frame's
// picture is given up: the camera's own buffers bridge that much.
const liveWait = time.Second

// child is the capture loop of one source.
type child struct {
	job    *job
	out    io.Writer
	src    reader
	slots  *slots
	memory *memoryCap

	ring   *ring.Writer
	number int  // of the ring in this process
	next   int  // slot under latest delivery
	full   bool // under every delivery no slot was free for the frame before

	seq     uint64 // of the next frame
	sampled uint64
	fresh   bool // frames come as they are captured
	old     int  // frames that did not
	lastPTS float64
	sampler sampler
	gaps    gapCounter  // of a live source
	holes   holeCounter // of a file
	gap     uint64      // frames missing so far
	pacer   pacer
	ticked  time.Time
}

// obey carries out the parent's commands until its end of the pipe closes.
// Then the process exits, though its capture may hang in C.
func (c *child) obey(in *lineReader) {
	for {
		var cmd command
		if in.next(&cmd) != nil {
			os.Exit(0)
		}
		c.slots.obey(cmd)
	}
}

func (c *child) send(ev *event) error {
	c.ticked = time.Now()
	return proc.WriteLine(c.out, ev)
}

// tick tells the parent that the source is alive, at most every tickEvery.
func (c *child) tick() error {
	if time.Since(c.ticked) < tickEvery {
		return nil
	}
	return c.send(&event{Type: evTick, Seq: c.seq, Sampled: c.sampled})
}

func (c *child) run() error {
	j := c.job
	cv.SetDecoderThreads(j.Threads)
	began := time.Now()
	src, err := openReader(j)
	if err != nil {
		return c.openFailed(err, time.Since(began))
	}
	c.src = src
	defer src.close()
	c.sampler = sampler{fps: j.FPS}
	if f := src.fps(); f > 0 {
		c.holes.usual = 1000 / f
	}
	c.pacer = pacer{fps: j.FPS, still: j.Kind == Images}
	opened := &event{Type: evOpened, Millis: vedette.Millis(time.Since(began)), SourceFPS: src.fps(), Total: src.total()}
	if v, ok := src.(*video); ok {
		opened.Accelerated = v.Accelerated()
	}
	if err := c.send(opened); err != nil {
		return err
	}
	if err := c.catchUp(); err != nil {
		return err
	}
	for {
		if err := c.frame(); errors.Is(err, io.EOF) {
			return c.send(&event{Type: evEnd, Seq: c.seq, Sampled: c.sampled, Gap: c.gap})
		} else if err != nil {
			return err
		}
	}
}

// openFailed finds out whether a named hardware decoder was the reason.
func (c *child) openFailed(err error, took time.Duration) error {
	a := c.job.Acceleration
	named := len(c.job.Codecs) > 0 || (a != cv.Software && a != cv.Any)
	if named && errors.Is(err, cv.ErrNotOpened) {
		plain := *c.job
		plain.Acceleration, plain.Codecs = cv.Software, nil
		if src, e := openReader(&plain); e == nil {
			return &failure{code: failDecoder, err: errors.Join(err, src.close())}
		}
	}
	return &failure{code: failOpen, err: err, took: took}
}

// catchUp passes over the frames that an earlier child announced or left out.
// Decoding them is the only exact way: seeking in a video lands on other
// frames. The sampler sees them all and so decides as it did then, and what is
// missing between them is counted as it was.
func (c *child) catchUp() error {
	if p, ok := c.src.(*pictures); ok {
		p.skip(c.job.Seq)
		c.seq = c.job.Seq
		return nil
	}
	for c.seq < c.job.Seq {
		if err := c.src.next(); errors.Is(err, io.EOF) {
			return nil // the loop meets the end again
		} else if err != nil {
			return c.readFailed(err)
		}
		c.noteGap()
		if !c.sampler.wants(c.src.ptsMillis(), time.Now()) {
			c.sampled++
		}
		c.seq++
		if time.Since(c.ticked) >= tickEvery {
			if err := c.send(&event{Type: evTick, Seq: c.seq}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *child) readFailed(err error) error {
	if errors.Is(err, io.EOF) {
		return err
	}
	return &failure{code: failRead, err: err}
}

// frame takes one frame from the source to the parent.
func (c *child) frame() error {
	begin := time.Now()
	err := c.src.next()
	at := time.Now()
	if v, ok := c.src.(*video); ok && v.over {
		at = begin // the picture came with the one before and was held back
	}
	ev := &event{Type: evFrame, Seq: c.seq, At: at.UnixMicro()}
	decode := at.Sub(begin)
	if c.job.Live {
		decode = 0 // it was mostly waiting for the camera
	}
	var bad *unreadableError
	if errors.As(err, &bad) {
		ev.Item = c.src.item()
		return c.unreadable(ev, bad.reason)
	}
	if err != nil {
		return c.readFailed(err)
	}
	ev.Item, ev.PTS = c.src.item(), c.src.ptsMillis()
	c.noteGap()
	ev.Gap = c.gap
	if c.job.Paced {
		if err := c.pacer.wait(ev.PTS, c.tick); err != nil {
			return err
		}
		// A paced frame was decoded ahead of its time: it counts from now.
		at = time.Now()
		ev.At = at.UnixMicro()
	}
	if c.isOld(ev.PTS, at.Sub(begin)) {
		return c.tick() // and it has no number
	}
	if c.job.Kind != Images && !c.sampler.wants(ev.PTS, at) {
		c.seq++
		c.sampled++
		return c.tick()
	}
	return c.announce(ev, decode)
}

// noteGap counts what is missing before the frame. The count never falls: part
// of it may be known to others.
func (c *child) noteGap() {
	if c.job.Live {
		c.gap = c.gaps.add(c.src.ptsMillis())
		return
	}
	if v, ok := c.src.(*video); ok && v.timed {
		c.gap = max(c.gap, c.holes.add(v.pts))
	}
}

// isOld reports whether a frame came while the source was being opened, by a
// child that is to take over from another: that one has had it. Such frames
// come faster than they were captured.
func (c *child) isOld(pts float64, waited time.Duration) bool {
	if c.fresh {
		return false
	}
	step := pts - c.lastPTS
	c.old, c.lastPTS = c.old+1, pts
	c.fresh = c.old > 1 && vedette.Millis(waited) >= step/2 || c.old > maxOld
	return !c.fresh
}

// maxOld is how many frames may be left out as old: as many as come during the
// longest analysis of a stream.
const maxOld = 300
