package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/infer/decode"
	"github.com/vedette-io/vedette/internal/cv"
	"github.com/vedette-io/vedette/internal/eval"
	"github.com/vedette-io/vedette/internal/fileerr"
	"github.com/vedette-io/vedette/models"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// evalMinScore lets the doubtful objects through that average precision needs.
const evalMinScore = 0.01

func newEval(g *globals) *cobra.Command {
	var (
		data, detections, format string
		templates                bool
		model                    modelFlags
		opts                     eval.Options
	)
	cmd := &cobra.Command{
		Use:   "eval --data DIR (--model M | --detections FILE)",
		Short: "scores a model, or stored detections, against a data set",
		Long: `Scores a model, or detections stored by an earlier run, against pictures with known objects.

DIR is a YOLO folder (images/, labels/, names.yaml), a COCO JSON file or its folder,
the DeepPCB list, or a folder of VOC-style text files. Detections are a file of vedette detect
--format jsonl, COCO results, the folder of one of these, or a folder of VOC-style text files.

DIR@GROUP,GROUP takes only some groups of a DeepPCB list, the first folders of its lines, and
--templates takes the template of each board as a picture without objects, too.

A picture that the model calls unfit counts as one in which nothing was found, but as no escape
(objects, and nothing was found) and no false reject (no objects, and something was found). A
picture for which there is no answer is left out of every score.`,
		Example: `  vedette eval --model yolox_nano.onnx --data coco64
  vedette eval --detections results.jsonl --data coco64 --format json
  vedette eval --model pcb-defects --data deeppcb@group50600,group77000 --templates`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("format", format, "text", "json"); err != nil {
				return err
			}
			if data == "" {
				return usagef("--data is needed: the folder or file with the known objects")
			}
			if (model.name == "") == (detections == "") {
				return usagef("give either --model or --detections")
			}
			ds, err := eval.Open(data)
			if err != nil {
				return &usageError{fileerr.Named(err)}
			}
			if templates {
				if ds, err = ds.WithTemplates(); err != nil {
					return &usageError{fileerr.Named(err)}
				}
			}
			var result eval.Result
			if detections != "" {
				result, err = evalStored(ds, detections, opts)
			} else {
				result, err = evalModel(cmd.Context(), g, ds, model, opts, !cmd.Flags().Changed("score"))
			}
			if err != nil {
				return err
			}
			if format == "json" {
				return result.JSON(cmd.OutOrStdout())
			}
			return result.Text(cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&data, "data", "", "data set: YOLO folder, COCO JSON, DeepPCB list (all or @GROUP,GROUP), VOC-style folder")
	f.BoolVar(&templates, "templates", false, "DeepPCB: count the boards' templates, too, as pictures without objects")
	f.StringVar(&detections, "detections", "", "stored detections: jsonl of vedette, COCO results, the folder of one, VOC-style folder")
	f.StringVar(&format, "format", "text", "text or json")
	f.Float64Var(&opts.IoU, "iou", 0, "overlap that counts as found (default: the data set's own, else 0.5)")
	f.Float64Var(&opts.Score, "score", 0, "score threshold of the confusion matrix and of the pictures; 0: the one with the best F1 "+
		"(default: with --model the min_score of its manifest, with --detections 0)")
	model.register(f)
	return cmd
}

func evalStored(ds *eval.Dataset, file string, opts eval.Options) (eval.Result, error) {
	dets, err := eval.ReadDetections(file, ds)
	if err != nil {
		return eval.Result{}, &usageError{fileerr.Named(err)}
	}
	return eval.EvaluateStored(ds, dets, opts)
}

// evalModel shows the pictures to a model; with ownScore the threshold is what
// the program runs the model with.
func evalModel(ctx context.Context, g *globals, ds *eval.Dataset, flags modelFlags, opts eval.Options, ownScore bool) (eval.Result, error) {
	if err := ds.HasPictures(); err != nil {
		return eval.Result{}, &usageError{err}
	}
	m, err := flags.load()
	if err != nil {
		return eval.Result{}, err
	}
	if m.Loaded.Manifest.Task != models.Detect {
		return eval.Result{}, usagef("model %s does %s: eval scores detectors", m.Loaded.Manifest.Name, m.Loaded.Manifest.Task)
	}
	output := &m.Loaded.Manifest.Output
	if ownScore {
		opts.Score = cmp.Or(output.MinScore, decode.DefaultMinScore)
	}
	output.MinScore = evalMinScore
	if opts.Score > 0 { // what is counted at a lower score must be let through
		output.MinScore = min(output.MinScore, opts.Score)
	}
	cv.SetThreads(1)
	eng, err := infer.Open(m.Engine, g.log)
	if err != nil {
		return eval.Result{}, err
	}
	served, err := pipeline.Serve(ctx, eng, m, g.log, nil)
	if err != nil {
		return eval.Result{}, err
	}
	defer served.Close()
	direct, err := pipeline.NewDirect(served.Pool, m.Loaded.Manifest.Input)
	if err != nil {
		return eval.Result{}, err
	}
	opts.Labels = m.Loaded.Manifest.Labels
	opts.Parallel = runtime.GOMAXPROCS(0)
	bar := newProgress("evaluating", len(ds.Items))
	opts.Progress = func(done, _ int) { bar.set(done) }
	defer bar.finish()
	return eval.Evaluate(ctx, ds, func(ctx context.Context, item eval.Item) ([]eval.Scored, error) {
		return look(ctx, direct, item)
	}, opts)
}

// look shows one picture of a data set to a model.
func look(ctx context.Context, direct *pipeline.Direct, item eval.Item) ([]eval.Scored, error) {
	file, err := os.ReadFile(item.Path)
	if err != nil {
		return nil, err
	}
	view, err := cv.DecodeImage(file)
	if err != nil {
		return nil, &eval.NotJudged{Status: vedette.StatusFailed, Reason: err.Error()}
	}
	format := vedette.BGR24
	if view.Channels == 1 {
		format = vedette.Gray8
	}
	a, err := direct.Look(ctx, preprocess.Picture{Data: view.Data, Stride: view.Stride, Width: view.Width, Height: view.Height, Format: format})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", item.Name, err)
	}
	return eval.Objects(&vedette.Detection{Status: a.Status, Reason: a.Reason, Objects: a.Objects})
}
