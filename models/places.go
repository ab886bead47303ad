package models

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vedette-io/vedette/internal/fileerr"
	"github.com/vedette-io/vedette/internal/strictyaml"
)

// ErrNotFound is wrapped when a model is nowhere on this machine; the error
// says what to do.
var ErrNotFound = errors.New("model not found")

// Places are the folders where models are looked up by name, the first one
// first.
type Places []string

// CacheDir is where pulled models are kept: vedette/models in the user's cache
// folder (XDG_CACHE_HOME, or ~/.cache).
func CacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder: %w", err)
	}
	return filepath.Join(dir, "vedette", "models"), nil
}

// DefaultPlaces are the folder models here and the cache.
func DefaultPlaces() Places {
	places := Places{"models"}
	if dir, err := CacheDir(); err == nil { // without a home there is no cache
		places = append(places, dir)
	}
	return places
}

// Found is a model on this machine.
type Found struct{ Name, Path string }

// List finds the models in the places, by name; where two have one name, the
// first place counts.
func (p Places) List() []Found {
	var all []Found
	for _, dir := range p {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // a place need not exist
		}
		for _, e := range entries {
			ext := filepath.Ext(e.Name())
			name := strings.TrimSuffix(e.Name(), ext)
			if e.IsDir() || !strings.EqualFold(ext, ".onnx") || strings.HasPrefix(name, ".") ||
				slices.ContainsFunc(all, func(f Found) bool { return f.Name == name }) {
				continue
			}
			all = append(all, Found{name, filepath.Join(dir, e.Name())})
		}
	}
	slices.SortFunc(all, func(a, b Found) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// IsPath reports whether a model that is given so is given by path: anything
// with a slash or the ending of a model file.
func IsPath(name string) bool {
	return strings.ContainsRune(filepath.ToSlash(name), '/') || strings.EqualFold(filepath.Ext(name), ".onnx") || isManifest(name)
}

// Resolve finds the file for [Load] of a model that is given by name or by
// path ([IsPath]). Names are the files' without ending.
func (p Places) Resolve(name string) (string, error) {
	if name == "" {
		return "", fmt.Errorf("%w: its name is empty", ErrNotFound)
	}
	if IsPath(name) {
		if _, err := os.Stat(name); err != nil {
			return "", fmt.Errorf("%w: %w", ErrNotFound, fileerr.Named(err))
		}
		return name, nil
	}
	for _, dir := range p {
		for _, ext := range []string{".yaml", ".yml", ".onnx", ""} {
			path := filepath.Join(dir, name+ext)
			if info, err := os.Stat(path); err == nil && (ext != "") != info.IsDir() {
				return path, nil
			}
		}
	}
	if e, err := Find(name); err == nil {
		return "", fmt.Errorf("%w: %s is in the catalogue but not on this machine; run: vedette models pull %s", ErrNotFound, e.Name, e.Name)
	}
	return "", p.unknown(name)
}

// unknown is the error for a name that means nothing.
func (p Places) unknown(name string) error {
	var here, all []string
	for _, f := range p.List() {
		here = append(here, f.Name)
	}
	all = append(all, here...)
	for _, e := range Catalogue() {
		all = append(all, e.Name)
	}
	have := "none"
	if len(here) > 0 {
		have = strings.Join(here, ", ")
	}
	return fmt.Errorf("%w: there is no model %q in %s%s; on this machine: %s; the catalogue: vedette models list",
		ErrNotFound, name, strings.Join(p, " or "), strictyaml.DidYouMean(name, all), have)
}
