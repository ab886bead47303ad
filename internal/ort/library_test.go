package ort

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func touch(t *testing.T, path string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCandidates(t *testing.T) {
	cache, exe := t.TempDir(), t.TempDir()
	const so = "libonnxruntime.so.1"
	old := touch(t, filepath.Join(cache, "onnxruntime-1.9.0", so))
	mid := touch(t, filepath.Join(cache, "onnxruntime-1.30.0", so))
	newest := touch(t, filepath.Join(cache, "onnxruntime-1.30.2", so))
	touch(t, filepath.Join(cache, "onnxruntime-2.0.0", "readme"))
	p := places{cache: cache, executable: exe}
	got := p.candidates()
	if !slices.Equal(got[:3], []string{newest, mid, old}) || got[len(got)-1] != so {
		t.Errorf("candidates are %v", got)
	}
	beside := touch(t, filepath.Join(exe, so))
	if got = p.candidates(); got[3] != beside {
		t.Errorf("with one beside the executable, candidates are %v", got)
	}
	p.variable = "/some/where.so"
	if got = p.candidates(); !slices.Equal(got, []string{"/some/where.so"}) {
		t.Errorf("with the variable, candidates are %v", got)
	}
}

func TestFind(t *testing.T) {
	versions := map[string]string{"old": "1.28.3", "good": "1.29.0", "newer": "1.30.0"}
	fake := func(path string) (Library, error) {
		if v, ok := versions[path]; ok {
			return Library{path, v}, nil
		}
		return Library{}, errors.New(path + ": cannot open shared object file")
	}
	for _, c := range []struct{ paths, want string }{
		{"good newer", "good"}, {"missing old newer", "newer"}, {"old good", "good"},
	} {
		if lib, err := find(strings.Fields(c.paths), fake); err != nil || lib.Path != c.want {
			t.Errorf("of %s it takes %v, %v", c.paths, lib, err)
		}
	}
	_, err := find([]string{"missing", "old"}, fake)
	if !errors.Is(err, ErrNoLibrary) {
		t.Fatalf("error %v", err)
	}
	for _, says := range []string{"missing: cannot open", "old is version 1.28.3, and 1.29.0 is the oldest that works", "make ort", PathVariable} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("error %q does not say %q", err, says)
		}
	}
}

func TestCompareVersions(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"1.30.0", "1.9.9", 1}, {"1.29", "1.29.0", 0}, {"1.29.0-rc1", "1.29.0", 0}, {"", "1", -1}, {"1.30.1", "1.30.0", 1},
	} {
		if got := compareVersions(c.a, c.b); got != c.want {
			t.Errorf("%s against %s is %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// The fetching script and the code must agree on the version.
func TestVersionIsThatOfTheScript(t *testing.T) {
	script, err := os.ReadFile("../../scripts/ort.sh")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(script), "\nversion="+Version+"\n") {
		t.Errorf("scripts/ort.sh does not fetch %s", Version)
	}
}
