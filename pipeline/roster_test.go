package pipeline

import (
	"log/slog"
	"maps"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/preprocess"
)

// infers is the announcement of an instance that serves model m.
func infers(instance, sum string, credits int) *Status {
	return &Status{Instance: instance, State: Health, Models: []ModelStatus{{ModelRef: vedette.ModelRef{Name: "m", SHA256: sum}, Credits: credits}}}
}

// owns is the announcement of an instance that has a camera with a model.
func owns(instance, model string) *Status {
	return &Status{Instance: instance, State: Health, Cameras: []CameraStatus{{ID: "cam", Accounts: map[string]preprocess.Counts{model: {}}}}}
}

func newTestRoster(t *testing.T) (r *roster, share func() int, clock *time.Time) {
	t.Helper()
	clock = new(time.Time)
	*clock = time.Unix(1e9, 0)
	r = newRoster("here-5", slog.New(slog.DiscardHandler))
	r.now = func() time.Time { return *clock }
	last := -1
	r.use(map[string]string{"m": "abc"}, func(_ string, n, _ int) { last = n })
	t.Cleanup(r.close)
	return r, func() int { return last }, clock
}

func TestCreditsAreShared(t *testing.T) {
	r, share, clock := newTestRoster(t)
	death := infers("w1", "abc", 0)
	death.State = Death
	for _, step := range []struct {
		what string
		do   func()
		want int
	}{
		{"nobody serves the model", func() {}, 0},
		{"a worker joins", func() { r.note(infers("w1", "abc", 3)) }, 3},
		{"it says so again", func() { r.note(infers("w1", "abc", 3)) }, 3},
		{"another one", func() { r.note(infers("w2", "abc", 4)) }, 7},
		{"one with another file of that name", func() { r.note(infers("w3", "def", 9)) }, 7},
		{"an owner of another model", func() { r.note(owns("here-1", "other")) }, 7},
		{"an owner before this one: it gets the odd credit", func() { r.note(owns("here-4", "m")) }, 3},
		{"an owner behind this one", func() { r.note(owns("here-9", "m")) }, 2},
		{"a worker is about to stop", func() { r.note(infers("w2", "abc", 0)) }, 1},
		{"a worker stops", func() { r.note(death) }, 0},
		{"it comes back", func() { r.note(infers("w1", "abc", 6)) }, 2},
		{"silence, but not for long", func() { *clock = clock.Add(silenceLimit); r.sweep() }, 2},
		{"silence, but for a worker", func() {
			r.note(infers("w1", "abc", 6))
			*clock = clock.Add(time.Second)
			r.sweep()
		}, 6},
		{"silence", func() { *clock = clock.Add(2 * silenceLimit); r.sweep() }, 0},
	} {
		step.do()
		if got := share(); got != step.want {
			t.Errorf("%s: share of %d credits, want %d", step.what, got, step.want)
		}
	}
}

func TestSharesAddUp(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e"}
	for total := range 12 {
		sum := 0
		for _, self := range names {
			r := newRoster(self, slog.New(slog.DiscardHandler))
			r.use(map[string]string{"m": "abc"}, func(string, int, int) {})
			for _, other := range names {
				r.note(owns(other, "m"))
			}
			r.note(infers("w", "abc", total))
			sum += r.shares["m"].credits
			r.close()
		}
		if sum != total {
			t.Errorf("five owners share %d of %d credits", sum, total)
		}
	}
}

func TestPick(t *testing.T) {
	r, _, _ := newTestRoster(t)
	if _, m, _ := r.pick("m", "abc"); m != nil {
		t.Error("picked somebody where nobody is")
	}
	r.note(infers("a", "abc", 2))
	r.note(infers("z", "abc", 3))
	r.note(infers("other", "def", 9))
	picked := map[string]int{}
	var order string
	var frees []func()
	for range 5 {
		id, m, free := r.pick("m", "abc")
		if m == nil {
			t.Fatal("nobody is there")
		}
		picked[id]++
		order += id
		frees = append(frees, free)
	}
	if want := map[string]int{"a": 2, "z": 3}; !maps.Equal(picked, want) {
		t.Errorf("picked %v, want %v", picked, want)
	}
	if order != "zzaza" { // most left first; of equals the one behind "here-5"
		t.Errorf("picked in the order %s", order)
	}
	frees[2]() // a's
	if id, _, _ := r.pick("m", "abc"); id != "a" {
		t.Errorf("picked %s, want a, whose credit came back", id)
	}
}

// A request ends with the instance that has it.
func TestMembersEnd(t *testing.T) {
	r, share, _ := newTestRoster(t)
	r.note(infers("w1", "abc", 2))
	id, m, free := r.pick("m", "abc")
	if m.ctx.Err() != nil {
		t.Fatal("dead at birth")
	}
	r.gone(id, m)
	if m.ctx.Err() == nil || share() != 0 {
		t.Errorf("the request goes on (%v), share %d", m.ctx.Err(), share())
	}
	free()
	r.note(infers("w1", "abc", 2)) // it was only cut off for a moment
	r.gone(id, m)                  // a late failure of a request of before
	if share() != 2 {
		t.Errorf("share %d after it came back, want 2", share())
	}
}
