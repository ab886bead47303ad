package bus_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vedette-io/vedette/internal/bus"
)

// useTempStore has a bus with a temporary store until its input ends.
func useTempStore() error {
	b, err := bus.Start(context.Background(), bus.Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	fmt.Println("ready")
	_, _ = os.Stdin.Read(make([]byte, 1)) // ends with the test
	return b.Close()
}

// temporary starts a process with a temporary store in dir.
func temporary(t *testing.T, dir string) (cmd *exec.Cmd, end func() error) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), tempStoreEnv+"=yes", "TMPDIR="+dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end = sync.OnceValue(func() error {
		_ = in.Close()
		return cmd.Wait()
	})
	t.Cleanup(func() { _ = end() })
	var word string
	if _, err := fmt.Fscanln(out, &word); err != nil {
		t.Fatalf("it does not start: %v", err)
	}
	return cmd, end
}

func folders(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// The store of a killed process is removed by the next that starts; those of
// living ones, and what only looks like one, stay.
func TestLeftStoresAreRemoved(t *testing.T) {
	dir := t.TempDir()
	_, endLiving := temporary(t, dir)
	living := folders(t, dir)
	if len(living) != 1 {
		t.Fatalf("folders %v", living)
	}
	for range 2 {
		killed, end := temporary(t, dir)
		if err := killed.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = end()
	}
	old := time.Now().Add(-time.Hour)
	keep := []string{"vedette-temp-x", "vedette-7", "other", "vedette-temp-8"}
	for _, name := range append(keep, "vedette-temp-9") {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if name != "vedette-temp-9" { // one that was killed before it made a lock: empty
			if err := os.WriteFile(filepath.Join(dir, name, "data"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chtimes(filepath.Join(dir, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	_, endNext := temporary(t, dir)
	now := folders(t, dir)
	want := slices.Concat(keep, living)
	own := 0
	for _, name := range now {
		if !slices.Contains(want, name) {
			own++
		}
	}
	if own != 1 || len(now) != len(want)+1 {
		t.Errorf("folders %v; want %v and the store of the last", now, want)
	}
	for _, end := range []func() error{endLiving, endNext} {
		if err := end(); err != nil {
			t.Errorf("a living one was disturbed: %v", err)
		}
	}
	if now = folders(t, dir); len(now) != len(keep) {
		t.Errorf("folders %v are left", now)
	}
}

// Many that start and end at the same moment take nothing from each other.
func TestTemporaryStoresAtTheSameMoment(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for range 4 {
				b, err := bus.Start(context.Background(), bus.Config{}, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Error(err)
					return
				}
				if err := b.EnsureDetections(context.Background(), bus.DefaultDetectionLimits()); err != nil {
					t.Error(err)
				}
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if left := folders(t, dir); len(left) > 0 {
		t.Errorf("folders %v are left", left)
	}
}
