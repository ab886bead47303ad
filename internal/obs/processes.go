package obs

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// labelProcess is the process that a series is from, where several are shown
// together.
const labelProcess = "process"

// Processes are the metrics of processes that are kept running.
type Processes struct {
	up       *prometheus.GaugeVec
	restarts *prometheus.CounterVec

	mu     sync.Mutex
	counts map[string]uint64 // restarts counted so far
}

// NewProcesses adds them to m.
func NewProcesses(m *Metrics) *Processes {
	return &Processes{
		up:       m.gauge("process_up", "1 while the process is at work, else 0.", labelProcess),
		restarts: m.counter("process_restarts_total", "Times the process was started again after it had died.", labelProcess),
		counts:   map[string]uint64{},
	}
}

// Process says how a process is, and how often it was started again so far.
func (p *Processes) Process(name string, up bool, restarts uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	value := 0.0
	if up {
		value = 1
	}
	p.up.WithLabelValues(name).Set(value)
	if n := p.counts[name]; restarts >= n {
		p.restarts.WithLabelValues(name).Add(float64(restarts - n))
		p.counts[name] = restarts
	}
}

// RegisterAll is [Register] for a process that shows the metrics of others as well,
// each with a label that names it. sources are their addresses by name.
func RegisterAll(mux *http.ServeMux, m *Metrics, sources func() map[string]string, ready func() error, log *slog.Logger) {
	others := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return gather(sources(), log), nil })
	register(mux, prometheus.Gatherers{m.registry, others}, ready, log)
}

// gatherTimeout is how long processes get to show their metrics.
const gatherTimeout = 2 * time.Second

// gather asks processes for their metrics. One that does not answer, perhaps
// because it has just died, is left out.
func gather(sources map[string]string, log *slog.Logger) []*dto.MetricFamily {
	ctx, cancel := context.WithTimeout(context.Background(), gatherTimeout)
	defer cancel()
	var (
		asking sync.WaitGroup
		mu     sync.Mutex
		byName = map[string]*dto.MetricFamily{}
	)
	for process, address := range sources {
		asking.Go(func() {
			found, err := ask(ctx, address)
			if err != nil {
				log.Warn("metrics of a process are missing", "process", process, "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for name, f := range found {
				label(f, process)
				if all := byName[name]; all != nil {
					all.Metric = append(all.Metric, f.Metric...)
				} else {
					byName[name] = f
				}
			}
		})
	}
	asking.Wait()
	return slices.SortedFunc(maps.Values(byName), func(a, b *dto.MetricFamily) int { return cmp.Compare(a.GetName(), b.GetName()) })
}

func ask(ctx context.Context, address string) (map[string]*dto.MetricFamily, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("http://%s/metrics: %s", address, resp.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(resp.Body)
}

// label names the process in each series of a family. Labels are in the order of
// their names.
func label(f *dto.MetricFamily, process string) {
	for _, m := range f.Metric {
		name := labelProcess
		m.Label = append(m.Label, &dto.LabelPair{Name: &name, Value: &process})
		slices.SortFunc(m.Label, func(a, b *dto.LabelPair) int { return cmp.Compare(a.GetName(), b.GetName()) })
	}
}
