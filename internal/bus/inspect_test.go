package bus_test

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vedette-io/vedette/internal/bus"
)

func TestInspectStore(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "store")
	r, err := bus.InspectStore(path)
	if err != nil || r.Exists || r.Free <= 0 || r.Holder != "" {
		t.Errorf("one that could be made: %+v, %v", r, err)
	}
	if left := folders(t, dir); len(left) > 0 {
		t.Errorf("looking made %v", left)
	}
	b, err := bus.Start(t.Context(), bus.Config{Store: path}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if r, err = bus.InspectStore(path); err != nil || !r.Exists || r.Holder != fmt.Sprint(os.Getpid()) || r.Owner != "" || r.Used == 0 {
		t.Errorf("one in use: %+v, %v", r, err)
	}
	if err := b.EnsureDetections(t.Context(), bus.DefaultDetectionLimits()); err != nil { // it was not disturbed
		t.Error(err)
	}
	before := folders(t, path)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err = bus.InspectStore(path); err != nil || r.Holder != "" {
		t.Errorf("one that was used: %+v, %v", r, err)
	}
	if after := folders(t, path); len(after) != len(before) {
		t.Errorf("looking left %v, before %v", after, before)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{file: "it is a file, not a folder", file + "/below": "not a directory"} {
		if r, err := bus.InspectStore(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v", path, r, err)
		}
	}
}

func TestInspectStoreThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("a read-only disk needs a file system of its own, and mounting one needs root: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := os.Mkdir(filepath.Join(dir, "store"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(dir, "store"), 54321, 54321); err != nil {
		t.Fatal(err)
	}
	if r, err := bus.InspectStore(filepath.Join(dir, "store")); err != nil || r.Owner != "54321" || r.Free > 1<<20 {
		t.Errorf("another user's: %+v, %v", r, err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, "size=1m"); err != nil {
		t.Fatal(err)
	}
	for name, made := range map[string]bool{"store": true, "new": false} {
		r, err := bus.InspectStore(filepath.Join(dir, name))
		if !errors.Is(err, unix.EROFS) || r.Exists != made {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if _, err := bus.InspectStore("/proc/nosuch/store"); err == nil || errors.Is(err, fs.ErrExist) {
		t.Errorf("where nothing can be made: %v", err)
	}
}
