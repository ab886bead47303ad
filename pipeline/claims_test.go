//go:build !cv

package pipeline

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/proc"
)

// newTestClaims are those of an instance on b, whose bucket cannot be opened
// while *broken is set.
func newTestClaims(t *testing.T, b *bus.Bus, instance string, broken *error) (*claims, *bytes.Buffer) {
	t.Helper()
	log := new(bytes.Buffer)
	logger := slog.New(slog.NewTextHandler(log, nil))
	r := newRoster(instance, logger)
	t.Cleanup(r.close)
	return &claims{
		open: func(ctx context.Context) (*bus.Leases, error) {
			if *broken != nil {
				return nil, *broken
			}
			return b.Leases(ctx)
		},
		roster: r, ask: func() {}, log: logger, held: map[string]*bus.Lease{},
		self: bus.Holder{Instance: instance, Host: "host-of-" + instance, PID: 7},
	}, log
}

func newTestBus(t *testing.T) *bus.Bus {
	t.Helper()
	b, err := bus.Start(t.Context(), bus.Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// A store that takes nothing does not keep a camera from being watched; the
// lease is written when it can be, and then counts.
func TestClaimsWithoutAStore(t *testing.T) {
	b := newTestBus(t)
	broken := errors.New("no space left on device")
	c, log := newTestClaims(t, b, "one", &broken)
	if err := c.take(t.Context(), ownerKey+"gate"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if lost := c.lost(t.Context()); len(lost) > 0 {
			t.Errorf("lost %v", lost)
		}
	}
	if n := strings.Count(log.String(), "no space left on device"); n != 1 {
		t.Errorf("it warns %d times:\n%s", n, log)
	}
	broken = nil
	if lost := c.lost(t.Context()); len(lost) > 0 || c.held[ownerKey+"gate"] == nil {
		t.Errorf("lost %v, held %v", lost, c.held)
	}
	c.close(t.Context())
	leases, err := b.Leases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if left, err := leases.Find(t.Context(), ownerKey+"gate"); left != nil || err != nil {
		t.Errorf("left behind: %+v, %v", left, err)
	}
}

// The place of a process of this machine that is gone is taken at once; of
// others it is known only by their silence, and one that answers keeps it.
func TestClaimsOfGhosts(t *testing.T) {
	b := newTestBus(t)
	var fine error
	self := proc.Self()
	if self == "" {
		t.Skip("this system does not tell processes apart")
	}
	ghost, _ := newTestClaims(t, b, "ghost", &fine)
	ghost.self.Process = self + "0" // this machine, a process that never was
	if err := ghost.take(t.Context(), captureKey+"gate", ownerKey+"gate"); err != nil {
		t.Fatal(err)
	}
	next, _ := newTestClaims(t, b, "next", &fine)
	next.ask = func() { t.Error("everybody is asked for a process that is gone") }
	next.self.Process = self
	if err := next.take(t.Context(), captureKey+"gate", ownerKey+"gate"); err != nil {
		t.Fatal(err)
	}
	if lost := ghost.lost(t.Context()); len(lost) != 2 || lost[ownerKey+"gate"].Instance != "next" {
		t.Errorf("the ghost lost %v", lost)
	}
	third, _ := newTestClaims(t, b, "third", &fine)
	third.ask = func() { third.roster.note(&Status{Instance: "next", State: Health}) }
	err := third.take(t.Context(), ownerKey+"door", ownerKey+"gate")
	var owned *OwnedError
	if !errors.As(err, &owned) || owned.Instance != "next" || len(owned.Cameras) != 1 || owned.Cameras[0] != "gate" {
		t.Errorf("the error is %v", err)
	}
	third.ask = func() { third.roster.note(&Status{Instance: "next", State: Death}) }
	if err := third.take(t.Context(), ownerKey+"door", ownerKey+"gate"); err != nil {
		t.Errorf("who says that it stops keeps the camera: %v", err)
	}
}
