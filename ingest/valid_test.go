//go:build cv

package ingest_test

import (
	"testing"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/ring"
)

// valid reports whether a frame's picture is still in its ring.
func valid(t *testing.T, f *vedette.Frame) bool {
	t.Helper()
	var r ring.Reader
	defer r.Close()
	_, err := r.View(f.Ref)
	return err == nil && r.Valid(f.Ref)
}
