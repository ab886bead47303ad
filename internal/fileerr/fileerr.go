// Package fileerr says what is wrong with a file without the names of Go's calls,
// which users did not make.
package fileerr

import (
	"errors"
	"fmt"
	"io/fs"
)

// Named is an error about a file as FILE: what is wrong with it.
func Named(err error) error {
	var at *fs.PathError
	if !errors.As(err, &at) {
		return err
	}
	return fmt.Errorf("%s: %w", at.Path, at.Err)
}

// Cause is [Named] for where the file is named already.
func Cause(err error) error {
	var at *fs.PathError
	if !errors.As(err, &at) {
		return err
	}
	return at.Err
}
