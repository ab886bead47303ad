// Package signaltest replaces signal handlers as CUDA's libraries do, so that
// the test of what undoes it needs no GPU.
package signaltest
