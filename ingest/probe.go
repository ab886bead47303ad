package ingest

import "context"

func (c *Camera) probe(ctx context.Context) error { return nil }
