package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/infer/decode"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/cv"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// detectAttempts is how often detect tries a source that never gave a picture.
const detectAttempts = 3

// detectOptions are the flags of detect.
type detectOptions struct {
	model                       modelFlags
	fps, minScore               float64
	labels                      []string
	every                       bool
	format, transport, decoding string
	save, saveFrames            string
	shipped                     bool // no --model was given
}

func newDetect(g *globals) *cobra.Command {
	var o detectOptions
	cmd := &cobra.Command{
		Use:   "detect SOURCE…",
		Short: "looks at a video, pictures or a camera once; needs no configuration",
		Long: `Looks at one or several sources and prints what is in them. A SOURCE is a video file, an
image, a folder or glob of images, rtsp://…, http://… (MJPEG), synthetic://…, a device
number, or gstreamer:PIPELINE. Images that follow each other are one source, as a folder is.

synthetic://line is a belt of circuit boards: boards a second (speed=0.5), light=1, noise=3, the
share of boards with defects (defects=0.5) and how many these have at most (max_defects=3), the
share of empty places (empty=0), boards that are hard to judge (plain=false). Like synthetic://bars,
a test card, it takes seed, width, height, fps and frames (0: live, without end):
'synthetic://line?speed=1&frames=100'.

Every frame of a file or image is looked at, or those that --fps asks for; of a live source
the newest frame, unless --every is given.

Exit code 0 when everything was looked at, 1 when something failed, 2 when a SOURCE or a flag is
wrong. A video that is damaged inside is looked at as far as it can be decoded: a line on stderr
says how many frames are lost, "gap_before" of the next result has them as source_gap, and the exit
code is 0. A video that breaks off before its end gives 1.`,
		Example: `  vedette detect video.mp4 --model yolox_nano.onnx
  vedette detect photos/ --format jsonl --save annotated
  vedette detect photos/*.jpg --model yolox-nano
  vedette detect rtsp://viewer:secret@10.0.0.5/stream2 --fps 0.2 --save-frames frames
  vedette detect rtsp://viewer:secret@10.0.0.5/stream2 --fps 5 --min-score 0.5`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runDetect(cmd.Context(), cmd, g, &o, args)
		},
	}
	f := cmd.Flags()
	o.model.register(f)
	f.Float64Var(&o.fps, "fps", 0, "look at this many frames a second (0: all)")
	f.BoolVar(&o.every, "every", false, "lose no frame: the source is slowed to the speed of inference")
	f.Float64Var(&o.minScore, "min-score", 0, "leave out objects below this score (0: what the model's manifest says)")
	f.StringSliceVar(&o.labels, "label", nil, "only objects with these labels")
	f.StringVar(&o.format, "format", "text", "text or jsonl (one detection message a line)")
	f.StringVar(&o.save, "save", "", "folder for annotated pictures")
	f.StringVar(&o.saveFrames, "save-frames", "", "folder for the pictures as they were looked at, without drawings and loss (PNG), to train on")
	f.StringVar(&o.transport, "transport", "tcp", "transport of RTSP: tcp or udp")
	f.StringVar(&o.decoding, "decode", "software", "decoder: auto, software, vaapi, mfx or cuda")
	return cmd
}

func runDetect(ctx context.Context, cmd *cobra.Command, g *globals, o *detectOptions, sources []string) error {
	out, err := newPrinter(cmd.OutOrStdout(), o.format)
	if err != nil {
		return err
	}
	parsed, err := parseSources(sources)
	if err != nil {
		return err
	}
	if err := o.canLook(parsed); err != nil {
		return err
	}
	cfg, err := o.config(sources, parsed)
	if err != nil {
		return err
	}
	watch := newDetectWatch(o, cfg.Cameras)
	if !term.IsTerminal(int(os.Stdout.Fd())) { // else a bar would stand in the midst of the results
		watch.bar = newProgress("looking", -1)
	}
	deps := pipeline.Deps{Log: g.notices(os.Stderr), Version: version, State: watch.state}
	if deps.Evidence, err = o.saver(watch.failed); err != nil {
		return err
	}
	p, err := pipeline.Start(ctx, cfg, deps)
	if err != nil {
		return watch.verdict(ctx, startError(ctx, err))
	}
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	stop, err := p.Bus().SubscribeDetections(ctx, func(d *vedette.Detection, raw []byte) {
		watch.seen(d)
		if err := out.print(d, raw); err != nil {
			watch.failed(err)
			cancel() // nobody gets the rest
		}
	})
	if err != nil {
		return watch.verdict(ctx, errors.Join(err, p.Close()))
	}
	runErr := p.Run(running)
	err = errors.Join(runErr, stop(), p.Close())
	watch.bar.finish()
	watch.summary(sources)
	return watch.verdict(ctx, err)
}

// saver does what --save and --save-frames ask for with each picture; nil: nothing.
func (o *detectOptions) saver(onError func(error)) (func(*vedette.Detection, preprocess.Picture), error) {
	var saves []func(*vedette.Detection, preprocess.Picture)
	if o.saveFrames != "" { // first: the other draws into the picture
		k, err := newFrameKeeper(o.saveFrames, onError)
		if err != nil {
			return nil, err
		}
		saves = append(saves, k.save)
	}
	if o.save != "" {
		a, err := newAnnotator(o.save, onError)
		if err != nil {
			return nil, err
		}
		saves = append(saves, a.save)
	}
	if len(saves) == 0 {
		return nil, nil
	}
	return func(d *vedette.Detection, pic preprocess.Picture) {
		for _, save := range saves {
			save(d, pic)
		}
	}, nil
}

// config makes a pipeline of the flags.
func (o *detectOptions) config(sources []string, parsed []ingest.Source) (pipeline.Config, error) {
	var none pipeline.Config
	if o.fps < 0 {
		return none, usagef("--fps %v: want 0 or more", o.fps)
	}
	if err := scoreRange(o.minScore); err != nil {
		return none, &usageError{err}
	}
	o.shipped = o.model.name == ""
	if o.shipped {
		o.model.name = builtinModels()[0].name
	}
	var cameras []pipeline.Camera
	ids := map[string]bool{}
	for _, src := range ingest.Gather(parsed) {
		id := src.ID()
		for n := 2; ids[id]; n++ {
			id = fmt.Sprintf("%.56s-%d", src.ID(), n)
		}
		ids[id] = true
		c := o.camera(id, src)
		if err := c.Ingest.Validate(); err != nil {
			return none, usagef("--%w", err) // its settings have the names of the flags
		}
		cameras = append(cameras, c)
	}
	if err := checkAll(cameras); err != nil {
		return none, err
	}
	m, err := o.model.load()
	if err != nil {
		return none, err
	}
	if err := knowsLabels(m.Loaded, o.labels); err != nil {
		return none, err
	}
	for _, c := range cameras {
		if videos := c.Ingest.Source.SkippedVideos(); len(videos) > 0 {
			tell("%v: of a folder or glob the pictures are looked at; left out: %s, the first is %s: give videos by their names", c.Ingest.Source, count(len(videos), "video"), videos[0])
		}
	}
	if o.shipped {
		tellDefaultModel("no --model given", otherModel(sources))
	}
	if o.minScore > 0 {
		m.Loaded.Manifest.Output.MinScore = o.minScore
	}
	for i := range cameras {
		cameras[i].Owner.Detect[0].Model = m.Loaded.Manifest.Name
	}
	return pipeline.Config{Models: []pipeline.Model{m}, Cameras: cameras, Bus: bus.Config{}}, nil
}

func parseSources(texts []string) ([]ingest.Source, error) {
	var sources []ingest.Source
	for _, text := range texts {
		src, err := ingest.ParseSource(text)
		if err != nil {
			return nil, &usageError{err}
		}
		sources = append(sources, src)
	}
	return sources, nil
}

// canLook says at once what a build without OpenCV cannot do: all but look at
// picture files. What is not there at all is told as such, by checkAll.
func (o *detectOptions) canLook(sources []ingest.Source) error {
	_, err := cv.Version()
	if err == nil {
		return nil
	}
	for _, src := range sources {
		if src.Kind() != ingest.Images && src.Check() == nil {
			return usagef("detect %v: %w; as it is, it looks at picture files only, with detect and eval", src, err)
		}
	}
	if o.save != "" {
		return usagef("--save draws into pictures: %w", err)
	}
	return nil
}

// canCapture says at once what no frame could get past.
func canCapture(command string) error {
	if _, err := cv.Version(); err != nil {
		return usagef("%s captures pictures: %w", command, err)
	}
	return nil
}

// checkAll reports every source that cannot be there before the first is
// looked at.
func checkAll(cameras []pipeline.Camera) error {
	var errs []error
	for _, c := range cameras {
		if err := c.Ingest.Source.Check(); err != nil {
			errs = append(errs, &usageError{err})
		}
	}
	return errors.Join(errs...)
}

func (o *detectOptions) camera(id string, src ingest.Source) pipeline.Camera {
	delivery := preprocess.Latest
	if o.every || src.Finite() {
		delivery = preprocess.Every
	}
	c := pipeline.Camera{
		Ingest: ingest.Config{
			ID: id, Source: src, Delivery: ingest.Delivery(delivery), FPS: o.fps,
			Transport: o.transport, Decode: o.decoding, MaxAttempts: detectAttempts,
		},
		Owner: preprocess.CameraConfig{
			ID: id, Delivery: delivery, Evidence: o.save != "" || o.saveFrames != "",
			Detect: []preprocess.DetectConfig{{FPS: o.fps, MinScore: o.minScore, Labels: o.labels}},
		},
	}
	if src.Live() {
		fit := preprocess.DefaultFitnessConfig()
		c.Owner.Fitness = &fit
	}
	return c
}

// startError tells a wrong configuration from a failure. A start that was
// interrupted is none.
func startError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	for _, wrong := range []error{bus.ErrConfig, infer.ErrUnsupported, infer.ErrModel, infer.ErrNoDevice, infer.ErrNoLibrary, decode.ErrLayout, pipeline.ErrOwned} {
		if errors.Is(err, wrong) {
			return &usageError{err}
		}
	}
	return err
}

// wrongSource reports whether an error is about what the user named, and not
// about what became of it.
func wrongSource(err error) bool {
	for _, wrong := range []error{ingest.ErrNotFound, ingest.ErrEmptyFile, ingest.ErrNoPictures, ingest.ErrNotVideo, ingest.ErrNoDevice, ingest.ErrNoDecoder} {
		if errors.Is(err, wrong) {
			return true
		}
	}
	return false
}
