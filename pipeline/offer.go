package pipeline

import (
	"context"

	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/models"
)

// OfferModel puts a model on the bus under its name, for who lacks it.
func OfferModel(ctx context.Context, b *bus.Bus, name string, m *models.Model) error {
	return (&Pipeline{bus: b}).offerModel(ctx, name, m)
}
