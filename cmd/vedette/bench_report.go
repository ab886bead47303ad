package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"github.com/vedette-io/vedette/internal/bench"
)

// benchReport is the result of bench, as --format json prints it.
type benchReport struct {
	Version string        `json:"version"`
	Machine bench.Machine `json:"machine"`
	Model   string        `json:"model"`
	Engine  string        `json:"engine"`
	Device  string        `json:"device"`
	// OwnModel and OwnSource say that none was given.
	OwnModel  bool     `json:"own_model"`
	OwnSource bool     `json:"own_source"`
	Sources   []string `json:"sources"`
	Width     int      `json:"width"`
	Height    int      `json:"height"`
	Rounds    int      `json:"rounds"`
	Seconds   float64  `json:"seconds"`

	Parts   []benchPart    `json:"parts"`
	Bus     *benchBus      `json:"bus,omitempty"`
	Streams []benchStreams `json:"streams"`
	Load    *benchLoad     `json:"load,omitempty"`
	Budgets []benchBudget  `json:"budgets"`
}

// benchPart is one part of the work alone, on all cores.
type benchPart struct {
	Name string  `json:"name"`
	FPS  float64 `json:"fps"`
	// CPUMillis is processor time for each frame: unlike FPS it hardly depends
	// on what else the machine does.
	CPUMillis float64 `json:"cpu_ms"`
}

// benchBus is what the hops of a frame cost.
type benchBus struct {
	CPUMillis float64 `json:"cpu_ms"`
	Millis    float64 `json:"ms"` // from the frame sent to the detection stored
}

// benchStreams is the pipeline on a number of streams.
type benchStreams struct {
	Streams int `json:"streams"`
	// LineFPS is the straight-line program's, in one process per core. Ratio is
	// the median of the rounds' PipelineFPS ÷ LineFPS.
	LineFPS      float64   `json:"line_fps"`
	PipelineFPS  float64   `json:"pipeline_fps"`
	Ratio        float64   `json:"ratio"`
	Ratios       []float64 `json:"ratios"`
	SyntheticFPS float64   `json:"synthetic_fps"`
	// Processor time for each frame, of all processes.
	LineCPUMillis     float64 `json:"line_cpu_ms"`
	PipelineCPUMillis float64 `json:"pipeline_cpu_ms"`
	// From capture to publication, at full speed: a lossless file is read ahead
	// as far as its ring allows, so that waiting is most of it.
	P50 float64 `json:"latency_p50_ms"`
	P99 float64 `json:"latency_p99_ms"`
	// Memory of all processes of the pipeline, proportional set size.
	MemoryMB  float64 `json:"memory_mb"`
	Processes int     `json:"processes"`

	line, pipeline, synthetic []benchResult
}

// benchLoad is the latency at 70 % load.
type benchLoad struct {
	Streams     int     `json:"streams"`
	FPS         float64 `json:"fps"`
	Share       float64 `json:"share"` // of the pipeline's limit
	Dropped     uint64  `json:"dropped"`
	P50         float64 `json:"latency_p50_ms"`
	P99         float64 `json:"latency_p99_ms"`
	InferMillis float64 `json:"infer_ms"`
}

// benchBudget is a promise and whether it was kept.
type benchBudget struct {
	What   string  `json:"what"`
	Value  float64 `json:"value"`
	Budget float64 `json:"budget"`
	Met    bool    `json:"met"`
}

func round(v float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(v*p) / p
}

// learn takes over what a worker knows.
func (r *benchReport) learn(from *benchResult) {
	if from.Model != "" {
		r.Model, r.Engine, r.Device = from.Model, from.EngineName, from.Device
	}
	if from.Width > 0 {
		r.Width, r.Height = from.Width, from.Height
	}
}

func medianOf(rs []benchResult, f func(*benchResult) float64) float64 {
	v := make([]float64, len(rs))
	for i := range rs {
		v[i] = f(&rs[i])
	}
	return bench.Median(v)
}

// summarise makes the figures of the rounds.
func (s *benchStreams) summarise() {
	s.LineFPS = round(medianOf(s.line, (*benchResult).fps), 1)
	s.PipelineFPS = round(medianOf(s.pipeline, (*benchResult).fps), 1)
	s.SyntheticFPS = round(medianOf(s.synthetic, (*benchResult).fps), 1)
	s.LineCPUMillis = round(medianOf(s.line, (*benchResult).cpuMillis), 2)
	s.PipelineCPUMillis = round(medianOf(s.pipeline, (*benchResult).cpuMillis), 2)
	s.Ratios = []float64{}
	for i := range min(len(s.line), len(s.pipeline)) {
		if line := s.line[i].fps(); line > 0 {
			s.Ratios = append(s.Ratios, round(s.pipeline[i].fps()/line, 3))
		}
	}
	s.Ratio = round(bench.Median(s.Ratios), 3)
	main := s.pipeline
	if len(main) == 0 {
		main = s.synthetic
	}
	s.P50 = round(medianOf(main, func(r *benchResult) float64 { return bench.Quantile(r.Latencies, 0.5) }), 1)
	s.P99 = round(medianOf(main, func(r *benchResult) float64 { return bench.Quantile(r.Latencies, 0.99) }), 1)
	for _, r := range main {
		s.MemoryMB = max(s.MemoryMB, round(float64(r.Memory)/1e6, 1))
		s.Processes = max(s.Processes, r.Processes)
	}
}

// Budgets, see ARCHITECTURE.md.
const (
	budgetRatio    = 0.90
	budgetBusShare = 0.05
	budgetP99      = 100.0
	budgetP50      = 2.0 // times the engine's run
	budgetMemory   = 200.0
	memoryCamera   = 100.0 // for each camera
)

// judge compares with the budgets.
func (r *benchReport) judge() {
	r.Budgets = []benchBudget{}
	atLeast := func(what string, v, budget float64) {
		r.Budgets = append(r.Budgets, benchBudget{what, v, budget, v >= budget})
	}
	atMost := func(what string, v, budget float64) {
		r.Budgets = append(r.Budgets, benchBudget{what, v, budget, v <= budget})
	}
	for _, s := range r.Streams {
		if s.Ratio > 0 {
			atLeast(fmt.Sprintf("pipeline ÷ straight line, %d streams", s.Streams), s.Ratio, budgetRatio)
		}
		if s.MemoryMB > 0 {
			atMost(fmt.Sprintf("memory in MB, %d streams", s.Streams), s.MemoryMB, budgetMemory+memoryCamera*float64(s.Streams))
		}
	}
	for _, p := range r.Parts {
		if p.Name == modeEngine && r.Bus != nil {
			atMost("bus ÷ engine, CPU", round(r.Bus.CPUMillis/p.CPUMillis, 3), budgetBusShare)
		}
	}
	if l := r.Load; l != nil {
		atMost(fmt.Sprintf("p50 ÷ engine at %.0f %% load", 100*l.Share), round(l.P50/l.InferMillis, 2), budgetP50)
		atMost(fmt.Sprintf("p99 in ms at %.0f %% load", 100*l.Share), l.P99, budgetP99)
	}
}

func (r *benchReport) print(w io.Writer, format string) error {
	if format == "json" {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	var b strings.Builder
	m := &r.Machine
	fmt.Fprintf(&b, "%s\n%s, %d cores, %.1f GB, %s, Linux %s, load %.1f before\n", r.Version, m.CPU, m.Cores, float64(m.Memory)/1e9, m.OS, m.Kernel, m.Load1)
	model, source := r.Model+" on "+r.Engine+", "+r.Device, strings.Join(r.Sources, ", ")
	if r.OwnModel {
		model += " (a network made for this: no --model was given)"
	}
	if r.OwnSource {
		source = "a clip made for this: no --source was given"
	}
	fmt.Fprintf(&b, "Model   %s\nSource  %s (%d×%d)\n%d rounds of %g s, medians\n\n", model, source, r.Width, r.Height, r.Rounds, r.Seconds)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	if len(r.Parts) > 0 {
		fmt.Fprintln(t, "alone\tfps, all cores\tCPU ms a frame\t")
		for _, p := range r.Parts {
			fmt.Fprintf(t, "%s\t%.1f\t%.3f\t\n", p.Name, p.FPS, p.CPUMillis)
		}
	}
	if r.Bus != nil {
		fmt.Fprintf(t, "bus\t%.1f\t%.3f\t\n", 1000/r.Bus.Millis, r.Bus.CPUMillis)
	}
	t.Flush()
	if len(r.Streams) > 0 {
		fmt.Fprintln(t, "\nstreams\tstraight line fps\tpipeline fps\tratio\tof rounds\tCPU ms a frame: line\tpipeline\tsynthetic fps\tp50 ms\tp99 ms\tmemory MB\tprocesses\t")
		for _, s := range r.Streams {
			fmt.Fprintf(t, "%d\t%.1f\t%.1f\t%.3f\t%v\t%.2f\t%.2f\t%.1f\t%.1f\t%.1f\t%.1f\t%d\t\n", s.Streams, s.LineFPS, s.PipelineFPS,
				s.Ratio, s.Ratios, s.LineCPUMillis, s.PipelineCPUMillis, s.SyntheticFPS, s.P50, s.P99, s.MemoryMB, s.Processes)
		}
		t.Flush()
	}
	if l := r.Load; l != nil {
		fmt.Fprintf(&b, "\n%d paced streams, %.1f fps (%.0f %% of the pipeline's limit): capture → published p50 %.1f ms, p99 %.1f ms; engine %.1f ms; %d dropped\n",
			l.Streams, l.FPS, 100*l.Share, l.P50, l.P99, l.InferMillis, l.Dropped)
	}
	if len(r.Budgets) > 0 {
		fmt.Fprintln(t, "\nbudget\tmeasured\tallowed\t\t")
		for _, g := range r.Budgets {
			met := "ok"
			if !g.Met {
				met = "MISSED"
			}
			fmt.Fprintf(t, "%s\t%g\t%g\t%s\t\n", g.What, g.Value, g.Budget, met)
		}
		t.Flush()
	}
	_, err := io.WriteString(w, b.String())
	return err
}
