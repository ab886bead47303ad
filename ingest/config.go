package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/ring"
)

// Delivery is what happens to frames that come faster than they are used.
type Delivery string

// The two ways of delivery.
const (
	// Latest keeps the newest frame: slots of the ring are overwritten without
	// asking. A file is read at its own pace; a list of pictures at FPS, or one
	// a second.
	Latest Delivery = "latest"
	// Every loses no frame: a slot is written again only after its frame was
	// released. A finite source is read as fast as frames are released. A live
	// source cannot wait: a frame that finds no free slot for a second is
	// announced without a picture ([vedette.Frame] Overflow).
	Every Delivery = "every"
)

// Config is what a user sets for one camera. The zero value of every field but
// ID and Source is a default.
type Config struct {
	ID       string
	Site     string
	Source   Source
	Delivery Delivery // default Latest
	// FPS is how many frames a second are wanted; 0 is all. The others are
	// decoded, numbered and counted, but not converted. Lists of pictures are
	// never thinned.
	FPS float64
	// Transport of RTSP: tcp (default) or udp.
	Transport string
	// Decode is software (default), auto (hardware if there is any, with one
	// warning if not), vaapi, mfx or cuda. A named decoder that is missing is an
	// error.
	Decode string
	// DecoderThreads for files; 0 is one per CPU, 8 at most. Live sources always
	// have one, because more would hold frames back.
	DecoderThreads int
	// Memory is how many bytes of its own the capture process may take, and CPU
	// how many processors, on average; 0 is a default that fits the source. See
	// the package comment for what happens beyond them.
	Memory int64
	CPU    float64
	// Slots of the ring, default [ring.DefaultSlots]. Large pictures get fewer.
	Slots int
	// Ring is how many bytes the ring may take; 0: 128 MiB for a lossless live
	// camera, whose ring bridges times in which nothing takes frames, else 512 MiB.
	// There are two slots at least.
	Ring int64
	// Unpaced lets a file be read at full speed under Latest, too.
	Unpaced bool
	// OpenTimeout bounds opening, FirstFrame the wait for the first picture
	// after that (a camera may send a key frame only every ten seconds), Silence
	// the time between frames. Defaults 8 s (files 60 s), 15 s, 3 s. A network
	// camera that sends not a byte is told of within Silence in all three; one
	// that answers only after that gets the whole time at the next attempt.
	OpenTimeout, FirstFrame, Silence time.Duration
	// MaxAttempts ends Run with an error when that many attempts in a row brought
	// no picture and none ever came; 0 tries for ever. Finite sources do not try
	// twice.
	MaxAttempts int
	// MinBackoff and MaxBackoff bound the pause between attempts. Defaults
	// 250 ms and 10 s. A camera that does not answer is asked every second
	// whether it does, for as long as it takes, and one that answers and shows
	// nothing is tried again after 1.5 s at most, so that both are back soon
	// after an outage of hours.
	MinBackoff, MaxBackoff time.Duration
	// Resume continues a finite source behind frames that an earlier process
	// has dealt with.
	Resume Resume
}

// Resume is where a finite source goes on.
type Resume struct {
	Epoch string // of the whole run; empty starts a new one
	Seq   uint64 // the next frame
	Start time.Time
}

// Deps is what a Camera needs from its surroundings.
type Deps struct {
	Log    *slog.Logger
	Output Output
	// Epochs hands out epochs; share one among cameras. Nil makes one.
	Epochs *vedette.Epochs
	// Command makes the child process; nil starts this program again. The
	// program must call [ChildMain] when [IsChild] says so.
	Command func() *exec.Cmd
}

// Output takes what a camera gives. Both methods are called by the camera's
// goroutine only, in order.
type Output interface {
	// Frame takes one frame. f belongs to the receiver. The picture it refers
	// to may be read until release is called; under [Every] it must be called,
	// once, from any goroutine, else the source stands still. Under [Latest]
	// release does nothing. Frame must not block for long under Latest: pictures
	// are overwritten meanwhile. An error ends the camera's Run.
	Frame(ctx context.Context, f *vedette.Frame, release func()) error
	// State tells of a change. It must not block.
	State(ctx context.Context, s State)
}

// Phase is the state of a camera.
type Phase string

// The phases of a camera.
const (
	Connecting Phase = "connecting"
	Online     Phase = "online"  // the first picture was decoded
	Offline    Phase = "offline" // will try again; Reason says why
	Ended      Phase = "ended"   // Run is about to return; Reason is "eof" or why
)

// away reports whether there are no pictures yet, or for a while.
func (p Phase) away() bool { return p == Connecting || p == Offline }

// State is what a camera is doing. Its texts have no secrets.
type State struct {
	Camera string
	Phase  Phase
	Reason string
	Err    error // the reason as an error, nil unless Offline or Ended for one
	Epoch  string
	// Reconnects counts connections after the first, Restarts the child
	// processes of finite sources that took the place of a failed one, Planned
	// those of all sources that replaced one before it took too much.
	Reconnects, Restarts, Planned uint64
	// Since is when the phase began, and for a camera that is away when that did:
	// neither an attempt nor another reason begins it anew.
	Since time.Time
	// FPS is the source's own frame rate and Total the number of frames it says
	// it has (an estimate for videos); 0 when unknown.
	FPS   float64
	Total uint64
}

// Defaults and limits of a Config.
const (
	defaultOpenTimeout = 8 * time.Second
	defaultFileTimeout = 60 * time.Second
	defaultFirstFrame  = 15 * time.Second
	defaultSilence     = 3 * time.Second
	defaultMinBackoff  = 250 * time.Millisecond
	defaultMaxBackoff  = 10 * time.Second
	maxFPS             = 1000
	maxDecoderThreads  = 8
)

var decoders = []string{"software", "auto", "vaapi", "mfx", "cuda"}

// withDefaults fills in what is not set.
func (c Config) withDefaults() Config {
	setDefault(&c.Delivery, Latest)
	setDefault(&c.Transport, "tcp")
	setDefault(&c.Decode, "software")
	setDefault(&c.Slots, ring.DefaultSlots)
	if c.Source.finite {
		// A file does not come and go: on a machine that starts many at once it
		// only takes its time.
		setDefault(&c.OpenTimeout, defaultFileTimeout)
	}
	setDefault(&c.OpenTimeout, defaultOpenTimeout)
	setDefault(&c.FirstFrame, defaultFirstFrame)
	setDefault(&c.Silence, defaultSilence)
	setDefault(&c.MinBackoff, defaultMinBackoff)
	setDefault(&c.MaxBackoff, defaultMaxBackoff)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	d := c.withDefaults()
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	if err := vedette.CheckID(c.ID); err != nil {
		errs = append(errs, fmt.Errorf("camera %w", err))
	}
	bad(c.Source.kind == "", "source: there is none")
	bad(d.Delivery != Latest && d.Delivery != Every, "delivery: must be latest or every (got %q)", d.Delivery)
	bad(d.FPS < 0 || d.FPS > maxFPS || d.FPS != d.FPS, "fps: must be 0 to %d (got %v)", maxFPS, d.FPS)
	bad(d.Transport != "tcp" && d.Transport != "udp", "transport: must be tcp or udp (got %q)", d.Transport)
	bad(!slices.Contains(decoders, d.Decode), "decode: must be one of %s (got %q)", strings.Join(decoders, ", "), d.Decode)
	bad(d.DecoderThreads < 0 || d.DecoderThreads > 64, "decoder_threads: must be 0 to 64 (got %d)", d.DecoderThreads)
	bad(d.Slots < 2 || d.Slots > ring.MaxSlots, "slots: must be 2 to %d (got %d)", ring.MaxSlots, d.Slots)
	bad(d.Memory != 0 && d.Memory < MinMemory, "memory: must be 0 or at least %d MiB (got %d bytes)", MinMemory>>20, d.Memory)
	bad(d.CPU != 0 && !(d.CPU >= MinCPU && d.CPU <= MaxCPU), "cpu: must be 0 or %v to %v (got %v)", MinCPU, MaxCPU, d.CPU)
	bad(d.MaxAttempts < 0, "max_attempts: must not be negative (got %d)", d.MaxAttempts)
	bad(d.MinBackoff < 0 || d.MaxBackoff < d.MinBackoff, "backoff: must be 0 < min <= max (got %v, %v)", d.MinBackoff, d.MaxBackoff)
	bad(d.OpenTimeout < 0 || d.FirstFrame < 0 || d.Silence < 0, "timeouts: must not be negative")
	bad(c.Resume.Seq > 0 && (c.Resume.Epoch == "" || !c.Source.finite), "resume: needs an epoch and a source that ends")
	return errors.Join(errs...)
}
