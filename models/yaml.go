package models

import (
	"fmt"

	"github.com/vedette-io/vedette/internal/strictyaml"
)

// ParseManifest reads a manifest and checks it by itself; file is the name to
// use in errors. Unknown keys are errors. What it leaves out stays empty.
func ParseManifest(file string, data []byte) (Manifest, error) {
	m, doc := parseManifest(file, data)
	return m, doc.Err()
}

func parseManifest(file string, data []byte) (Manifest, *strictyaml.Doc) {
	var m Manifest
	doc := strictyaml.Decode(file, data, &m, nil)
	if doc.Err() == nil {
		m.validate(doc)
	}
	return m, doc
}

// YAML writes the manifest as a file that [ParseManifest] reads.
func (m Manifest) YAML() ([]byte, error) {
	if m.LabelSet != "" {
		m.Labels = nil
	}
	data, err := strictyaml.Encode(m)
	if err != nil {
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	return data, nil
}
