package vedette_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/vedette-io/vedette"
)

// TestAsyncAPI checks the description of the bus against what the code does.
func TestAsyncAPI(t *testing.T) {
	raw, err := os.ReadFile("schema/asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if v, _ := doc["asyncapi"].(string); !strings.HasPrefix(v, "3.") {
		t.Errorf("asyncapi: %q, want 3.x", v)
	}
	for _, key := range []string{"info", "servers", "channels", "operations", "components"} {
		if doc[key] == nil {
			t.Errorf("%s is missing", key)
		}
	}
	refs := 0
	walk(doc, func(ref string) {
		refs++
		if file, ok := strings.CutPrefix(ref, "./"); ok {
			if _, err := os.Stat(filepath.Join("schema", file)); err != nil {
				t.Error(err)
			}
		} else if path, ok := strings.CutPrefix(ref, "#/"); !ok || lookUp(doc, strings.Split(path, "/")...) == nil {
			t.Errorf("$ref %q leads nowhere", ref)
		}
	})
	if refs < 4 {
		t.Errorf("%d references found, there are more", refs)
	}

	var s vedette.Subjects
	for path, want := range map[string]string{
		"channels detections address":                                    s.Detection("{camera}", "{model}"),
		"components messages detection payload $ref":                     "./" + filepath.Base(detectionSchemaFile),
		"components messages detection headers properties ce-type const": "io." + vedette.DetectionSchema,
	} {
		if got := lookUp(doc, strings.Fields(path)...); got != want {
			t.Errorf("%s: %v, want %s", path, got, want)
		}
	}
	text, _ := lookUp(doc, "channels", "detections", "description").(string)
	if !strings.Contains(text, s.Stream("detections")) {
		t.Errorf("the channel of detections does not name the stream %s", s.Stream("detections"))
	}
}

// walk calls f for every $ref below v.
func walk(v any, f func(ref string)) {
	switch v := v.(type) {
	case map[string]any:
		for key, child := range v {
			if ref, ok := child.(string); ok && key == "$ref" {
				f(ref)
			}
			walk(child, f)
		}
	case []any:
		for _, child := range v {
			walk(child, f)
		}
	}
}

func lookUp(v any, path ...string) any {
	for _, key := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}
