package models

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vedette-io/vedette/internal/onnxfile"
)

// Assemble makes a model of a manifest that is complete and the file that it is
// for, which is kept at path, as somebody who has loaded the model hands them on.
// Nothing is guessed that the manifest leaves out: it means what it means there.
// The file's hash must be the manifest's, and the two must not contradict each
// other.
func Assemble(path string, manifest, onnx []byte) (*Model, error) {
	m, doc := parseManifest(path, manifest)
	if err := doc.Err(); err != nil {
		return nil, err
	}
	file, err := onnxfile.Parse(onnx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r := report(files{onnx: path}, onnx, file)
	r.Origin = FromManifest
	if !strings.EqualFold(m.SHA256, r.SHA256) {
		return nil, fmt.Errorf("%s: the file has sha256 %.12s…, its manifest says %.12s…", path, r.SHA256, m.SHA256)
	}
	if file.External != "" {
		return nil, fmt.Errorf("%s: the weight %q is stored in another file", path, file.External)
	}
	in, err := inputOf(file, m.Input.Layout)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if m.Name == "" {
		return nil, errors.New(path + ": its manifest gives it no name")
	}
	m = m.withDefaults()
	m.contradictions(doc, file, in)
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return &Model{Manifest: m, Path: path, ONNX: onnx, Report: r}, nil
}
