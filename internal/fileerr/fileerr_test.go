package fileerr_test

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/vedette-io/vedette/internal/fileerr"
)

func TestErrors(t *testing.T) {
	_, err := os.Open("nosuch")
	if got := fileerr.Named(err); got.Error() != "nosuch: no such file or directory" || !errors.Is(got, fs.ErrNotExist) {
		t.Errorf("named: %v", got)
	}
	if got := fileerr.Cause(err); got.Error() != "no such file or directory" || !errors.Is(got, fs.ErrNotExist) {
		t.Errorf("cause: %v", got)
	}
	other := errors.New("other")
	if fileerr.Named(other) != other || fileerr.Cause(other) != other || fileerr.Named(nil) != nil || fileerr.Cause(nil) != nil {
		t.Error("what is about no file is changed")
	}
}
