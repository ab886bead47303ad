package gorgonia_test

import (
	"testing"

	"github.com/vedette-io/vedette/internal/enginetest"
	"github.com/vedette-io/vedette/internal/gorgonia"
)

func TestConformance(t *testing.T) { enginetest.Run(t, gorgonia.New()) }
