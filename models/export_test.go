package models

import "context"

// PullEntry pulls what the catalogue does not have.
func PullEntry(ctx context.Context, e Entry, opts PullOptions) (string, error) {
	return e.pull(ctx, opts)
}
