package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

func (r *benchReport) print(w io.Writer, format string) error {
	if format == "json" {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	var b strings.Builder
	r.head(&b)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	r.costs(t)
	r.throughput(t)
	t.Flush()
	r.cameras(&b)
	if len(r.Budgets) > 0 {
		fmt.Fprintln(t, "\nbudget\tmeasured\tallowed\tused\t\t")
		for _, g := range r.Budgets {
			met := "ok"
			if !g.Met {
				met = "MISSED"
			}
			fmt.Fprintf(t, "%s\t%g\t%g\t%.0f %%\t%s\t\n", g.What, g.Value, g.Budget, 100*g.Used, met)
		}
		t.Flush()
	}
	for _, n := range r.Notes {
		fmt.Fprintln(&b, "\n"+n)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// head says what was measured on what.
func (r *benchReport) head(b *strings.Builder) {
	m := &r.Machine
	fmt.Fprintf(b, "%s\n%s, %d cores, %.1f GB, %s, Linux %s, load %.1f before\n", r.Version, m.CPU, m.Cores, float64(m.Memory)/1e9, m.OS, m.Kernel, m.Load1)
	model, source := "", strings.Join(r.Sources, ", ")
	if r.Engine != "" {
		model = r.Model + " on " + r.Engine + ", " + r.Device
	}
	if r.OwnModel {
		model += " (made for this: no --model was given)"
	}
	if r.OwnSource {
		source = "a clip made for this: no --source was given"
	}
	if r.Width > 0 {
		source += fmt.Sprintf(" (%d×%d)", r.Width, r.Height)
	}
	if model != "" {
		fmt.Fprintf(b, "Model   %s\n", model)
	}
	fmt.Fprintf(b, "Source  %s\n", source)
	if r.Camera != "" {
		fmt.Fprintf(b, "Camera  %s\n", r.Camera)
	}
	fmt.Fprintf(b, "%g s each, rounds: %d\n\n", r.Seconds, r.Rounds)
}

func (r *benchReport) costs(t io.Writer) {
	if len(r.Parts) > 0 || r.Bus != nil {
		fmt.Fprintln(t, "alone\tfps, all cores\tms of a core for a frame\t")
	}
	for _, p := range r.Parts {
		fmt.Fprintf(t, "%s\t%.1f\t%.3f\t\n", p.Name, p.FPS, p.CPUMillis)
	}
	if r.Bus != nil {
		fmt.Fprintf(t, "reference to a 1080p frame\t\t%.3f\t\n", r.Bus.ReferenceCPUMillis)
		fmt.Fprintf(t, "all hops of a frame\t%.1f\t%.3f\t\n", 1000/r.Bus.Millis, r.Bus.CPUMillis)
		fmt.Fprintf(t, "spool of a lossless live frame\t\t%.3f\t\n", r.Bus.SpoolCPUMillis)
	}
}

func (r *benchReport) throughput(t io.Writer) {
	if len(r.Streams) == 0 {
		return
	}
	fmt.Fprintln(t, "\nstreams\tline fps\tpipeline fps\tratio\thalf of the turns\tline ms of a core\tpipeline\tratio\thalf of the turns\tturns\tmemory MB\tprocesses\t")
	for _, s := range r.Streams {
		if s.Turns > 0 {
			fmt.Fprintf(t, "%d\t%.1f\t%.1f\t%.3f\t%.2f … %.2f\t%.2f\t%.2f\t%.3f\t%.2f … %.2f\t%d\t%.1f\t%d\t\n", s.Streams, s.LineFPS, s.PipelineFPS, s.Ratio,
				s.Spread[0], s.Spread[1], s.LineCPUMillis, s.PipelineCPUMillis, s.CPURatio, s.CPUSpread[0], s.CPUSpread[1], s.Turns, s.MemoryMB, s.Processes)
		}
		if s.SyntheticFPS > 0 {
			fmt.Fprintf(t, "%d\tsynthetic\t%.1f\t\n", s.Streams, s.SyntheticFPS)
		}
	}
}

// cameras is what was seen of cameras, in sentences.
func (r *benchReport) cameras(b *strings.Builder) {
	if l := r.Load; l != nil {
		fmt.Fprintf(b, "\n%d paced streams, %.1f fps (%.0f %% of the pipeline's limit): capture → published p50 %.1f ms, p99 %.1f ms; engine %.1f ms; %d dropped\n",
			l.Streams, l.FPS, 100*l.Share, l.P50, l.P99, l.InferMillis, l.Dropped)
	}
	for _, g := range r.Glass {
		cpus := ""
		if g.CPUs > 0 {
			cpus = fmt.Sprintf(", as with %d CPUs", g.CPUs)
		}
		fmt.Fprintf(b, "\nglass → published over RTSP%s: p50 %.1f ms, p99 %.1f ms of %d frames\n", cpus, g.P50, g.P99, g.Frames)
	}
	if r.Start != nil {
		fmt.Fprintf(b, "\nstart → first detection: %.2f s from a file, %.2f s from RTSP\n", r.Start.File, r.Start.RTSP)
	}
	for _, f := range r.Recovery {
		fmt.Fprintf(b, "\na %s camera: noticed after %.2f s, %.2f s from its return to the next detection\n", f.What, f.Noticed, f.Back)
	}
	for _, m := range r.Memory {
		fmt.Fprintf(b, "\nmemory with %d 1080p cameras: %.1f MB\n", m.Cameras, m.MB)
	}
	if each, base, ok := perCamera(r.Memory); ok {
		fmt.Fprintf(b, "that is %.1f MB for each camera and %.1f MB besides\n", each, base)
	}
}
