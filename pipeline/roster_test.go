//go:build !cv

package pipeline

import (
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
)

// m is an edition of model m.
func m(sum string) serving { return serving{"m", sum, "of-" + sum} }

// infers is the announcement of an instance that serves model m.
func infers(instance, sum string, credits int) *Status {
	return &Status{Instance: instance, State: Health, Models: []ModelStatus{{ModelRef: vedette.ModelRef{Name: "m", SHA256: sum}, Edition: m(sum).edition, Credits: credits}}}
}

// owns is the announcement of an instance that uses a model, in some way.
func owns(instance, model, how string) *Status {
	return &Status{Instance: instance, State: Health, Uses: []ModelUse{{Name: model, SHA256: "abc", Edition: "of-abc", State: how, Cameras: 1}}}
}

func newTestRoster(t *testing.T) (r *roster, share func() int, clock *time.Time) {
	t.Helper()
	clock = new(time.Time)
	*clock = time.Unix(1e9, 0)
	r = newRoster("here-5", slog.New(slog.DiscardHandler))
	r.now = func() time.Time { return *clock }
	last := -1
	r.own(func(_ string, n, _ int) { last = n })
	r.use(m("abc"))
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
		{"an owner of another model", func() { r.note(owns("here-1", "other", UseNow)) }, 7},
		{"an owner that is about to use it", func() { r.note(owns("here-2", "m", UseWanted)) }, 7},
		{"an owner that has used it", func() { r.note(owns("here-3", "m", UseLeaving)) }, 7},
		{"an owner before this one: it gets the odd credit", func() { r.note(owns("here-4", "m", UseNow)) }, 3},
		{"an owner behind this one", func() { r.note(owns("here-9", "m", UseNow)) }, 2},
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
			r.use(m("abc"))
			for _, other := range names {
				r.note(owns(other, "m", UseNow))
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
	if _, who, _ := r.pick(m("abc")); who != nil {
		t.Error("picked somebody where nobody is")
	}
	r.note(infers("a", "abc", 2))
	r.note(infers("z", "abc", 3))
	r.note(infers("other", "def", 9))
	picked := map[string]int{}
	var order string
	var frees []func()
	for range 5 {
		id, who, free := r.pick(m("abc"))
		if who == nil {
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
	if id, _, _ := r.pick(m("abc")); id != "a" {
		t.Errorf("picked %s, want a, whose credit came back", id)
	}
}

// A request ends with the instance that has it.
func TestMembersEnd(t *testing.T) {
	r, share, _ := newTestRoster(t)
	r.note(infers("w1", "abc", 2))
	id, who, free := r.pick(m("abc"))
	if who.ctx.Err() != nil {
		t.Fatal("dead at birth")
	}
	r.gone(id, who)
	if who.ctx.Err() == nil || share() != 0 {
		t.Errorf("the request goes on (%v), share %d", who.ctx.Err(), share())
	}
	free()
	r.note(infers("w1", "abc", 2)) // it was only cut off for a moment
	r.gone(id, who)                // a late failure of a request of before
	if share() != 2 {
		t.Errorf("share %d after it came back, want 2", share())
	}
}

// What this owner waits for, and what others use.
func TestEditionsInTheRoster(t *testing.T) {
	r, share, _ := newTestRoster(t)
	abc, def := m("abc"), m("def")
	both := infers("w1", "abc", 2)
	both.Models = append(both.Models, infers("", "def", 5).Models...)
	for _, step := range []struct {
		what      string
		do        func()
		some, all bool // serve def
		share     int
	}{
		{"nobody", func() {}, false, true, 0},
		{"the old one", func() { r.note(infers("w1", "abc", 2)) }, false, false, 2},
		{"a second one", func() { r.note(infers("w2", "abc", 3)) }, false, false, 5},
		{"one has both", func() { r.note(both) }, true, false, 5},
		{"the other has the new one", func() { r.note(infers("w2", "def", 3)) }, true, true, 2},
		{"this owner changes", func() { r.use(def) }, true, true, 8},
		{"the same share", func() { r.use(abc); r.note(infers("w3", "abc", 6)); r.use(def) }, true, false, 8},
		{"it is about to stop", func() { r.note(infers("w2", "def", 0)) }, true, false, 5},
		{"it is used no more", func() { r.drop("m") }, true, false, 5},
	} {
		step.do()
		if some, all := r.served(def, abc); some != step.some || all != step.all || share() != step.share {
			t.Errorf("%s: served by some %v, by all %v; share %d", step.what, some, all, share())
		}
	}
	// One that was replaced by the same edition gives none; the other one does.
	twins := infers("w4", "abc", 3)
	twins.Models = append(twins.Models, infers("", "abc", 0).Models...)
	r.note(twins)
	if n := r.members["w4"].credits(abc); n != 3 {
		t.Errorf("%d credits", n)
	}
	r.note(owns("o1", "m", UseNow))
	r.note(owns("o2", "m", UseLeaving))
	r.note(owns("o3", "other", UseWanted))
	if got := r.users(abc); !slices.Equal(got, []string{"o1", "o2"}) {
		t.Errorf("it is used by %v", got)
	}
	if got := r.wanted("m"); !slices.Equal(got, []serving{abc}) {
		t.Errorf("of m are wanted: %v", got)
	}
	r.note(owns("o1", "m", UseLeaving))
	if got, other := r.wanted("m"), r.wanted("other"); len(got) != 0 || len(other) != 1 {
		t.Errorf("wanted: %v, %v", got, other)
	}
}
