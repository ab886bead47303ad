// Package testkit is what the tests of several packages share.
package testkit

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Data returns the path of a file or folder of the test data that this
// project does not ship: below $VEDETTE_TEST_DATA, or ../shared/data beside
// the repository. Where it is absent the test is skipped, or fails when
// CI=true so that no check is lost without a word.
func Data(tb testing.TB, rel string) string {
	tb.Helper()
	dir := os.Getenv("VEDETTE_TEST_DATA")
	if dir == "" {
		_, self, _, _ := runtime.Caller(0)
		dir = filepath.Join(filepath.Dir(self), "..", "..", "..", "shared", "data")
	}
	path := filepath.Join(dir, filepath.FromSlash(rel))
	if _, err := os.Stat(path); err != nil {
		Missing(tb, "test data "+rel+" is not there: set VEDETTE_TEST_DATA to the folder that has it")
	}
	return path
}

// Missing skips the test because something it needs is not on this machine,
// or fails it when CI=true.
func Missing(tb testing.TB, what string) {
	tb.Helper()
	if os.Getenv("CI") == "true" {
		tb.Fatal(what)
	}
	tb.Skip(what)
}
