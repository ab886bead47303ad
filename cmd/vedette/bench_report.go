package main

import (
	"fmt"
	"math"

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
	Camera    string   `json:"camera,omitempty"` // the test camera
	Rounds    int      `json:"rounds"`
	Seconds   float64  `json:"seconds"`

	Parts    []benchPart     `json:"parts"`
	Bus      *benchBus       `json:"bus,omitempty"`
	Streams  []benchStreams  `json:"streams"`
	Load     *benchLoad      `json:"load,omitempty"`
	Glass    []benchGlass    `json:"glass,omitempty"`
	Start    *benchStart     `json:"start,omitempty"`
	Recovery []benchRecovery `json:"recovery,omitempty"`
	Memory   []benchMemory   `json:"memory,omitempty"`
	Notes    []string        `json:"notes,omitempty"`
	Budgets  []benchBudget   `json:"budgets"`
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
	// ReferenceCPUMillis is the reference to a 1080p frame in its ring, from the
	// one who captured it to the owner and back.
	ReferenceCPUMillis float64 `json:"reference_cpu_ms"`
	CPUMillis          float64 `json:"cpu_ms"`
	Millis             float64 `json:"ms"` // from the frame sent to the detection stored
	// SpoolCPUMillis is what the spool adds for a frame of a lossless live camera.
	SpoolCPUMillis float64 `json:"spool_cpu_ms"`
}

// benchStreams is the pipeline on a number of streams.
type benchStreams struct {
	Streams int `json:"streams"`
	// LineFPS is the straight-line program's, in one process per core.
	LineFPS      float64 `json:"line_fps"`
	PipelineFPS  float64 `json:"pipeline_fps"`
	SyntheticFPS float64 `json:"synthetic_fps,omitempty"`
	// Ratio is PipelineFPS ÷ LineFPS, CPURatio LineCPUMillis ÷
	// PipelineCPUMillis. Spread is between which values the middle half of the
	// turns lies.
	Ratio     float64    `json:"ratio"`
	Spread    [2]float64 `json:"ratio_spread"`
	CPURatio  float64    `json:"cpu_ratio"`
	CPUSpread [2]float64 `json:"cpu_ratio_spread"`
	Turns     int        `json:"turns"`
	// Processor time for each frame, of all processes.
	LineCPUMillis     float64 `json:"line_cpu_ms"`
	PipelineCPUMillis float64 `json:"pipeline_cpu_ms"`
	// Memory of all processes of the pipeline, proportional set size.
	MemoryMB  float64 `json:"memory_mb"`
	Processes int     `json:"processes"`

	pairs     [][2]stretch // of turns: the straight line, the pipeline
	synthetic []benchResult
	memory    []int64
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

// benchGlass is from when a camera began to send a frame until its detection
// was published.
type benchGlass struct {
	CPUs   int     `json:"cpus"` // that the machine was made to have; 0: its own
	Frames int     `json:"frames"`
	P50    float64 `json:"p50_ms"`
	P99    float64 `json:"p99_ms"`
}

// benchStart is from the start of the program to its first result, in seconds.
type benchStart struct {
	File float64 `json:"file_s"`
	RTSP float64 `json:"rtsp_s"`
}

// benchMemory is the memory of a number of 1080p cameras.
type benchMemory struct {
	Cameras int     `json:"cameras"`
	MB      float64 `json:"mb"`
}

// benchBudget is a promise and whether it was kept.
type benchBudget struct {
	What   string  `json:"what"`
	Value  float64 `json:"value"`
	Budget float64 `json:"budget"`
	// Used is the share of the budget that is used up; for what has to be at
	// least the budget, Budget ÷ Value.
	Used float64 `json:"used"`
	Met  bool    `json:"met"`
}

func round(v float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(v*p) / p
}

// empty reports whether nothing was measured.
func (r *benchReport) empty() bool {
	return len(r.Parts)+len(r.Streams)+len(r.Glass)+len(r.Recovery)+len(r.Memory) == 0 && r.Bus == nil && r.Load == nil && r.Start == nil
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

// summarise makes the figures of the turns.
func (s *benchStreams) summarise() {
	var line, pipe stretch
	var wall, cpu []float64
	for _, p := range s.pairs {
		line, pipe = line.add(p[0]), pipe.add(p[1])
		if p[0].frames > 0 && p[1].frames > 0 {
			wall = append(wall, p[1].fps()/p[0].fps())
			cpu = append(cpu, p[0].cpuMillis()/p[1].cpuMillis())
		}
	}
	s.Turns = len(s.pairs)
	if line.frames > 0 && pipe.frames > 0 {
		s.LineFPS, s.PipelineFPS = round(line.fps(), 1), round(pipe.fps(), 1)
		s.LineCPUMillis, s.PipelineCPUMillis = round(line.cpuMillis(), 2), round(pipe.cpuMillis(), 2)
		s.Ratio, s.CPURatio = round(pipe.fps()/line.fps(), 3), round(line.cpuMillis()/pipe.cpuMillis(), 3)
		s.Spread, s.CPUSpread = quartiles(wall), quartiles(cpu)
	}
	var synthetic []float64
	for i := range s.synthetic {
		synthetic = append(synthetic, s.synthetic[i].fps())
	}
	s.SyntheticFPS = round(bench.Median(synthetic), 1)
	for _, m := range s.memory {
		s.MemoryMB = max(s.MemoryMB, round(float64(m)/1e6, 1))
	}
}

func quartiles(v []float64) [2]float64 {
	return [2]float64{round(bench.Quantile(v, 0.25), 3), round(bench.Quantile(v, 0.75), 3)}
}

// The budgets; README.md has them, too.
const (
	budgetRatio      = 0.90
	budgetBusShare   = 0.05
	budgetSpoolShare = 0.12
	budgetReference  = 0.1   // ms
	budgetP99        = 100.0 // ms
	budgetP50        = 2.0   // times the engine's run
	budgetGlass      = 300.0 // ms
	budgetFile       = 3.0   // s
	budgetRTSP       = 5.0   // s
	budgetNoticed    = 3.0   // s
	budgetBack       = 3.0   // s: 2 and the interval between key frames, which is 1
	budgetMemory     = 200.0 // MB
	memoryCamera     = 100.0 // MB for each 1080p camera
)

// judge compares with the budgets.
func (r *benchReport) judge() {
	r.Budgets = []benchBudget{}
	atLeast := func(what string, v, budget float64) {
		r.Budgets = append(r.Budgets, benchBudget{what, v, budget, round(budget/v, 2), v >= budget})
	}
	atMost := func(what string, v, budget float64) {
		r.Budgets = append(r.Budgets, benchBudget{what, v, budget, round(v/budget, 2), v <= budget})
	}
	for _, s := range r.Streams {
		if s.Ratio > 0 {
			atLeast(fmt.Sprintf("pipeline ÷ straight line by the clock, %d streams", s.Streams), s.Ratio, budgetRatio)
			atLeast(fmt.Sprintf("straight line ÷ pipeline by processor time, %d streams", s.Streams), s.CPURatio, budgetRatio)
		}
	}
	if r.Bus != nil {
		atMost("reference to a 1080p frame, ms of a core", r.Bus.ReferenceCPUMillis, budgetReference)
	}
	for _, p := range r.Parts {
		if p.Name == modeEngine && r.Bus != nil {
			atMost("all hops of a frame ÷ engine, processor time", round(r.Bus.CPUMillis/p.CPUMillis, 3), budgetBusShare)
			atMost("spool of a lossless live frame ÷ engine, processor time", round(r.Bus.SpoolCPUMillis/p.CPUMillis, 3), budgetSpoolShare)
		}
	}
	if l := r.Load; l != nil {
		atMost(fmt.Sprintf("capture → published at %.0f %% load, p50 ÷ engine", 100*l.Share), round(l.P50/l.InferMillis, 2), budgetP50)
		atMost(fmt.Sprintf("capture → published at %.0f %% load, p99 in ms", 100*l.Share), l.P99, budgetP99)
	}
	for _, g := range r.Glass {
		what := "glass → published over RTSP, p99 in ms"
		if g.CPUs > 0 {
			what += fmt.Sprintf(", as with %d CPUs", g.CPUs)
		}
		atMost(what, g.P99, budgetGlass)
	}
	if r.Start != nil {
		atMost("start → first detection from a file, s", r.Start.File, budgetFile)
		atMost("start → first detection from RTSP, s", r.Start.RTSP, budgetRTSP)
	}
	r.judgeCameras(atMost)
}

func (r *benchReport) judgeCameras(atMost func(what string, v, budget float64)) {
	for _, what := range []string{"killed", "frozen"} {
		noticed, back := 0.0, 0.0
		for _, f := range r.Recovery {
			if f.What == what {
				noticed, back = max(noticed, f.Noticed), max(back, f.Back)
			}
		}
		if noticed > 0 {
			atMost("a "+what+" camera is noticed, s", noticed, budgetNoticed)
			atMost("a "+what+" camera is back, s", back, budgetBack)
		}
	}
	for _, m := range r.Memory {
		atMost(fmt.Sprintf("memory of %d 1080p cameras, MB", m.Cameras), m.MB, budgetMemory+memoryCamera*float64(m.Cameras))
	}
}

// perCamera is what each further camera needs, and what there is without any.
func perCamera(all []benchMemory) (each, base float64, ok bool) {
	if len(all) < 2 {
		return 0, 0, false
	}
	a, b := all[0], all[len(all)-1]
	if a.Cameras == b.Cameras {
		return 0, 0, false
	}
	each = (b.MB - a.MB) / float64(b.Cameras-a.Cameras)
	return each, a.MB - each*float64(a.Cameras), true
}
