package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/preprocess"
)

// spooled reports whether a camera's frames are kept on disk until their
// results are: those that are lossless and cannot be captured again.
func spooled(c Camera) bool {
	return c.Ingest.Delivery == ingest.Every && c.Ingest.Source.Live()
}

// openSpool opens the host's spool on the bus when the first camera needs it,
// and removes what waits there for cameras that are not among those configured,
// here or for other instances of this host, which share it.
func (p *Pipeline) openSpool(ctx context.Context, cameras []Camera) error {
	if p.spool.Load() != nil {
		return nil
	}
	s, err := p.bus.OpenSpool(ctx, p.cfg.Host, p.cfg.Spool)
	if err != nil {
		return err
	}
	p.spool.Store(s)
	p.mu.Lock()
	others := p.cfg.Others
	p.mu.Unlock()
	return p.forgetSpooled(ctx, func(camera, model string) bool {
		return spools(cameras, camera, model) || spools(others, camera, model)
	})
}

// spools reports whether the spool has a log of a camera and model.
func spools(cameras []Camera, camera, model string) bool {
	i := indexCamera(cameras, camera)
	return i >= 0 && spooled(cameras[i]) && slices.ContainsFunc(cameras[i].Owner.Detect, func(d preprocess.DetectConfig) bool { return d.Model == model })
}

// forgetSpooled removes what waits for cameras and models that keep does not
// name: nobody will ask for it.
func (p *Pipeline) forgetSpooled(ctx context.Context, keep func(camera, model string) bool) error {
	s := p.spool.Load()
	if s == nil {
		return nil
	}
	gone, err := s.Forget(ctx, keep)
	if gone > 0 {
		p.deps.Log.Warn("frames waited in the spool for cameras or models that are not configured any more; removed", "frames", gone)
	}
	return err
}

// SpoolStatus is the spool of lossless frames.
type SpoolStatus struct {
	Bytes    int64 `json:"bytes"`
	MaxBytes int64 `json:"max_bytes"`
	// Writable is false while the disk is full, for example: lossless frames of
	// live cameras then wait in memory alone.
	Writable bool `json:"writable"`
}

// spoolHigh is the share of the spool's limit from which on it is complained of:
// there is still time to do something.
const spoolHigh = 0.8

// High reports whether the spool is nearly full.
func (s *SpoolStatus) High() bool {
	return s != nil && float64(s.Bytes) > spoolHigh*float64(s.MaxBytes)
}

// spoolStatus says how full the spool is, also to the metrics and, when it
// becomes nearly full, to the log.
func (p *Pipeline) spoolStatus() *SpoolStatus {
	spool := p.spool.Load()
	if spool == nil {
		return nil
	}
	used, limit := spool.Bytes()
	s := &SpoolStatus{Bytes: used, MaxBytes: limit, Writable: spool.Writable()}
	p.deps.Metrics.Spool(used, limit)
	if high := s.High(); high != p.spoolHigh.Swap(high) && high {
		p.deps.Log.Warn("the spool of lossless frames is nearly full: when it is, frames fail with spool_full", "bytes", used, "limit", limit)
	}
	return s
}

// spool hands the bus's spool to the owner.
type spool struct{ p *Pipeline }

func (s spool) Open(ctx context.Context, camera, model string) (preprocess.SpoolLog, []preprocess.SpoolEntry, error) {
	on := s.p.spool.Load()
	if on == nil {
		return nil, nil, fmt.Errorf("camera %s: there is no spool", camera)
	}
	log := on.Log(camera, model)
	left, err := log.Entries(ctx)
	if err != nil {
		return nil, nil, err
	}
	entries := make([]preprocess.SpoolEntry, len(left))
	for i, e := range left {
		entries[i] = preprocess.SpoolEntry(e)
	}
	return spoolLog{log}, entries, nil
}

// spoolLog gives the bus's errors the names that the owner knows.
type spoolLog struct{ *bus.SpoolLog }

func (l spoolLog) Read(ctx context.Context, id uint64) ([]byte, error) {
	body, err := l.SpoolLog.Read(ctx, id)
	if errors.Is(err, bus.ErrSpoolLost) {
		err = fmt.Errorf("%w: %w", preprocess.ErrSpoolLost, err)
	}
	return body, err
}

func (l spoolLog) Append(ctx context.Context, header, body []byte) (uint64, error) {
	id, err := l.SpoolLog.Append(ctx, header, body)
	if errors.Is(err, bus.ErrSpoolFull) {
		err = fmt.Errorf("%w: %w", preprocess.ErrSpoolFull, err)
	}
	if errors.Is(err, bus.ErrSpoolRefused) {
		err = fmt.Errorf("%w: %w", preprocess.ErrSpoolRefused, err)
	}
	return id, err
}
