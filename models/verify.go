package models

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// State is how a model of the catalogue is on this machine.
type State string

// The states of a model.
const (
	Present State = "ok"
	Missing State = "missing"
	Damaged State = "damaged"
	Unknown State = "unknown"
)

// Check is what [Verify] found out about a model.
type Check struct {
	Entry Entry
	Path  string
	State State
	// Err says what is wrong with one that is damaged, or no model of the catalogue.
	Err error
}

// Verify hashes the models in dir (empty: [CacheDir]): the named one, or all
// of the catalogue when name is empty.
func Verify(name, dir string) ([]Check, error) {
	dir, err := PullOptions{Dir: dir}.dir()
	if err != nil {
		return nil, err
	}
	entries := Catalogue()
	if name != "" {
		e, err := Find(name)
		if err != nil {
			return nil, err
		}
		entries = []Entry{e}
	}
	var checks []Check
	for _, e := range entries {
		c := Check{Entry: e, Path: filepath.Join(dir, e.Name+".onnx"), State: Present}
		switch err := e.check(c.Path); {
		case errors.Is(err, os.ErrNotExist):
			c.State = Missing
		case err != nil:
			c.State, c.Err = Damaged, err
		}
		checks = append(checks, c)
	}
	return checks, nil
}

// VerifyFile looks by its hash which model of the catalogue a file is. Of one
// that is none it takes the name for what it should be. The error is about a file
// that cannot be read.
func VerifyFile(path string) (Check, error) {
	c := Check{Path: path}
	f, err := os.Open(path)
	if err != nil {
		return c, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return c, err
	}
	sum := h.Sum(nil)
	for _, e := range Catalogue() {
		err := e.compare(n, sum)
		switch {
		case err == nil:
			return Check{Entry: e, Path: path, State: Present}, nil
		case strings.TrimSuffix(filepath.Base(path), ".onnx") == e.Name:
			c = Check{Entry: e, Path: path, State: Damaged, Err: err}
		}
	}
	if c.State == "" {
		c.State, c.Err = Unknown, fmt.Errorf("%w: its SHA-256 %x is none of its models'", ErrDamaged, sum)
	}
	return c, nil
}
