package obs

import (
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics counts and times what the pipeline does, in a registry of its own.
// Make one with [New]; all methods are safe for concurrent use and cheap
// enough for every frame.
//
// Labels are bounded: cameras and models are those of the configuration, all
// other values come from fixed sets. A value that is no plain short word, or
// one reason too many, is counted as "other" and cannot make the number of
// series grow.
type Metrics struct {
	registry *prometheus.Registry
	reasons  bounded
	recent   *recent

	captured       *prometheus.CounterVec
	frames         *prometheus.CounterVec
	inFlight       *prometheus.GaugeVec
	sourceGap      *prometheus.CounterVec
	unstored       *prometheus.CounterVec
	stage          *prometheus.HistogramVec
	latency        *prometheus.HistogramVec
	cameraUp       *prometheus.GaugeVec
	reconnects     *prometheus.CounterVec
	planned        *prometheus.CounterVec
	queueDepth     *prometheus.GaugeVec
	spool          *prometheus.GaugeVec
	spoolLimit     *prometheus.GaugeVec
	engineRun      *prometheus.HistogramVec
	engineFallback *prometheus.CounterVec
	models         modelMetrics
}

// Names of labels.
const (
	labelCamera = "camera"
	labelModel  = "model"
)

// New returns metrics of a program of that version. The revision and the
// version of Go come from the build itself.
func New(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), reasons: bounded{most: maxReasons}, recent: newRecent()}
	m.captured = m.counter("frames_captured_total",
		"Frames of a camera that a model was to see. Equals the sum of vedette_frames_total plus vedette_frames_in_flight.", labelCamera, labelModel)
	m.frames = m.counter("frames_total",
		"Frames by what finally became of them: inferred, gated, dropped, expired, unfit or failed.", labelCamera, labelModel, "result", "reason")
	m.inFlight = m.gauge("frames_in_flight",
		"Frames of which it is not known yet what becomes of them.", labelCamera, labelModel)
	m.sourceGap = m.counter("source_gap_frames_total",
		"Frames that the source itself left out, judged by its presentation times.", labelCamera)
	m.unstored = m.counter("results_unstored_total",
		"Results that were published live while the store refused them, as with a full disk.", labelCamera, labelModel)
	m.stage = m.histogram("stage_duration_seconds",
		"Time a frame spent in a stage.", "stage", labelCamera, labelModel)
	m.latency = m.histogram("detection_latency_seconds",
		"Time from capture (decoded) to the detection being published.", labelCamera, labelModel)
	m.cameraUp = m.gauge("camera_up",
		"1 while the camera delivers frames. 0: it is being connected, is away, or was a file and came to its end; vedette status says which.", labelCamera)
	m.reconnects = m.counter("camera_reconnects_total",
		"Times the camera was connected again after it was lost.", labelCamera)
	m.planned = m.counter("camera_planned_restarts_total",
		"Times the camera's capture process was replaced before it took too much memory or too many processors.", labelCamera)
	m.queueDepth = m.gauge("queue_depth",
		"Frames waiting in a queue.", "queue", labelCamera, labelModel)
	m.spool = m.gauge("spool_bytes",
		"Bytes of lossless frames of live cameras that wait for inference.")
	m.spoolLimit = m.gauge("spool_limit_bytes",
		"Bytes of lossless frames that may wait; further ones fail with spool_full.")
	m.engineRun = m.histogram("engine_run_seconds",
		"Time of one run of the inference engine, which may be a batch.", labelModel, "engine", "device")
	m.engineFallback = m.counter("engine_fallback_total",
		"Times a model runs on another engine or device than the best that was looked for.", labelModel)
	m.models = m.newModelMetrics()
	m.registry.MustRegister(buildInfo(version),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Gatherer is the registry, for tests and for exporters other than [Handler].
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Captured counts n frames that model is to see.
func (m *Metrics) Captured(camera, model string, n uint64) {
	m.captured.WithLabelValues(word(camera), word(model)).Add(float64(n))
	m.inFlight.WithLabelValues(word(camera), word(model)).Add(float64(n))
	m.recent.count(key{kind: kindCaptured, camera: camera, model: model}, n)
}

// Frames counts n frames by what finally became of them. reason is empty where
// the result says it all.
func (m *Metrics) Frames(camera, model, result, reason string, n uint64) {
	m.frames.WithLabelValues(word(camera), word(model), word(result), m.reasons.word(reason)).Add(float64(n))
	m.inFlight.WithLabelValues(word(camera), word(model)).Sub(float64(n))
	if result == kindInferred {
		m.recent.count(key{kind: kindInferred, camera: camera, model: model}, n)
	}
}

// SourceGap counts n frames that the source left out.
func (m *Metrics) SourceGap(camera string, n uint64) {
	m.sourceGap.WithLabelValues(word(camera)).Add(float64(n))
}

// Unstored counts a result that was published and could not be stored.
func (m *Metrics) Unstored(camera, model string) {
	m.unstored.WithLabelValues(word(camera), word(model)).Inc()
}

// StageDuration records the time a frame spent in a stage. model is empty for
// what is done once for all models.
func (m *Metrics) StageDuration(stage, camera, model string, d time.Duration) {
	m.stage.WithLabelValues(word(stage), word(camera), word(model)).Observe(seconds(d))
	m.recent.observe(key{kind: kindStage, stage: stage, model: model}, d)
}

// DetectionLatency records the time from capture to publication.
func (m *Metrics) DetectionLatency(camera, model string, d time.Duration) {
	m.latency.WithLabelValues(word(camera), word(model)).Observe(seconds(d))
	m.recent.observe(key{kind: kindLatency, camera: camera, model: model}, d)
}

// Latency is what [Metrics.DetectionLatency] was told.
func (m *Metrics) Latency(camera, model string) Timing {
	return m.recent.timing(key{kind: kindLatency, camera: camera, model: model})
}

// Rates are those of a camera and model.
func (m *Metrics) Rates(camera, model string) Rates {
	k := key{kind: kindCaptured, camera: camera, model: model}
	r := Rates{Captured: m.recent.rate(k)}
	k.kind = kindInferred
	r.Inferred = m.recent.rate(k)
	return r
}

// Stages is what [Metrics.StageDuration] was told, all cameras together.
func (m *Metrics) Stages() []StageTiming { return m.recent.stages() }

// Runs is what [Metrics.EngineRun] was told of a model.
func (m *Metrics) Runs(model string) Timing {
	return m.recent.timing(key{kind: kindEngine, model: model})
}

// CameraUp says whether the camera delivers frames. A file that came to its end
// does not.
func (m *Metrics) CameraUp(camera string, up bool) {
	v := 0.0
	if up {
		v = 1
	}
	m.cameraUp.WithLabelValues(word(camera)).Set(v)
	m.reconnects.WithLabelValues(word(camera)) // both show 0 until the first
	m.planned.WithLabelValues(word(camera))
}

// CameraReconnected counts one connection after the first.
func (m *Metrics) CameraReconnected(camera string) {
	m.reconnects.WithLabelValues(word(camera)).Inc()
}

// CameraReplaced counts one planned restart of a camera's capture process.
func (m *Metrics) CameraReplaced(camera string) {
	m.planned.WithLabelValues(word(camera)).Inc()
}

// QueueDepth says how many frames wait in a queue. camera or model is empty
// where the queue is shared.
func (m *Metrics) QueueDepth(queue, camera, model string, depth int) {
	m.queueDepth.WithLabelValues(word(queue), word(camera), word(model)).Set(float64(depth))
}

// Spool says how much the spool holds, and may hold.
func (m *Metrics) Spool(used, limit int64) {
	m.spool.WithLabelValues().Set(float64(used))
	m.spoolLimit.WithLabelValues().Set(float64(limit))
}

// EngineRun records one run of an inference engine.
func (m *Metrics) EngineRun(model, engine, device string, d time.Duration) {
	m.engineRun.WithLabelValues(word(model), word(engine), word(device)).Observe(seconds(d))
	m.recent.observe(key{kind: kindEngine, model: model}, d)
}

// EngineFallback counts one fallback to another engine or device.
func (m *Metrics) EngineFallback(model string) {
	m.engineFallback.WithLabelValues(word(model)).Inc()
}

// RemoveCamera deletes every series of a camera that is no longer configured.
// Call it when nothing observes the camera any more: an observation makes its
// series anew.
func (m *Metrics) RemoveCamera(camera string) {
	m.recent.forget(func(k key) bool { return k.camera == camera })
	remove(prometheus.Labels{labelCamera: word(camera)},
		m.captured, m.frames, m.inFlight, m.sourceGap, m.unstored, m.stage, m.latency, m.cameraUp, m.reconnects, m.planned, m.queueDepth)
}

// series are those of one metric.
type series interface {
	DeletePartialMatch(prometheus.Labels) int
}

func remove(only prometheus.Labels, from ...series) {
	for _, v := range from {
		v.DeletePartialMatch(only)
	}
}

const namespace = "vedette"

func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	m.registry.MustRegister(v)
	return v
}

func (m *Metrics) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
	m.registry.MustRegister(v)
	return v
}

func (m *Metrics) histogram(name, help string, labels ...string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets()}, labels)
	m.registry.MustRegister(v)
	return v
}

func buildInfo(version string) prometheus.Collector {
	revision := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "build_info",
		Help:        "1, labelled with what this program was built from.",
		ConstLabels: prometheus.Labels{"version": version, "revision": revision, "go_version": runtime.Version()}})
	g.Set(1)
	return g
}

// seconds is never negative: a clock that was set back is no latency.
func seconds(d time.Duration) float64 { return max(d, 0).Seconds() }

const (
	// other stands for a label value that is not let through.
	other = "other"
	// maxWord is the longest value: as long as an id can be.
	maxWord = 64
	// maxReasons is far above the reasons that exist.
	maxReasons = 64
)

// word returns v when it can be a label value: short, of letters, digits and
// '_', '-', '.', ':'. Anything else, such as an error's text, is "other".
func word(v string) string {
	if len(v) > maxWord {
		return other
	}
	for i := range len(v) {
		c := v[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '_' && c != '-' && c != '.' && c != ':' {
			return other
		}
	}
	return v
}

// bounded lets the first words through, up to a number; the rest is "other".
type bounded struct {
	most int
	mu   sync.RWMutex
	seen map[string]struct{}
}

func (b *bounded) word(v string) string {
	v = word(v)
	if v == "" {
		return ""
	}
	b.mu.RLock()
	_, known := b.seen[v]
	b.mu.RUnlock()
	if known {
		return v
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.seen[v]; !known {
		if len(b.seen) >= b.most {
			return other
		}
		if b.seen == nil {
			b.seen = map[string]struct{}{}
		}
		b.seen[v] = struct{}{}
	}
	return v
}
