// Package obs shows the pipeline from outside: Prometheus metrics with bounded
// labels, and an HTTP listener with /metrics, /healthz and /readyz.
package obs
