package vedette_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
)

func TestCheckID(t *testing.T) {
	for _, id := range []string{"gate", "line-1", "a_b", "0", "-", strings.Repeat("x", 64)} {
		if err := vedette.CheckID(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{
		"", "Gate", "a.b", "a*", ">", "a b", "a/b", "a\n", "ä", "a\x00", strings.Repeat("x", 65),
	} {
		if err := vedette.CheckID(id); !errors.Is(err, vedette.ErrInvalidID) {
			t.Errorf("%q: %v, want ErrInvalidID", id, err)
		}
	}
}

func TestSlug(t *testing.T) {
	for in, want := range map[string]string{
		"person": "person", "traffic light": "traffic_light", "Traffic  Light!": "traffic_light",
		" x ": "x", "a.b*c>d": "a_b_c_d", "": "unnamed", "…": "unnamed", "Straße 3": "stra_e_3",
		"line-1": "line-1", "already_slugged": "already_slugged",
		strings.Repeat("ab ", 40): strings.Repeat("ab_", 21) + "a",
	} {
		if got := vedette.Slug(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzSlug(f *testing.F) {
	for _, s := range []string{"traffic light", "a.b", "", "\xff", "K", "_-_", strings.Repeat("é", 99)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		slug := vedette.Slug(s)
		if err := vedette.CheckID(slug); err != nil {
			t.Fatalf("slug of %q: %v", s, err)
		}
		if again := vedette.Slug(slug); again != slug {
			t.Fatalf("slug of slug %q is %q", slug, again)
		}
	})
}

func TestFrameID(t *testing.T) {
	for s, id := range map[string]vedette.FrameID{
		"gate-01jdv8k2zz-000123":       {Camera: "gate", Epoch: "01jdv8k2zz", Seq: 123},
		"line-1-0-000000":              {Camera: "line-1", Epoch: "0", Seq: 0},
		"a-b-c-e-18446744073709551615": {Camera: "a-b-c", Epoch: "e", Seq: 1<<64 - 1},
	} {
		if got := id.String(); got != s {
			t.Errorf("%+v: %q, want %q", id, got, s)
		}
		if got, err := vedette.ParseFrameID(s); err != nil || got != id {
			t.Errorf("%q: %+v, %v", s, got, err)
		}
	}
	if got := (vedette.FrameID{Camera: "gate", Epoch: "e", Seq: 1}).Detection("yolox-nano"); got != "gate-e-000001-yolox-nano" {
		t.Errorf("detection id %q", got)
	}
	for _, s := range []string{"", "-", "--", "a", "a-b", "a-b-", "a-b-x", "a-b--1", "a-b-+1", "-b-1", "a--1", "A-b-1", "a.b-c-1", "a-b-18446744073709551616"} {
		if got, err := vedette.ParseFrameID(s); err == nil {
			t.Errorf("%q gave %+v", s, got)
		}
	}
}

func FuzzParseFrameID(f *testing.F) {
	for _, s := range []string{"gate-01jdv8k2zz-000123", "a-b-1", "a-b-+1", "--", "a-b-007"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := vedette.ParseFrameID(s)
		if err != nil {
			return
		}
		if again, err := vedette.ParseFrameID(id.String()); err != nil || again != id {
			t.Fatalf("%q: %+v, then %+v, %v", s, id, again, err)
		}
	})
}

func TestEpochs(t *testing.T) {
	var e vedette.Epochs
	at := time.Date(2026, 11, 23, 22, 47, 1, 0, time.UTC)
	first, second := e.Next(at), e.Next(at)
	back, later := e.Next(at.Add(-time.Hour)), e.Next(at.Add(time.Hour))
	for i, pair := range [][2]string{{first, second}, {second, back}, {back, later}} {
		if pair[0] >= pair[1] {
			t.Errorf("%d: %q does not sort before %q", i, pair[0], pair[1])
		}
	}
	if len(first) != 10 || vedette.CheckID(first) != nil {
		t.Errorf("epoch %q", first)
	}
	var other vedette.Epochs
	if got := other.Next(at); got != first {
		t.Errorf("the same time gave %q and %q", first, got)
	}
}

func TestEpochsAreUnique(t *testing.T) {
	var (
		e    vedette.Epochs
		mu   sync.Mutex
		seen = map[string]bool{}
		wg   sync.WaitGroup
		now  = time.Now()
	)
	for range 8 {
		wg.Go(func() {
			for range 100 {
				id := e.Next(now)
				mu.Lock()
				seen[id] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != 800 {
		t.Errorf("%d different epochs, want 800", len(seen))
	}
}
