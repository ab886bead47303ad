// Command line shows the moving line of circuit boards, as a video file or as a
// camera, and tells the truth about it: one JSON line per frame, with the boards
// in view, where each lies and which defects it has where. The default line is
// that of synthetic://line, and the same seed makes the same boards there.
//
//	go run ./training/cmd/line -out line.mp4 -frames 500   # and line.jsonl
//	go run ./training/cmd/line -rtsp -truth line.jsonl     # until Ctrl-C
//
// Areas and boxes are [x1, y1, x2, y2] in pixels of the frame. The area of a
// board is without its bare rim, and cut at the frame's edge as boxes are; of a
// defect, visible is the share of its box that is in view. The ffmpeg command
// encodes. The camera is an RTSP server on a free port of 127.0.0.1; its frames
// have the time at which they were painted, too, before they were encoded.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/vedette-io/vedette/internal/board"
	"github.com/vedette-io/vedette/internal/fileerr"
	"github.com/vedette-io/vedette/internal/testcam"
	"github.com/vedette-io/vedette/internal/testcam/clip"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "line:", err)
		os.Exit(1)
	}
}

// options are the command's flags.
type options struct {
	out    string
	rtsp   bool
	truth  string
	frames int
	fps    int
	line   board.LineConfig
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	line, err := board.NewLine(o.line)
	if err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "line: ")) // main says it
	}
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		return errors.New("the ffmpeg command encodes the video, and is not installed (package ffmpeg)")
	}
	working, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &show{line: line, fail: cancel, clock: o.rtsp}
	spec := clip.Spec{Width: o.line.Width, Height: o.line.Height, FPS: o.fps, Frames: o.frames, Paint: s.paint}
	if o.rtsp {
		err = o.serve(working, s, spec, stdout, stderr)
	} else {
		err = o.write(working, s, spec)
	}
	if err == nil || ctx.Err() == nil {
		return err
	}
	// The user ended it, and err is what follows from that.
	if o.rtsp {
		return nil
	}
	return errors.New("stopped before the end; nothing was written")
}

// containers are the endings of a video's name that players open everywhere.
func containers() []string { return []string{".mp4", ".mkv", ".mov"} }

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{line: board.DefaultLine()}
	width, height := o.line.Width, o.line.Height
	fs := flag.NewFlagSet("line", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // main says what is wrong, and once
	fs.StringVar(&o.out, "out", "", "video to write: .mp4, .mkv or .mov")
	fs.BoolVar(&o.rtsp, "rtsp", false, "be an RTSP camera on a free port of 127.0.0.1 instead, until Ctrl-C")
	fs.StringVar(&o.truth, "truth", "", "file for the truth (default: beside the video, with the ending .jsonl; with -rtsp the standard output)")
	fs.IntVar(&o.frames, "frames", 500, "length of the video")
	fs.IntVar(&o.fps, "fps", int(o.line.FPS), "frames a second")
	fs.IntVar(&width, "width", width, "of a frame, even")
	fs.IntVar(&height, "height", height, "of a frame, even")
	fs.Uint64Var(&o.line.Seed, "seed", 0, "makes the boards and the noise")
	fs.Float64Var(&o.line.Speed, "speed", o.line.Speed, "boards a second")
	fs.Float64Var(&o.line.Light, "light", o.line.Light, "brightness, 1 is normal")
	fs.Float64Var(&o.line.Noise, "noise", o.line.Noise, "deviation of the sensor's noise in grey levels")
	fs.Float64Var(&o.line.DefectRate, "defects", o.line.DefectRate, "share of the boards that have defects")
	fs.IntVar(&o.line.MaxDefects, "max-defects", o.line.MaxDefects, "most defects of a board")
	fs.Float64Var(&o.line.Empty, "empty", 0, "share of the places on the belt without a board")
	fs.BoolVar(&o.line.Plain, "plain", o.line.Plain, "boards whose design rules let one picture tell a defect from the design (-plain=false: others)")
	err := fs.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fs.SetOutput(stderr)
		fs.Usage()
	}
	if err != nil {
		return nil, err
	}
	framesGiven := false
	fs.Visit(func(f *flag.Flag) { framesGiven = framesGiven || f.Name == "frames" })
	ending := filepath.Ext(o.out)
	switch {
	case fs.NArg() > 0 && o.rtsp:
		return nil, fmt.Errorf("%q is no flag; -rtsp takes no address: the port is a free one of 127.0.0.1 and is shown", fs.Arg(0))
	case fs.NArg() > 0:
		return nil, fmt.Errorf("%q is no flag", fs.Arg(0))
	case o.rtsp == (o.out != ""):
		return nil, errors.New("give either -out FILE or -rtsp")
	case o.rtsp && framesGiven:
		return nil, errors.New("-frames is the length of a video; -rtsp has no end")
	case o.frames < 1:
		return nil, fmt.Errorf("-frames %d: want 1 or more", o.frames)
	case o.fps < 1 || o.fps > 1000:
		return nil, fmt.Errorf("-fps %d: want 1 to 1000", o.fps)
	case width%2 != 0 || height%2 != 0:
		return nil, fmt.Errorf("-width %d -height %d: H.264 wants both even", width, height)
	case o.out != "" && !slices.Contains(containers(), ending):
		return nil, fmt.Errorf("-out %s: its ending must be one of %s", o.out, strings.Join(containers(), ", "))
	case o.out != "" && o.truth == o.out:
		return nil, errors.New("-out and -truth are the same file")
	case o.out != "" && o.truth == "":
		o.truth = strings.TrimSuffix(o.out, ending) + ".jsonl"
	}
	o.line = o.line.Sized(width, height)
	o.line.FPS = float64(o.fps)
	return o, nil
}

// write makes the video and the truth beside it, or neither.
func (o *options) write(ctx context.Context, s *show, spec clip.Spec) (err error) {
	// Made before ffmpeg replaces it, to be told in our words what is wrong.
	video, err := create("-out", o.out)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(o.out))
		}
	}()
	if err := video.Close(); err != nil {
		return err
	}
	truth, err := create("-truth", o.truth)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(o.truth))
		}
	}()
	defer truth.Close() // once more, after an error
	s.to(truth)
	err = clip.WriteFile(ctx, o.out, spec)
	if ctx.Err() != nil {
		err = context.Cause(ctx) // what ffmpeg says follows from it
	}
	if err != nil {
		return err
	}
	if err := errors.Join(s.flush(), truth.Close()); err != nil {
		return fmt.Errorf("write the truth: %w", err)
	}
	return nil
}

// serve is the camera.
func (o *options) serve(ctx context.Context, s *show, spec clip.Spec, stdout, stderr io.Writer) (err error) {
	truth := stdout
	if o.truth != "" {
		f, err := create("-truth", o.truth)
		if err != nil {
			return err
		}
		defer f.Close()
		truth = f
	}
	s.to(truth)
	cam, err := testcam.New(testcam.Options{Video: testcam.Video{Live: &spec}})
	if err != nil {
		return err
	}
	defer cam.Close()
	fmt.Fprintf(stderr, "The line is at %s (Ctrl-C ends it).\n", cam.URL())
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-look.C:
			if err := cam.Err(); err != nil {
				return err
			}
		}
	}
}

// create makes a file that was not there.
func create(name, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	switch {
	case errors.Is(err, os.ErrExist):
		return nil, fmt.Errorf("%s %s is there already: remove it, or choose another name", name, path)
	case err != nil:
		return nil, fmt.Errorf("%s %s cannot be written: %w", name, path, fileerr.Cause(err))
	}
	return f, nil
}
