// Package pcbdefects is the model that the program ships: a detector of six
// kinds of defect on pictures of printed circuit boards. README.md is its
// model card; training/ is how it was made.
package pcbdefects

import (
	"embed"
	"io/fs"
)

// Name is what the model is called where models have names.
const Name = "pcb-defects"

// Thresholds for a line on which each board is looked at several times
// (internal/board.Inspection). The manifest's own is for one look.
const (
	LineMinScore = 0.3 // of an object in one frame
	LineScore    = 0.5 // of the mean over all frames that have its place in view
)

//go:embed pcb-defects.onnx pcb-defects.yaml
var files embed.FS

// Files holds pcb-defects.onnx and pcb-defects.yaml, its manifest.
func Files() fs.FS { return files }
