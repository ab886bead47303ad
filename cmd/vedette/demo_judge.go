package main

import "github.com/vedette-io/vedette/internal/board"

// demoScore counts boards and defects.
type demoScore struct{ boards, frames, defective, injected, found, missed, false, escapes, rejects int }

// add counts a judged board, or what was found on the belt where there is none.
func (t *demoScore) add(v board.Verdict) {
	if v.Empty {
		t.false += v.False
		return
	}
	t.boards++
	t.frames += v.Frames
	t.injected += v.Injected
	t.found += v.Found
	t.missed += len(v.Missed)
	t.false += v.False
	switch {
	case v.Injected > 0:
		t.defective++
		if len(v.Objects) == 0 {
			t.escapes++
		}
	case len(v.Objects) > 0:
		t.rejects++
	}
}
