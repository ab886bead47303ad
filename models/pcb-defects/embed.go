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

//go:embed pcb-defects.onnx pcb-defects.yaml
var files embed.FS

// Files holds pcb-defects.onnx and pcb-defects.yaml, its manifest.
func Files() fs.FS { return files }
