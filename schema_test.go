package vedette_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/vedette-io/vedette"
)

var update = flag.Bool("update", false, "write the JSON Schema files")

const detectionSchemaFile = "schema/detection.v1.schema.json"

// TestDetectionSchema keeps the published schema true to the Go types.
func TestDetectionSchema(t *testing.T) {
	got, err := json.MarshalIndent(detectionSchema(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append([]byte(strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(string(got))), '\n')
	if *update {
		if err := os.WriteFile(detectionSchemaFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(detectionSchemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is out of date: go test . -update\n%s", detectionSchemaFile, diff)
	}
}

// detectionSchema reflects [vedette.Detection]. Enumerations and objects stay
// open, as the contract promises; what is never allowed within v1 is not.
func detectionSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	r := &jsonschema.Reflector{AllowAdditionalProperties: true, ExpandedStruct: true, Mapper: mapType}
	s := r.Reflect(&vedette.Detection{})
	s.ID = "urn:vedette:detection:v1"
	s.Title = vedette.DetectionSchema
	name, ok := s.Properties.Get("schema")
	if !ok {
		t.Fatal("the schema has no field schema")
	}
	name.Const = vedette.DetectionSchema
	s.Description = "What one model says about one frame of one camera. Consumers ignore fields they do not know and expect values of enumerations that they do not know."
	status := func(value string, not bool) *jsonschema.Schema {
		is := &jsonschema.Schema{Const: value}
		if not {
			is = &jsonschema.Schema{Not: is}
		}
		return &jsonschema.Schema{Required: []string{"status"}, Extras: map[string]any{"properties": map[string]any{"status": is}}}
	}
	task := func(tasks ...any) map[string]any {
		return map[string]any{"properties": map[string]any{"task": &jsonschema.Schema{Enum: tasks}}, "required": []string{"task"}}
	}
	okAnd := func(tasks ...any) *jsonschema.Schema {
		return &jsonschema.Schema{Required: []string{"status", "model"}, Extras: map[string]any{"properties": map[string]any{
			"status": &jsonschema.Schema{Const: "ok"}, "model": task(tasks...),
		}}}
	}
	result := &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Required: []string{"objects"}}, {Required: []string{"classes"}}}}
	s.AllOf = []*jsonschema.Schema{
		{If: status("ok", true), Then: &jsonschema.Schema{Not: result}},
		{If: okAnd("detect", "segment"), Then: &jsonschema.Schema{Required: []string{"objects"}}},
		{If: okAnd("classify"), Then: &jsonschema.Schema{Required: []string{"classes"}}},
	}
	return s
}

func mapType(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[vedette.Time]():
		return &jsonschema.Schema{Type: "string", Format: "date-time", Pattern: `^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$`, Examples: []any{"2026-11-23T22:47:01.123456Z"}}
	case reflect.TypeFor[vedette.Box]():
		four := uint64(4)
		return &jsonschema.Schema{Type: "array", Items: &jsonschema.Schema{Type: "number"}, MinItems: &four, MaxItems: &four}
	case reflect.TypeFor[uint64]():
		return &jsonschema.Schema{Type: "integer", Minimum: "0"}
	}
	return nil
}

func compileSchema(t *testing.T) *validator.Schema {
	t.Helper()
	s, err := validator.NewCompiler().Compile(detectionSchemaFile)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestCorpus reads recorded messages, among them one from a future release, as
// every consumer must be able to.
func TestCorpus(t *testing.T) {
	schema := compileSchema(t)
	files, err := filepath.Glob("schema/corpus/*.json")
	if err != nil || len(files) < 8 {
		t.Fatalf("corpus: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var first, second vedette.Detection
			if err := json.Unmarshal(raw, &first); err != nil {
				t.Fatal(err)
			}
			again, err := json.Marshal(first)
			if err != nil {
				t.Fatal(err)
			}
			for _, message := range [][]byte{raw, again} {
				v, err := validator.UnmarshalJSON(bytes.NewReader(message))
				if err != nil {
					t.Fatal(err)
				}
				if err := schema.Validate(v); err != nil {
					t.Error(err)
				}
			}
			if err := json.Unmarshal(again, &second); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(first, second); diff != "" {
				t.Error(diff)
			}
			future := strings.HasPrefix(filepath.Base(file), "future")
			if err := first.Validate(); err != nil && !future {
				t.Error(err)
			}
			if same := sameJSON(t, raw, again); same == future {
				t.Errorf("equal after a round trip: %v", same)
			}
		})
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := errors.Join(json.Unmarshal(a, &x), json.Unmarshal(b, &y)); err != nil {
		t.Fatal(err)
	}
	return cmp.Equal(x, y)
}

// TestSchemaRefuses shows that the schema guards what Validate does.
func TestSchemaRefuses(t *testing.T) {
	schema := compileSchema(t)
	for name, change := range map[string]func(m map[string]any){
		"failed with objects":   func(m map[string]any) { m["status"] = "failed" },
		"unknown with objects":  func(m map[string]any) { m["status"] = "partial" },
		"ok without objects":    func(m map[string]any) { delete(m, "objects") },
		"classify no classes":   func(m map[string]any) { m["model"].(map[string]any)["task"] = "classify" },
		"no prev_seq":           func(m map[string]any) { delete(m, "prev_seq") },
		"other schema":          func(m map[string]any) { m["schema"] = "vedette.detection.v2" },
		"negative seq":          func(m map[string]any) { m["seq"] = -1 },
		"time without decimals": func(m map[string]any) { m["capture_time"] = "2026-11-23T22:47:01Z" },
		"box of three":          func(m map[string]any) { m["objects"].([]any)[0].(map[string]any)["box"] = []any{1, 2, 3} },
		"gap by name":           func(m map[string]any) { m["gap_before"] = map[string]any{"stale": "2"} },
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := json.Marshal(sample())
			if err != nil {
				t.Fatal(err)
			}
			var m map[string]any
			if err := json.Unmarshal(raw, &m); err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(m); err != nil {
				t.Fatalf("before the change: %v", err)
			}
			change(m)
			if schema.Validate(m) == nil {
				t.Error("accepted")
			}
		})
	}
}
