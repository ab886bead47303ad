package pipeline

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/proc"
)

// newClaims makes the claims of this process; nothing is claimed yet.
func (p *Pipeline) newClaims() *claims {
	claimsOf := func(self bus.Holder, log *slog.Logger, open func(context.Context) (*bus.Leases, error)) *claims {
		return &claims{open: open, roster: p.roster, ask: func() { p.say(Birth) }, self: self, log: log, held: map[string]*bus.Lease{}}
	}
	self := bus.Holder{Instance: p.instance, Host: p.cfg.Host, PID: os.Getpid(), Process: proc.Self(), Since: vedette.At(time.Now())}
	here := claimsOf(self, p.deps.Log, func(ctx context.Context) (*bus.Leases, error) { return p.bus.Leases(ctx) })
	if p.cfg.Bus.HasHub() {
		self.Domain = p.cfg.Host
		here.plant = claimsOf(self, p.deps.Log.With("at", "hub"), func(ctx context.Context) (*bus.Leases, error) { return p.bus.PlantLeases(ctx) })
	}
	return here
}

// keys of the leases that this process needs for a camera.
func (p *Pipeline) keys(camera string) []string {
	var keys []string
	if p.runs.Ingest {
		keys = append(keys, captureKey+camera)
	}
	if p.runs.Preprocess {
		keys = append(keys, ownerKey+camera)
	}
	return keys
}

// claim takes the leases of all cameras, before anything of theirs is read or
// written.
func (p *Pipeline) claim(ctx context.Context) error {
	var keys []string
	for _, c := range p.cfg.Cameras {
		keys = append(keys, p.keys(c.Owner.ID)...)
	}
	return p.claims.take(ctx, keys...)
}

// keepClaims gives up the cameras that another instance has taken because this
// one seemed dead, for example while the machine slept.
func (p *Pipeline) keepClaims(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for key, owner := range p.claims.lost(ctx) {
			if ctx.Err() == nil {
				p.lose(cameraOf(key), owner)
			}
		}
	}
}

// lose stops a camera that is another instance's now.
func (p *Pipeline) lose(camera string, owner *OwnedError) {
	p.reconfiguring.Lock()
	defer p.reconfiguring.Unlock()
	p.mu.Lock()
	i := indexCamera(p.cfg.Cameras, camera)
	if i < 0 || p.open == 0 || (p.runs.Ingest && p.captureCtx == nil) {
		p.mu.Unlock()
		return // stopped already, or not at work yet
	}
	c := p.cfg.Cameras[i]
	p.open++ // keeps Run from ending meanwhile
	p.mu.Unlock()
	p.deps.Log.Error("the camera is stopped here", "camera", camera, "reason", owner)
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := p.removeCamera(ctx, c, []Camera{c}); err != nil { // its spool is the other's now
		p.deps.Log.Warn("what the camera had under way is given up", "camera", camera, "error", err)
	}
	p.claims.giveBack(ctx, p.keys(camera)...) // those that are still this process's
	p.leaveRun(owner)
	p.say(Health)
}
