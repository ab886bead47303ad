package preprocess_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestVocabularyIsWritten: every reason that the code has a constant for is
// explained to subscribers. A new one goes into schema/asyncapi.yaml, and into
// the message's schema if it is seen in messages.
func TestVocabularyIsWritten(t *testing.T) {
	asyncapi, schema := text(t, "../schema/asyncapi.yaml"), text(t, "../schema/detection.v1.schema.json")
	unseen := []string{"DropStored", "DropUnpublished"} // only in accounts and metrics
	reasons := constants(t, "account.go", "fitness.go", "spool.go", "../detection.go")
	if len(reasons) < 16 {
		t.Errorf("only %d constants found: %v", len(reasons), reasons)
	}
	for name, word := range reasons {
		if !strings.Contains(asyncapi, "`"+word+"`") {
			t.Errorf("schema/asyncapi.yaml does not explain %s, %q", name, word)
		}
		if !slices.Contains(unseen, name) && !strings.Contains(schema, word) {
			t.Errorf("the schema of detections does not name %s, %q", name, word)
		}
	}
}

func text(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// constants are those of the files that are reasons, by name.
func constants(t *testing.T, files ...string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			name := spec.Names[0].Name
			value, ok := spec.Values[0].(*ast.BasicLit)
			if !ok || value.Kind != token.STRING || !slices.ContainsFunc([]string{"Drop", "Unfit", "Failed", "Gap"}, func(p string) bool { return strings.HasPrefix(name, p) }) {
				return true
			}
			word, err := strconv.Unquote(value.Value)
			if err != nil {
				t.Fatal(err)
			}
			found[name] = word
			return true
		})
	}
	return found
}
