package testkit

import (
	"os/exec"
	"strings"
	"testing"
)

// Disk mounts a small file system in memory at a new folder, with the options of
// tmpfs, such as size=12m, until the test ends. It needs root.
func Disk(tb testing.TB, options string) string {
	tb.Helper()
	dir := tb.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "tmpfs", dir).CombinedOutput(); err != nil {
		Missing(tb, "a small file system cannot be mounted here: "+strings.TrimSpace(string(out)))
	}
	tb.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			tb.Errorf("umount: %s", out)
		}
	})
	return dir
}
