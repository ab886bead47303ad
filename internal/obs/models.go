package obs

import "github.com/prometheus/client_golang/prometheus"

// modelMetrics are about models, whatever camera uses them.
type modelMetrics struct {
	up       *prometheus.GaugeVec
	reloads  *prometheus.CounterVec
	failures *prometheus.CounterVec
	pictures *prometheus.CounterVec
	places   *prometheus.CounterVec
}

func (m *Metrics) newModelMetrics() modelMetrics {
	return modelMetrics{
		up: m.gauge("model_up",
			"1 while the model is there, 0 while it is loaded anew or was taken out because it keeps failing.", labelModel),
		reloads: m.counter("model_reloads_total",
			"Times the model was loaded anew because it kept failing.", labelModel),
		failures: m.counter("engine_failures_total",
			"Runs that gave no answer: error, timeout (cut off), hang (cut off in vain) or output (an answer without sense).", labelModel, "reason"),
		pictures: m.counter("batch_pictures_total",
			"Pictures that were run. Divided by vedette_engine_run_seconds_count: how many in a run.", labelModel),
		places: m.counter("batch_places_total",
			"Places of the batches that were run; those without a picture are filled up.", labelModel),
	}
}

// ModelUp says whether a model is there.
func (m *Metrics) ModelUp(model string, up bool) {
	v := 0.0
	if up {
		v = 1
	}
	m.models.up.WithLabelValues(word(model)).Set(v)
}

// ModelReloaded counts n times that a model was loaded anew.
func (m *Metrics) ModelReloaded(model string, n uint64) {
	m.models.reloads.WithLabelValues(word(model)).Add(float64(n)) // shows 0 until the first
}

// EngineFailure counts a run that gave no answer.
func (m *Metrics) EngineFailure(model, reason string) {
	m.models.failures.WithLabelValues(word(model), m.reasons.word(reason)).Inc()
}

// Batch counts one run of so many pictures in a batch of that size.
func (m *Metrics) Batch(model string, pictures, size int) {
	m.models.pictures.WithLabelValues(word(model)).Add(float64(pictures))
	m.models.places.WithLabelValues(word(model)).Add(float64(size))
}

// RemoveModel deletes every series of a model that is no longer configured. Call
// it when nothing observes the model any more, as with [Metrics.RemoveCamera].
func (m *Metrics) RemoveModel(model string) {
	m.recent.forget(func(k key) bool { return k.model == model })
	remove(prometheus.Labels{labelModel: word(model)},
		m.captured, m.frames, m.inFlight, m.unstored, m.stage, m.latency, m.queueDepth, m.engineRun, m.engineFallback,
		m.models.up, m.models.reloads, m.models.failures, m.models.pictures, m.models.places)
}

// RemoveEngine deletes the series of a model on an engine and a device that it
// runs on no more.
func (m *Metrics) RemoveEngine(model, engine, device string) {
	remove(prometheus.Labels{labelModel: word(model), "engine": word(engine), "device": word(device)}, m.engineRun)
}
