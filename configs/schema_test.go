package configs_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/vedette-io/vedette/configs"
	"github.com/vedette-io/vedette/internal/strictyaml"
)

const schemaFile = "vedette.schema.json"

// makeSchema derives the schema for editors from the types and their comments.
func makeSchema(t *testing.T) []byte {
	t.Helper()
	r := &jsonschema.Reflector{FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true, ExpandedStruct: true, Mapper: mapType}
	if err := r.AddGoComments("github.com/vedette-io/vedette/configs", "./"); err != nil {
		t.Fatal(err)
	}
	// The comments come with the folder's own name as their package.
	for name, text := range r.CommentMap {
		r.CommentMap[strings.Replace(name, "vedette/configs/.", "vedette/configs.", 1)] = strings.Join(strings.Fields(text), " ")
	}
	s := r.Reflect(configs.Config{})
	s.ID, s.Title = "", "vedette"
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(data, '\n')
}

// mapType writes the types that are read from text.
func mapType(t reflect.Type) *jsonschema.Schema {
	env := &jsonschema.Schema{Type: "string", Pattern: `\$\{[A-Za-z_][A-Za-z0-9_]*\}`}
	switch t {
	case reflect.TypeFor[configs.Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: `^([0-9.]+(ns|us|ms|s|m|h))+$|^[0-9.]+d$|^0$|\$\{`, Examples: []any{"500ms", "3s", "24h", "30d"}}
	case reflect.TypeFor[configs.Sync]():
		return &jsonschema.Schema{Type: "string", Pattern: `^always$|^([0-9.]+(ns|us|ms|s|m|h))+$|\$\{`, Examples: []any{"always", "1s"}}
	case reflect.TypeFor[configs.Size]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "integer", Minimum: "0"}, {Type: "string", Pattern: `^[0-9.]+ *([kKMGT]?B|[KMGT]iB)?$|\$\{`}}, Examples: []any{"500MB", "10GiB"}}
	}
	switch t.Kind() {
	case reflect.String:
		e, ok := reflect.Zero(t).Interface().(strictyaml.Enum)
		if !ok {
			return nil
		}
		var values []any
		for _, v := range e.Values() {
			values = append(values, v)
		}
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Enum: values}, env}}
	}
	return nil
}

func TestSchema(t *testing.T) {
	got := makeSchema(t)
	if *update {
		if err := os.WriteFile(schemaFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s does not fit the types: run go test ./configs -update", schemaFile)
	}
	if n := strings.Count(string(got), `"description"`); n < 60 {
		t.Errorf("only %d descriptions", n)
	}
}

// TestSchemaAgrees: the schema takes what the loader takes, and refuses most of
// what it refuses.
func TestSchemaAgrees(t *testing.T) {
	schema, err := validator.NewCompiler().Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"surveillance.yaml", "line.yaml", "testdata/everything.yaml"} {
		if err := schema.Validate(readAny(t, file)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	for _, file := range []string{"keys", "types", "ranges", "sinks", "empty"} {
		if err := schema.Validate(readAny(t, filepath.Join("testdata", file+".bad.yaml"))); err == nil {
			t.Errorf("%s: the schema finds nothing wrong", file)
		}
	}
}

func readAny(t *testing.T, file string) any {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := strictyaml.Generic(data, &v); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := validator.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}
