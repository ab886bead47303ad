package backoff_test

import (
	"testing"
	"time"

	"github.com/vedette-io/vedette/internal/backoff"
)

func TestBackoff(t *testing.T) {
	b := backoff.Backoff{Min: 100 * time.Millisecond, Max: time.Second}
	for _, want := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
		want *= time.Millisecond
		if got := b.Next(); got < want/2 || got > want {
			t.Errorf("pause %v, want %v to %v", got, want/2, want)
		}
	}
	b.Reset()
	if got := b.Next(); got > 100*time.Millisecond {
		t.Errorf("pause %v after a reset", got)
	}
}
