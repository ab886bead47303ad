package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/cv"
	"github.com/vedette-io/vedette/internal/ort"
	"github.com/vedette-io/vedette/internal/ring"
	"github.com/vedette-io/vedette/models"
)

// doctorPatience is how long a camera gets to show its first pictures, and
// doctorLook how long they are looked at then.
const (
	doctorPatience = 25 * time.Second
	doctorLook     = 3 * time.Second
)

func newDoctor(g *globals) *cobra.Command {
	var transport string
	cmd := &cobra.Command{
		Use:   "doctor [SOURCE]",
		Short: "says what is installed, what is missing, what a camera answers, and what to do",
		Example: `  vedette doctor
  vedette doctor rtsp://viewer:secret@10.0.0.5/stream2`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d := &doctor{w: cmd.OutOrStdout()}
			if len(args) == 0 {
				d.machine()
			} else if err := d.camera(cmd.Context(), g, args[0], transport); err != nil {
				return err
			}
			if d.bad > 0 {
				return errReported
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&transport, "transport", "tcp", "transport of RTSP: tcp or udp")
	return cmd
}

// doctor prints findings and counts those that need care.
type doctor struct {
	w   io.Writer
	bad int
}

func (d *doctor) good(what, format string, args ...any) {
	fmt.Fprintf(d.w, "ok    %-14s %s\n", what, fmt.Sprintf(format, args...))
}

func (d *doctor) note(what, format string, args ...any) {
	fmt.Fprintf(d.w, "note  %-14s %s\n", what, fmt.Sprintf(format, args...))
}

func (d *doctor) wrong(what, format string, args ...any) {
	d.bad++
	fmt.Fprintf(d.w, "BAD   %-14s %s\n", what, fmt.Sprintf(format, args...))
}

// machine looks at what is installed.
func (d *doctor) machine() {
	d.good("program", "%s", versionLine())
	d.good("machine", "%d CPUs usable of %d", runtime.GOMAXPROCS(0), runtime.NumCPU())
	if v, err := cv.Version(); err != nil {
		d.note("OpenCV", "%v; without it nothing can be captured or preprocessed here; infer, watch, status and models work", err)
	} else {
		d.good("OpenCV", "%s", v)
	}
	if lib, err := ort.Find(); err != nil {
		d.note("ONNX Runtime", "%v; until then only the engine gorgonia can be used, for plain networks", err)
	} else {
		d.good("ONNX Runtime", "%s, %s", lib.Version, lib.Path)
	}
	d.good("gorgonia", "built in")
	d.memory()
	d.listener()
	if here := models.DefaultPlaces().List(); len(here) == 0 {
		d.note("models", "none on this machine: vedette models list shows what can be pulled")
	} else {
		for _, m := range here {
			d.good("model", "%s, %s", m.Name, m.Path)
		}
	}
	checks, err := models.Verify("", "")
	if err != nil {
		d.note("models", "%v", err)
	}
	for _, c := range checks {
		if c.State == models.Damaged {
			d.wrong("model", "%s: %v: run vedette models pull %s", c.Entry.Name, c.Err, c.Entry.Name)
		}
	}
}

// memory tries to reserve a ring as a 1080p camera would.
func (d *doctor) memory() {
	w, err := ring.Create(ring.DefaultSlots, 1920*1080*3)
	if err != nil {
		d.wrong("memory", "a ring for a 1080p camera cannot be made: %v", err)
		return
	}
	d.good("memory", "a ring for a 1080p camera (%d MB) can be reserved", ring.DefaultSlots*1920*1080*3>>20)
	if err := w.Close(); err != nil {
		d.wrong("memory", "%v", err)
	}
	dir, err := os.MkdirTemp("", "vedette-*")
	if err != nil {
		d.wrong("store", "no temporary folder can be made: %v", err)
		return
	}
	d.good("store", "%s can be written", filepath.Dir(dir))
	if err := os.Remove(dir); err != nil {
		d.wrong("store", "%v", err)
	}
}

// listener sees whether the usual port is free.
func (d *doctor) listener() {
	const usual = "127.0.0.1:4222"
	l, err := net.Listen("tcp", usual)
	if err != nil {
		d.note("bus", "%s is in use: vedette run will want another bus.listen, or is that it running?", usual)
		return
	}
	d.good("bus", "%s is free", usual)
	if err := l.Close(); err != nil {
		d.wrong("bus", "%v", err)
	}
}

// glance counts what a camera gives.
type glance struct {
	started       time.Time
	first, last   time.Time
	frames        uint64
	width, height int
	pts0, pts     float64
	firstDelay    time.Duration
	unreadable    string
	state         ingest.State
	enough        func()
	until         time.Duration
}

func (l *glance) Frame(_ context.Context, f *vedette.Frame, release func()) error {
	defer release()
	if f.End {
		return nil
	}
	if f.Unreadable {
		l.unreadable = f.Reason
		return nil
	}
	if l.frames == 0 {
		l.first, l.firstDelay, l.pts0 = time.Now(), time.Since(l.started), f.PTSMillis
	}
	l.frames++
	l.last, l.pts, l.width, l.height = time.Now(), f.PTSMillis, f.Width, f.Height
	if time.Since(l.first) > l.until {
		l.enough()
	}
	return nil
}

func (l *glance) State(_ context.Context, s ingest.State) { l.state = s }

// camera looks at a source for a few seconds.
func (d *doctor) camera(ctx context.Context, g *globals, text, transport string) error {
	src, err := ingest.ParseSource(text)
	if err != nil {
		return &usageError{err}
	}
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	l := &glance{started: time.Now(), enough: cancel, until: doctorLook}
	cam, err := ingest.New(ingest.Config{ID: src.ID(), Source: src, Delivery: ingest.Latest, MaxAttempts: 1, Transport: transport}, ingest.Deps{Log: g.log, Output: l})
	if err != nil {
		return &usageError{err}
	}
	d.good("source", "%s (%s)", src, src.Kind())
	err = cam.Run(ctx)
	if l.frames == 0 {
		if err == nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			err = fmt.Errorf("no picture within %v", doctorPatience)
		}
		d.wrong("pictures", "%v: %s", err, advice(err, src))
		return nil
	}
	d.good("first picture", "after %v", l.firstDelay.Round(time.Millisecond))
	d.good("size", "%d×%d", l.width, l.height)
	if took := l.last.Sub(l.first); l.frames > 1 && took > 0 {
		d.good("rate", "%.1f frames a second over %v", float64(l.frames-1)/took.Seconds(), took.Round(10*time.Millisecond))
	}
	if l.width > 1920 || l.height > 1080 {
		d.note("size", "decoding so many pixels costs much CPU: a sub-stream of the camera does for detection")
	}
	if l.unreadable != "" {
		d.wrong("pictures", "some cannot be read: %s", l.unreadable)
	}
	if src.Live() && l.firstDelay > 5*time.Second {
		d.note("first picture", "it came late: let the camera send a key frame every second or two")
	}
	return nil
}

// advice is what to do about a source that shows nothing.
func advice(err error, src ingest.Source) string {
	switch {
	case errors.Is(err, ingest.ErrAuth):
		return "check user name and password; special characters in them must be percent-encoded (@ is %40)"
	case errors.Is(err, ingest.ErrUnreachable):
		return "check the address, the port and the network; ping the camera"
	case errors.Is(err, ingest.ErrNoStream):
		return "check the path of the URL in the camera's manual"
	case errors.Is(err, ingest.ErrNotFound), errors.Is(err, ingest.ErrNoPictures):
		return "check the path"
	case errors.Is(err, ingest.ErrNoFrames):
		return "the camera answers but sends no pictures: try --transport udp, or another of its streams"
	case src.Live():
		return "see whether another player shows it, for example ffplay"
	}
	return "see whether another player shows it"
}
