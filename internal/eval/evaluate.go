package eval

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/vedette-io/vedette"
)

// Options says how to score.
type Options struct {
	// IoU is the overlap that counts as a hit in everything but the COCO
	// scores; 0: what the authors of the data set use, else 0.5.
	IoU float64
	// Score is the threshold of the confusion matrix, of the pictures and of
	// [Result.Chosen]; 0: the one with the best F1, which says what a threshold
	// chosen after the fact could do, not what the model's own does.
	Score float64
	// Labels, where known, are the labels the model can give: classes of the
	// data set that are not among them are noted, and no common label is an
	// error before the first picture.
	Labels []string
	// Parallel is how many pictures [Evaluate] has detected at a time; 0: one.
	Parallel int
	// Progress, if set, is called after each picture, never concurrently.
	Progress func(done, total int)
}

// DetectFunc finds the objects of one picture. It returns a [*NotJudged] error
// for a picture that is unfit or that it has no answer for; any other error ends the evaluation. It
// must be safe for concurrent use when [Options.Parallel] is above 1. Scores
// should go down to 0.05 or lower: average precision needs the doubtful ones.
type DetectFunc func(ctx context.Context, item Item) ([]Scored, error)

// Evaluate shows every picture of ds to detect and scores what it finds. The
// result does not depend on Parallel.
func Evaluate(ctx context.Context, ds *Dataset, detect DetectFunc, opts Options) (Result, error) {
	if err := ds.HasPictures(); err != nil {
		return Result{}, err
	}
	names := newClasses(ds.Classes)
	note, err := names.checkModel(opts.Labels)
	if err != nil {
		return Result{}, err
	}
	outcomes := make([]Outcome, len(ds.Items))
	var mu sync.Mutex
	done := 0
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(max(opts.Parallel, 1))
	for i := range ds.Items {
		if ctx.Err() != nil {
			break
		}
		work.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			o, err := detectOne(ctx, detect, ds.Items[i])
			if err != nil {
				return err
			}
			outcomes[i] = o
			mu.Lock()
			defer mu.Unlock()
			done++
			if opts.Progress != nil {
				opts.Progress(done, len(ds.Items))
			}
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		return Result{}, err
	}
	if err := context.Cause(ctx); done < len(ds.Items) && err != nil {
		return Result{}, err
	}
	notes := slices.Clone(ds.Notes)
	if note != "" {
		notes = append(notes, note)
	}
	return score(ds, outcomes, notes, opts)
}

func detectOne(ctx context.Context, detect DetectFunc, item Item) (Outcome, error) {
	found, err := detect(ctx, item)
	var unjudged *NotJudged
	if errors.As(err, &unjudged) {
		return Outcome{Status: unjudged.Status, Reason: unjudged.Reason}, nil
	}
	if err != nil {
		return Outcome{}, fmt.Errorf("detect in %s: %w", item.Name, err)
	}
	return Outcome{Status: vedette.StatusOK, Found: found}, nil
}

// EvaluateStored scores detections that were stored. They must have been read
// for ds.
func EvaluateStored(ds *Dataset, dets *Detections, opts Options) (Result, error) {
	if len(dets.Outcomes) != len(ds.Items) {
		return Result{}, fmt.Errorf("detections %s were read for another data set than %s", dets.Path, ds.Path)
	}
	note, err := newClasses(ds.Classes).checkModel(opts.Labels)
	if err != nil {
		return Result{}, err
	}
	notes := slices.Concat(ds.Notes, dets.Notes)
	if note != "" {
		notes = append(notes, note)
	}
	return score(ds, dets.Outcomes, notes, opts)
}

// score computes a result from what became of each picture.
func score(ds *Dataset, outcomes []Outcome, notes []string, opts Options) (Result, error) {
	if opts.IoU == 0 {
		opts.IoU = cmp.Or(ds.IoU, 0.5)
	}
	if !(opts.IoU > 0 && opts.IoU <= 1) {
		return Result{}, fmt.Errorf("overlap (IoU) %g: must be above 0 and at most 1", opts.IoU)
	}
	if math.IsNaN(opts.Score) {
		return Result{}, errors.New("score threshold is not a number")
	}
	r := Result{Data: describe(ds), IoU: opts.IoU, Notes: append([]string{}, notes...)}
	r.countAnswers(ds, outcomes)
	if r.Judged == 0 {
		return Result{}, fmt.Errorf("none of the %d pictures was judged (%s: %s): there is nothing to score",
			len(ds.Items), r.NotJudged.Pictures[0].Name, (&NotJudged{r.NotJudged.Pictures[0].Status, r.NotJudged.Pictures[0].Reason}).Error())
	}
	dets, unknown, err := mapLabels(ds, outcomes)
	if err != nil {
		return Result{}, err
	}
	for _, d := range dets {
		r.Found += len(d)
	}
	if r.Found == 0 && len(unknown) > 0 && len(opts.Labels) == 0 {
		return Result{}, fmt.Errorf("no detection has a label of the data set: detected are %s; the data set has %s",
			some(unknown.list()), some(ds.Classes))
	}
	if note := unknown.note(); note != "" {
		r.Notes = append(r.Notes, note)
	}
	r.fill(ds, outcomes, groupByClass(ds, outcomes, dets), opts)
	return r, nil
}

// fill computes every score from the groups.
func (r *Result) fill(ds *Dataset, outcomes []Outcome, groups [][]group, opts Options) {
	coco := scoreCOCO(groups)
	voc := scoreVOC(groups, opts.IoU, ds.Inclusive)
	verdicts := judge(groups, opts.IoU)
	byClass := make([][]verdict, len(groups))
	for _, v := range verdicts {
		byClass[v.class] = append(byClass[v.class], v)
	}
	r.Classes = make([]ClassResult, len(groups))
	positives := 0
	for c, gs := range groups {
		r.Classes[c] = classResult(ds.Classes[c], gs, &coco[c], voc[c])
		positives += r.Classes[c].Objects
	}
	r.COCO = summarize(coco)
	r.VOC = voc[len(groups)]
	r.Curve = curve(verdicts, positives)

	best, ok := bestF1(verdicts, positives)
	if !ok { // nothing was found rightly: no threshold is better than another
		best = pointAt(verdicts, 0.5, positives)
	}
	r.BestF1, r.Chosen = best, best
	if opts.Score != 0 {
		r.Chosen = pointAt(verdicts, opts.Score, positives)
	}
	for c := range r.Classes {
		cr := &r.Classes[c]
		cr.Chosen = pointAt(byClass[c], r.Chosen.Score, cr.Objects)
		if best, ok := bestF1(byClass[c], cr.Objects); ok {
			cr.BestF1 = &best
		}
	}
	slices.SortStableFunc(r.Classes, func(a, b ClassResult) int {
		return cmp.Or(cmp.Compare(b.Objects, a.Objects), cmp.Compare(b.Found, a.Found))
	})
	counted := above(verdicts, r.Chosen.Score)
	r.Confusion = confuse(ds, outcomes, counted, opts.IoU)
	r.Pictures = countPictures(ds, outcomes, counted)
}

func classResult(name string, gs []group, coco *cocoClass, voc VOC) ClassResult {
	c := ClassResult{Name: name, VOC: voc}
	for i := range gs {
		shows := 0
		for t := range gs[i].truth {
			if !gs[i].truth[t].optional() {
				shows++
			}
		}
		if shows > 0 {
			c.Pictures++
		}
		c.Objects += shows
		c.Found += len(gs[i].found)
	}
	if len(gs) == 0 {
		c.AP, c.AP50, c.AP75, c.AR100 = Undefined(), Undefined(), Undefined(), Undefined()
		return c
	}
	s := summarize([]cocoClass{*coco})
	c.AP, c.AP50, c.AP75, c.AR100 = s.AP, s.AP50, s.AP75, s.AR100
	return c
}

func describe(ds *Dataset) DataSummary {
	d := DataSummary{Path: ds.Path, Format: ds.Format, Pictures: len(ds.Items), Classes: len(ds.Classes)}
	for i := range ds.Items {
		for t := range ds.Items[i].Truth {
			if ds.Items[i].Truth[t].optional() {
				d.Optional++
			} else {
				d.Objects++
			}
		}
	}
	return d
}

// countAnswers lists the pictures without an answer and the unfit ones, and
// counts those that are scored.
func (r *Result) countAnswers(ds *Dataset, outcomes []Outcome) {
	r.NotJudged = NotScored{ByStatus: map[vedette.Status]int{}, Pictures: []NotScoredPicture{}}
	r.Unfit = Unfit{Pictures: []NotScoredPicture{}}
	for i := range outcomes {
		o := &outcomes[i]
		picture := NotScoredPicture{Name: ds.Items[i].Name, Status: o.Status, Reason: o.Reason}
		switch {
		case !o.scored():
			r.NotJudged.Total++
			r.NotJudged.ByStatus[o.Status]++
			r.NotJudged.Pictures = append(r.NotJudged.Pictures, picture)
		case o.unfit():
			r.Unfit.Total++
			if ds.Items[i].shows() {
				r.Unfit.WithObjects++
			}
			r.Unfit.Pictures = append(r.Unfit.Pictures, picture)
		}
	}
	r.Judged = len(ds.Items) - r.NotJudged.Total
}

// mapLabels turns labels into classes, and counts those that are none.
func mapLabels(ds *Dataset, outcomes []Outcome) ([][]found, strangers, error) {
	names := newClasses(ds.Classes)
	unknown := strangers{}
	out := make([][]found, len(outcomes))
	for i, o := range outcomes {
		if o.Status != vedette.StatusOK {
			continue
		}
		for _, s := range o.Found {
			if math.IsNaN(s.Score) || math.IsInf(s.Score, 0) || !s.Box.valid() {
				return nil, nil, fmt.Errorf("detection of %q in %s: score %g and box %v: want finite numbers and no negative size",
					s.Label, ds.Items[i].Name, s.Score, s.Box.Box())
			}
			class, ok := names.find(s.Label)
			if !ok {
				unknown[s.Label]++
				continue
			}
			out[i] = append(out[i], found{class: class, score: s.Score, box: s.Box})
		}
	}
	return out, unknown, nil
}
