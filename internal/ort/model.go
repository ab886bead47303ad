//go:build cgo

package ort

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/vedette-io/vedette/internal/engine"
)

var errClosed = errors.New("the model is closed")

// model is a session that its runners share; running it from several
// goroutines at a time is what ONNX Runtime allows.
type model struct {
	info    engine.Info
	pic     engine.Picture
	device  engine.Device
	log     *slog.Logger
	session *ort.DynamicAdvancedSession

	mu     sync.Mutex
	refs   int // the model itself and its open runners
	closed bool
}

func (m *model) Info() engine.Info { return m.info }

func (m *model) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	return m.release()
}

// acquire counts a runner.
func (m *model) acquire() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errClosed
	}
	m.refs++
	return nil
}

// release drops one reference; mu is held.
func (m *model) release() error {
	m.refs--
	if m.refs > 0 || m.session == nil {
		return nil
	}
	session := m.session
	m.session = nil
	return session.Destroy()
}

func (m *model) NewRunner(ctx context.Context, batch int) (engine.Runner, error) {
	shape, err := m.pic.BatchShape(batch)
	if err != nil {
		return nil, err
	}
	if err := m.acquire(); err != nil {
		return nil, err
	}
	r := &runner{model: m, in: m.pic.NewInput(shape)}
	// The first run of a size loads what the device has not used so far.
	if err := m.guarded(func() error { return r.prepare(ctx, batch) }); err != nil {
		return nil, errors.Join(fmt.Errorf("batch of %d: %w", batch, err), r.Close())
	}
	return r, nil
}

// guarded runs f, which brings libraries of the device to work for the first
// time, and puts back the signal handlers that they replace.
func (m *model) guarded(f func() error) error {
	if m.device.Kind == engine.CPU {
		return f()
	}
	restored, err := keepSignals(f)
	if restored > 0 {
		m.log.Debug("put back signal handlers that the device's libraries had replaced", "device", m.device.String(), "handlers", restored)
	}
	return err
}
