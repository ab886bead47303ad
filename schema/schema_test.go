package schema_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/vedette-io/vedette/schema"
)

func TestEmbeddedFiles(t *testing.T) {
	var doc struct {
		AsyncAPI string `yaml:"asyncapi"`
	}
	if err := yaml.Unmarshal(schema.AsyncAPI(), &doc); err != nil || doc.AsyncAPI != "3.0.0" {
		t.Errorf("asyncapi %q, %v", doc.AsyncAPI, err)
	}
	schema.DetectionV1()[0] = 'x' // the caller's copy
	if !json.Valid(schema.DetectionV1()) {
		t.Error("the schema can be changed")
	}
}

// Check a recorded message against the schema.
func ExampleDetectionV1() {
	compiler := jsonschema.NewCompiler()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema.DetectionV1()))
	if err != nil {
		log.Fatal(err)
	}
	if err := compiler.AddResource("detection.json", doc); err != nil {
		log.Fatal(err)
	}
	detection, err := compiler.Compile("detection.json")
	if err != nil {
		log.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join("corpus", "detect-objects.json"))
	if err != nil {
		log.Fatal(err)
	}
	message, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("valid:", detection.Validate(message) == nil)
	delete(message.(map[string]any), "objects")
	fmt.Println("without objects:", detection.Validate(message) == nil)
	// Output:
	// valid: true
	// without objects: false
}
