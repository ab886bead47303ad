package ort

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// Version is the ONNX Runtime that `make ort` fetches.
const Version = "1.30.0"

// MinVersion is the oldest library whose API serves the binding used here.
const MinVersion = "1.29.0"

// PathVariable names the environment variable that says where the library is.
const PathVariable = "ONNXRUNTIME_SHARED_LIBRARY_PATH"

// ErrNoLibrary is wrapped when there is no usable ONNX Runtime library; the
// error says what was tried and what to do.
var ErrNoLibrary = errors.New("no usable ONNX Runtime library")

const remedy = "run `make ort`, or set " + PathVariable + " to a libonnxruntime of version 1.29 or newer"

// Library is an ONNX Runtime library that was found.
type Library struct {
	// Path of the file itself, so that what lies beside it can be found.
	Path string
	// Version as the library states it.
	Version string
}

// beside reports whether the named file lies in the library's folder, as
// execution providers must.
func (l Library) beside(name string) bool {
	_, err := os.Stat(filepath.Join(filepath.Dir(l.Path), name))
	return err == nil
}

// places says where libraries are looked for.
type places struct {
	variable   string // value of PathVariable
	cache      string // folder with onnxruntime-<version> folders
	executable string // folder of the executable
}

func thisMachine() places {
	p := places{variable: os.Getenv(PathVariable)}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" { // on every system, as scripts/ort.sh does
		p.cache = filepath.Join(dir, "vedette")
	} else if home, err := os.UserHomeDir(); err == nil {
		p.cache = filepath.Join(home, ".cache", "vedette")
	}
	if exe, err := os.Executable(); err == nil {
		p.executable = filepath.Dir(exe)
	}
	return p
}

// candidates are the paths to try, in order. The last is a bare name, which
// leaves the search to the loader.
func (p places) candidates() []string {
	if p.variable != "" { // whoever sets it wants this one and no other
		return []string{p.variable}
	}
	soname := "libonnxruntime.so.1"
	if runtime.GOOS == "darwin" {
		soname = "libonnxruntime.dylib"
	}
	cached, _ := filepath.Glob(filepath.Join(p.cache, "onnxruntime-*", soname))
	slices.SortStableFunc(cached, func(a, b string) int {
		version := func(path string) string {
			return strings.TrimPrefix(filepath.Base(filepath.Dir(path)), "onnxruntime-")
		}
		return compareVersions(version(b), version(a))
	})
	paths := cached
	for _, dir := range []string{p.executable, "/usr/lib", "/usr/local/lib"} {
		path := filepath.Join(dir, soname)
		if _, err := os.Stat(path); dir != "" && err == nil {
			paths = append(paths, path)
		}
	}
	return append(paths, soname)
}

// find opens the candidates with probe and returns the first usable one.
func find(candidates []string, probe func(path string) (Library, error)) (Library, error) {
	var tried []string
	for _, path := range candidates {
		lib, err := probe(path)
		if err == nil && compareVersions(lib.Version, MinVersion) < 0 {
			err = fmt.Errorf("%s is version %s, and %s is the oldest that works", lib.Path, lib.Version, MinVersion)
		}
		if err == nil {
			return lib, nil
		}
		tried = append(tried, err.Error())
	}
	return Library{}, fmt.Errorf("%w (%s): %s", ErrNoLibrary, strings.Join(tried, "; "), remedy)
}

// compareVersions compares dotted numbers; what is no number counts as 0.
func compareVersions(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		if c := cmp.Compare(part(as, i), part(bs, i)); c != 0 {
			return c
		}
	}
	return 0
}

func part(parts []string, i int) int {
	if i >= len(parts) {
		return 0
	}
	digits := strings.TrimRightFunc(parts[i], func(r rune) bool { return r < '0' || r > '9' })
	n, _ := strconv.Atoi(digits)
	return n
}
