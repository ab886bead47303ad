package ort_test

import (
	"log/slog"
	"testing"

	"github.com/vedette-io/vedette/internal/enginetest"
	"github.com/vedette-io/vedette/internal/ort"
	"github.com/vedette-io/vedette/internal/testkit"
)

// newEngine skips the test where there is no library.
func newEngine(tb testing.TB) *ort.Engine {
	tb.Helper()
	e, err := ort.New(slog.New(slog.DiscardHandler))
	if err != nil {
		testkit.Missing(tb, err.Error())
	}
	return e
}

func TestConformance(t *testing.T) { enginetest.Run(t, newEngine(t)) }
