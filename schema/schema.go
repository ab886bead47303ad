// Package schema is the published description of what vedette puts on the bus,
// for programs that check messages, generate code or show documentation.
//
// detection.v1.schema.json is the JSON Schema (2020-12) of a detection, made
// from the type [github.com/vedette-io/vedette.Detection] by "go test . -update"
// in the root of the module. asyncapi.yaml (AsyncAPI 3) says on which subjects
// messages travel. The folder corpus beside it holds recorded messages, also
// from later releases, that every consumer must be able to read.
//
// Within a version fields are only added, and enumerations are open: a schema
// accepts what later releases add.
package schema

import _ "embed" // for the files below

// DetectionV1 returns the JSON Schema of a detection.
func DetectionV1() []byte { return []byte(detectionV1) }

// AsyncAPI returns the AsyncAPI document, in YAML. It refers to the JSON Schema
// as ./detection.v1.schema.json.
func AsyncAPI() []byte { return []byte(asyncAPI) }

//go:embed detection.v1.schema.json
var detectionV1 string

//go:embed asyncapi.yaml
var asyncAPI string
