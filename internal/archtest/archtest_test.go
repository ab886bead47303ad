package archtest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/internal/archtest"
)

// builds are the tag sets that the project is built with. What only one of
// them compiles is checked, too.
func builds() []string {
	return []string{"", "cv,gocv_specific_modules,gocv_videoio"}
}

// packageFiles is what "go list" says of one package.
type packageFiles struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	CgoFiles   []string
}

// list returns the non-test files of every package, in all builds together.
func list(t *testing.T) map[string][]string {
	t.Helper()
	_, self, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("the test does not know where it is")
	}
	root := filepath.Join(filepath.Dir(self), "..", "..")
	watch(t, root)
	files := map[string][]string{}
	for _, tags := range builds() {
		cmd := exec.Command("go", "list", "-e", "-tags", tags, "-json=ImportPath,Dir,GoFiles,CgoFiles", "./...")
		cmd.Dir = root
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go list -tags %q: %v\n%s", tags, err, &stderr)
		}
		dec := json.NewDecoder(bytes.NewReader(out))
		for {
			var p packageFiles
			if err := dec.Decode(&p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			for _, f := range slices.Concat(p.GoFiles, p.CgoFiles) {
				file := filepath.Join(p.Dir, f)
				if !slices.Contains(files[p.ImportPath], file) {
					files[p.ImportPath] = append(files[p.ImportPath], file)
				}
			}
		}
	}
	return files
}

// watch reads the folders of the module, so that "go test" does not answer from
// its cache when one has a new file: it cannot see what "go list" reads.
func watch(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && path != root && strings.HasPrefix(entry.Name(), ".") {
			return filepath.SkipDir
		}
		return nil // a file that goes away meanwhile is no matter
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestArchitecture(t *testing.T) {
	packages := list(t)
	if len(packages[archtest.Module]) == 0 || len(packages[archtest.Module+"/internal/archtest"]) == 0 {
		t.Fatalf("go list did not find this module: %v", slices.Sorted(maps.Keys(packages)))
	}
	_, self, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(self), "..", "..") + string(filepath.Separator)
	for _, path := range slices.Sorted(maps.Keys(packages)) {
		documented := false
		for _, file := range packages[path] {
			s := archtest.CheckSource(path, file, nil)
			documented = documented || s.Documented
			for _, problem := range s.Problems {
				t.Error(strings.TrimPrefix(problem, root))
			}
		}
		if !documented {
			t.Errorf("%s:1: package %s has no doc comment", strings.TrimPrefix(packages[path][0], root), path)
		}
	}
}

func TestWrongImport(t *testing.T) {
	const m = archtest.Module
	for _, tc := range []struct{ from, to, want string }{
		{m, "fmt", ""},
		{m, m + "/internal/tensor", "the root package is the vocabulary"},
		{m, "github.com/nats-io/nats.go", "only internal/bus and client"},
		{m + "/ingest", m, ""},
		{m + "/ingest", m + "/internal/bus", ""},
		{m + "/ingest/rtsp", m + "/ingest", ""},
		{m + "/ingest", m + "/ingest/rtsp", ""},
		{m + "/ingest/rtsp", m + "/infer/decode", "stages never import each other (ingest imports infer)"},
		{m + "/sink", m + "/track", "stages never import each other"},
		{m + "/infer", m + "/models", ""},
		{m + "/inspect", m + "/configs", "never imports configs or pipeline"},
		{m + "/track", m + "/pipeline", "never imports configs or pipeline"},
		{m + "/preprocess", m + "/cmd/vedette", "only cmd imports cmd"},
		{m + "/internal/stage", m + "/infer", "internal never imports a stage"},
		{m + "/internal/stage", m + "/pipeline", "internal never imports a stage"},
		{m + "/internal/stage", m + "/internal/bus", ""},
		{m + "/client", m + "/infer", "client never imports a stage"},
		{m + "/models", m + "/configs", "models never imports a stage"},
		{m + "/configs", m + "/infer", ""},
		{m + "/configs", m + "/pipeline", "configs never imports pipeline"},
		{m + "/pipeline", m + "/configs", ""},
		{m + "/pipeline", m + "/ingest", ""},
		{m + "/cmd/vedette", m + "/pipeline", ""},
		{m + "/cmd/vedette", m + "/cmd/internal/x", ""},
		{m + "/pipeline", m + "/cmd/vedette", "only cmd imports cmd"},
		{m + "/internal/cv", "gocv.io/x/gocv", ""},
		{m + "/ingest", "gocv.io/x/gocv", "only internal/cv may import gocv.io/x/gocv"},
		{m + "/internal/cvx", "gocv.io/x/gocv/cuda", "only internal/cv may"},
		{m + "/internal/ort", "github.com/yalue/onnxruntime_go", ""},
		{m + "/infer", "github.com/yalue/onnxruntime_go", "only internal/ort may"},
		{m + "/internal/gorgonia", "gorgonia.org/tensor", ""},
		{m + "/internal/ort", "gorgonia.org/gorgonia", "only internal/gorgonia may"},
		{m + "/infer", "github.com/owulveryck/onnx-go/backend/x/gorgonnx", "only internal/gorgonia may"},
		{m + "/internal/bus", "github.com/nats-io/nats-server/v2/server", ""},
		{m + "/client", "github.com/nats-io/nats.go/jetstream", ""},
		{m + "/internal/stage", "github.com/nats-io/nats.go", "only internal/bus and client may"},
		{"example.org/other", "gocv.io/x/gocv", ""},
	} {
		got := archtest.WrongImport(tc.from, tc.to)
		if (tc.want == "") != (got == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s imports %s: got %q, want %q", tc.from, tc.to, got, tc.want)
		}
	}
}

func TestCheckSource(t *testing.T) {
	const stage = archtest.Module + "/ingest"
	body := func(n int) string { return "func f() {\n" + strings.Repeat("\t_ = 1\n", n) + "}\n" }
	for _, tc := range []struct {
		name, src string
		want      []string
	}{
		{"clean", "package x\n", nil},
		{"import", "package x\n\nimport (\n\t\"fmt\"\n\t_ \"gocv.io/x/gocv\"\n)\n",
			[]string{"f.go:5: " + stage + " must not import gocv.io/x/gocv: only internal/cv may import gocv.io/x/gocv"}},
		{"build tag", "//go:build cv\n\npackage x\n\nimport \"" + archtest.Module + "/sink\"\n", []string{"f.go:5: " + stage + " must not import"}},
		{"init", "package x\n\nfunc init() {}\n", []string{"f.go:3: init functions are not used here"}},
		{"init method", "package x\n\ntype t int\n\nfunc (t) init() {}\n", nil},
		{"long enough", "package x\n" + body(80), nil},
		{"too long", "package x\n" + body(81), []string{"f.go:2: function f has 81 lines, more than 80"}},
		{"400 lines", "package x\n" + strings.Repeat("\n", 398) + "var a int\n", nil},
		{"401 lines", "package x\n" + strings.Repeat("\n", 399) + "var a int\n", []string{"f.go:1: the file has 401 lines, more than 400"}},
		{"generated", "// Code generated by x. DO NOT EDIT.\n\npackage x\n" + strings.Repeat("\n", 500), nil},
		{"broken", "package x\nfunc {", []string{"f.go:2:6: expected 'IDENT'"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := archtest.CheckSource(stage, "f.go", []byte(tc.src)).Problems
			if len(got) != len(tc.want) {
				t.Fatalf("got %q, want %q", got, tc.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], tc.want[i]) {
					t.Errorf("got %q, want %q…", got[i], tc.want[i])
				}
			}
		})
	}
	if !archtest.CheckSource(stage, "f.go", []byte("// Package x is documented.\npackage x\n")).Documented {
		t.Error("a doc comment is not seen")
	}
	if archtest.CheckSource(stage, "f.go", []byte("// A licence.\n\npackage x\n")).Documented {
		t.Error("a detached comment counts as documentation")
	}
}
