//go:build !cv

package pipeline_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// revised is the network that reads bar codes in another edition: for pictures
// of another size, or the same network in a file of other bytes.
func revised(size int, revision byte) pipeline.Model {
	onnx := onnxtest.BarcodeReaderOf(1, size)
	if revision > 0 {
		onnx = append(onnx, 0x10, revision) // a field that nobody knows
	}
	m := builtIn(onnx, onnxtest.BarcodeManifestOf(size))
	m.Engine, m.Workers = "gorgonia", 1
	return m
}

func (i *instance) sums() (sums []string) {
	for _, m := range i.Status().Models {
		if m.State == string(infer.StateOK) {
			sums = append(sums, m.SHA256)
		}
	}
	return sums
}

// with is a configuration with other models.
func with(cfg pipeline.Config, models ...pipeline.Model) pipeline.Config {
	cfg.Models = models
	return cfg
}

// revise has an instance take a configuration.
func (i *instance) revise(cfg pipeline.Config) pipeline.Changes {
	i.t.Helper()
	changes, err := i.Reconfigure(i.t.Context(), cfg)
	if err != nil {
		i.t.Fatal(err)
	}
	return changes
}

// changed checks that a change is of one model and nothing else.
func changed(t *testing.T, c pipeline.Changes, what string, waits bool) {
	t.Helper()
	if len(c.Added)+len(c.Removed)+len(c.Changed) > 0 || len(c.Models) != 1 || c.Models[0].What != what || c.Models[0].Waits != waits {
		t.Errorf("changes %+v, want one model %s, waits: %v", c, what, waits)
	}
}

// byEdition are the hashes of the models of results, in order without repeats.
func byEdition(out []*vedette.Detection) (sums []string) {
	for _, d := range out {
		sums = append(sums, d.Model.SHA256)
	}
	return slices.Compact(sums)
}

func sum(m pipeline.Model) string { return m.Loaded.Report.SHA256 }

// A model is changed while frames come, to one for larger pictures and to one in
// another file, first at the workers and then at the owner, and the other way
// round. Each frame has one result, of one of the three, in their order.
func TestModelsAreChangedAtWork(t *testing.T) {
	for name, source := range map[string]string{"spooled": "rtsp://192.0.2.1/line", "not spooled": "synthetic://bars?frames=9"} {
		t.Run(name, func(t *testing.T) { changeAtWork(t, source) })
	}
}

func changeAtWork(t *testing.T, source string) {
	line := func() []pipeline.Camera {
		return []pipeline.Camera{camera(t, "line", source, preprocess.Every, reader())}
	}
	p := newPlant(t)
	var workers []*instance
	for _, host := range []string{"far-1", "far-2"} {
		workers = append(workers, p.start(p.config(worker, host, nil)))
	}
	o := p.start(p.config(owner, "here", line()))
	first, second, third := reader(), revised(256, 0), revised(256, 1)
	end := p.filmUntil(p.drawn("here", "line", preprocess.Every), o, "line", 5*time.Millisecond)
	results := func(m pipeline.Model) func() bool {
		out := o.counts("line").Inferred
		return func() bool { return o.counts("line").Inferred > out+20 && o.uses(sum(m)) }
	}
	p.await("results of the first", results(first))

	for _, w := range workers {
		changed(t, w.revise(with(p.config(worker, "", nil), second)), "changed", false)
		if got := w.sums(); !slices.Equal(got, []string{sum(second), sum(first)}) {
			t.Errorf("served are %v", got)
		}
	}
	p.await("more results of the first, which the owner still uses", results(first))
	changed(t, o.revise(with(p.config(owner, "here", line()), second)), "changed", false)
	p.await("results of the second", results(second))
	for _, w := range workers {
		p.await("the end of the first", func() bool { return slices.Equal(w.sums(), []string{sum(second)}) })
	}

	changed(t, o.revise(with(p.config(owner, "here", line()), third)), "changed", true)
	p.await("more results of the second, since nobody has the third", results(second))
	for _, w := range workers {
		w.revise(with(p.config(worker, "", nil), third))
	}
	p.await("results of the third", results(third))
	frames := end()
	p.checkWhole("line", frames)
	if got := byEdition(p.results("line", frames)); !slices.Equal(got, []string{sum(first), sum(second), sum(third)}) {
		t.Errorf("results of %v", got)
	}
	if a := o.account("line"); a.Inferred != uint64(frames) || a.Balance() != 0 {
		t.Errorf("account %+v", a)
	}
	p.checkStored(frames)
}

// uses reports whether frames are inferred with a file, and nothing else.
func (i *instance) uses(sum string) bool {
	uses := i.Status().Uses
	return len(uses) > 0 && !slices.ContainsFunc(uses, func(u pipeline.ModelUse) bool { return u.State == pipeline.UseNow && u.SHA256 != sum })
}

// both is a configuration of owner and workers in one instance.
func (p *plant) both(cameras []pipeline.Camera, models ...pipeline.Model) pipeline.Config {
	cfg := p.config(owner, "here", cameras)
	cfg.Stages.Infer = true
	if models != nil {
		cfg.Models = models
	}
	return cfg
}

// What cannot be loaded is refused, and nothing else of that configuration is
// done; the model at work goes on.
func TestBadModelsAreRefused(t *testing.T) {
	p := newPlant(t)
	i := p.start(p.both(cameras(t, preprocess.Every, "line")))
	end := p.filmUntil(p.drawn("here", "line", preprocess.Every), i, "line", 2*time.Millisecond)
	p.await("results", func() bool { return i.counts("line").Inferred > 20 })
	more := cameras(t, preprocess.Every, "line", "new")
	for name, change := range map[string]func(*pipeline.Model){
		"not ONNX":                 func(m *pipeline.Model) { m.Loaded.ONNX = []byte("no network") },
		"an operator nobody knows": func(m *pipeline.Model) { m.Loaded.ONNX = onnxtest.UnknownOperator(128) },
		"a decoder nobody has":     func(m *pipeline.Model) { m.Loaded.Manifest.Output.Decoder = "tea-leaves" },
		"a device nobody has":      func(m *pipeline.Model) { m.Device = "cuda:7" },
		"no size":                  func(m *pipeline.Model) { m.Loaded.Manifest.Input.Width = 0 },
		"no way to resize":         func(m *pipeline.Model) { m.Loaded.Manifest.Input.Resize = "fold" },
	} {
		m := revised(128, 2)
		change(&m)
		changes, err := i.Reconfigure(t.Context(), p.both(more, m))
		if err == nil || !strings.Contains(err.Error(), "model barcode") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: the error is %v", name, err)
		}
		if len(changes.Added)+len(changes.Models) > 0 || len(i.Status().Cameras) != 1 || !slices.Equal(i.sums(), []string{sum(reader())}) {
			t.Errorf("%s: changes %+v, served are %v", name, changes, i.sums())
		}
	}
	// A second model of the configuration that is bad costs the good one its change.
	other := revised(128, 3)
	other.Loaded.Manifest.Name = "other"
	other.Loaded.ONNX = []byte("no network")
	if _, err := i.Reconfigure(t.Context(), p.both(more, revised(256, 0), other)); err == nil || !strings.Contains(err.Error(), "model other") {
		t.Errorf("the error is %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := i.Reconfigure(ctx, p.both(more, revised(256, 0))); err == nil {
		t.Error("an interrupted change was made")
	}
	if !slices.Equal(i.sums(), []string{sum(reader())}) {
		t.Errorf("served are %v", i.sums())
	}
	p.checkWhole("line", end())
}

// Models come and go with their cameras; the other model's camera loses nothing,
// and nothing of a model stays that is gone.
func TestModelsComeAndGo(t *testing.T) {
	p := newPlant(t)
	keep := cameras(t, preprocess.Every, "keep")
	i := p.start(p.both(keep))
	end := p.filmUntil(p.drawn("here", "keep", preprocess.Every), i, "keep", 5*time.Millisecond)
	extra := revised(256, 1)
	extra.Loaded.Manifest.Name = "extra"
	both := append(slices.Clone(keep), camera(t, "more", "rtsp://192.0.2.1/more", preprocess.Latest, extra))
	for round := range 3 {
		c := i.revise(p.both(both, revised(128, 0), extra))
		if len(c.Models) != 1 || c.Models[0].What != "added" || c.Models[0].Name != "extra" || !slices.Equal(c.Added, []string{"more"}) {
			t.Errorf("changes %+v", c)
		}
		film := sync.OnceFunc(p.film(p.drawn("here", "more", preprocess.Latest), 50, 5*time.Millisecond))
		p.await("results of the added model", func() bool {
			return slices.ContainsFunc(i.Status().Cameras, func(c pipeline.CameraStatus) bool { return c.Accounts["extra"].Inferred > 2 })
		})
		if !strings.Contains(i.page(t), `"extra"`) {
			t.Error("the added model has no metrics")
		}
		if round == 1 {
			film()
		}
		c = i.revise(p.both(keep, revised(128, 0)))
		if len(c.Models) != 1 || c.Models[0].What != "removed" || !slices.Equal(c.Removed, []string{"more"}) {
			t.Errorf("changes %+v", c)
		}
		film()
		p.await("the end of the model", func() bool { return len(i.Status().Models) == 1 })
		p.await("the end of its metrics", func() bool { return !strings.Contains(i.page(t), `"extra"`) })
	}
	if up := i.page(t); !strings.Contains(up, `vedette_model_up{model="barcode"} 1`) {
		t.Error("the model that stays is not up")
	}
	p.checkWhole("keep", end())
	gone := p.both(cameras(t, preprocess.Every, "keep"), extra)
	if _, err := i.Reconfigure(t.Context(), gone); err == nil || !strings.Contains(err.Error(), `camera keep: there is no model "barcode"`) {
		t.Errorf("a camera without its model: %v", err)
	}
}

// Settings of a model are changed with the model beside it; what is under way is
// answered. Going back takes what is still there.
func TestSettingsOfAModel(t *testing.T) {
	p := newPlant(t)
	cams := cameras(t, preprocess.Every, "line")
	i := p.start(p.both(cams))
	end := p.filmUntil(p.drawn("here", "line", preprocess.Every), i, "line", 2*time.Millisecond)
	for _, c := range []struct {
		name   string
		change func(*pipeline.Model)
	}{
		{"workers", func(m *pipeline.Model) { m.Workers = 2 }},
		{"weight", func(m *pipeline.Model) { m.Weight = 3 }},
		{"timeout", func(m *pipeline.Model) { m.Timeout = 7 * time.Second }},
		{"threads", func(m *pipeline.Model) { m.Threads = 2 }},
		{"batch", func(m *pipeline.Model) { m.Batch.MaxWait = time.Millisecond }},
		{"back to the first", func(*pipeline.Model) {}},
	} {
		m := revised(128, 0)
		c.change(&m)
		changed(t, i.revise(p.both(cams, m)), "changed", false)
		if again := i.revise(p.both(cams, m)); len(again.Models) != 0 {
			t.Errorf("%s: the same again is a change: %+v", c.name, again)
		}
		p.await("one model", func() bool { return len(i.Status().Models) == 1 })
		s := i.Status().Models[0]
		if s.Workers != m.Workers || s.Leaving || s.SHA256 != sum(m) || (m.Weight > 0 && s.Weight != m.Weight) {
			t.Errorf("%s: the model is %+v", c.name, s)
		}
	}
	p.checkWhole("line", end())
	if a := i.account("line"); a.Failed > 0 || len(a.Dropped) > 0 {
		t.Errorf("account %+v", a)
	}
}

// A camera that wants objects of a lower score has the model loaded to give them.
func TestLowerScores(t *testing.T) {
	p := newPlant(t)
	m := revised(128, 0)
	m.Loaded.Manifest.Output.MinScore = 0.99 // white is not quite that white
	cams := cameras(t, preprocess.Every, "line")
	i := p.start(p.both(cams, m))
	cams = cameras(t, preprocess.Every, "line")
	cams[0].Owner.Detect[0].MinScore = 0.5
	c := i.revise(p.both(cams, m))
	if len(c.Models) != 1 || c.Models[0].What != "changed" || !slices.Equal(c.Changed, []string{"line"}) {
		t.Errorf("changes %+v", c)
	}
	wait := p.film(p.drawn("here", "line", preprocess.Every), 20, 0)
	wait()
	p.checkWhole("line", 20)
	cams = cameras(t, preprocess.Every, "line")
	cams[0].Owner.Detect[0].MinScore = 0.7
	if c := i.revise(p.both(cams, m)); len(c.Models) != 0 {
		t.Errorf("a higher score changes the model: %+v", c)
	}
}

// A worker that lacks a model's file serves what owners use: what one changes to,
// and what another still has.
func TestWorkersFollowOwners(t *testing.T) {
	p := newPlant(t)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	first, second := revised(128, 0), revised(256, 0)
	ownerOf := func(host, id string, m pipeline.Model) pipeline.Config {
		return with(p.config(owner, host, cameras(t, preprocess.Every, id)), m)
	}
	here, there := p.start(ownerOf("here", "a", first)), p.start(ownerOf("there", "b", first))
	w := p.start(with(p.config(worker, "far", nil), pipeline.Model{Name: "barcode", Engine: "gorgonia", Workers: 1}))
	ends := map[string]func() int{
		"a": p.filmUntil(p.drawn("here", "a", preprocess.Every), here, "a", 5*time.Millisecond),
		"b": p.filmUntil(p.drawn("there", "b", preprocess.Every), there, "b", 5*time.Millisecond),
	}
	p.await("results", func() bool { return here.counts("a").Inferred > 20 && there.counts("b").Inferred > 20 })
	changed(t, here.revise(ownerOf("here", "a", second)), "changed", false)
	p.await("both editions", func() bool { return here.uses(sum(second)) && there.uses(sum(first)) && len(w.sums()) == 2 })
	for range 2 { // it stays so
		n, m := here.counts("a").Inferred, there.counts("b").Inferred
		p.await("results of both", func() bool { return here.counts("a").Inferred > n+20 && there.counts("b").Inferred > m+20 })
	}
	if c := w.revise(with(p.config(worker, "far", nil), pipeline.Model{Name: "barcode", Engine: "gorgonia", Workers: 1})); len(c.Models) > 0 {
		t.Errorf("the same configuration again changes %+v", c)
	}
	there.revise(ownerOf("there", "b", second))
	p.await("one edition", func() bool { return slices.Equal(w.sums(), []string{sum(second)}) })
	for id, end := range ends {
		frames := end()
		p.checkWhole(id, frames)
		if got := byEdition(p.results(id, frames)); !slices.Equal(got, []string{sum(first), sum(second)}) {
			t.Errorf("%s: results of %v", id, got)
		}
	}
}

// What waits in the spool of a camera when that is changed has its results, each
// once and in order, before those of the camera as it is from then on.
func TestChangedCameraKeepsItsSpool(t *testing.T) {
	const before, behind = 30, 20
	p := newPlant(t)
	o := p.start(p.config(owner, "here", cameras(t, preprocess.Every, "line")))
	c := p.drawn("here", "line", preprocess.Every)
	p.film(c, before, 0)()
	if a := o.counts("line"); a.InFlight != before { // nobody runs the model
		t.Errorf("account %+v", a)
	}
	other := cameras(t, preprocess.Every, "line")
	other[0].Owner.Detect[0].MinScore = 0.3
	if c := o.revise(p.config(owner, "here", other)); !slices.Equal(c.Changed, []string{"line"}) {
		t.Errorf("changes %+v", c)
	}
	p.film(c, behind, 0)()
	p.start(p.config(worker, "far", nil))
	p.checkWhole("line", before+behind)
	p.checkStored(before + behind)
	if a := o.account("line"); a.Inferred != before+behind || a.Balance() != 0 {
		t.Errorf("account %+v", a)
	}
}
