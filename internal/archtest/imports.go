package archtest

import (
	"fmt"
	"slices"
	"strings"
)

// Module is the path of this module.
const Module = "github.com/vedette-io/vedette"

// Stages are the folders of the pipeline's stages. A stage's own packages may
// import each other.
func Stages() []string {
	return []string{"ingest", "preprocess", "infer", "sink", "track", "inspect"}
}

// library is an external module and the only packages that may import it.
type library struct {
	module string
	homes  []string
}

// libraries lists the external modules that have one home each, so that their
// types, build tags and crashes have one place.
func libraries() []library {
	return []library{
		{"gocv.io/x/gocv", []string{"internal/cv"}},
		{"github.com/yalue/onnxruntime_go", []string{"internal/ort"}},
		{"github.com/owulveryck/onnx-go", []string{"internal/gorgonia"}},
		{"gorgonia.org", []string{"internal/gorgonia"}},
		{"github.com/nats-io/nats.go", []string{"internal/bus", "client"}},
		{"github.com/nats-io/nats-server/v2", []string{"internal/bus", "client"}},
	}
}

// WrongImport says why the package from must not import the package to; empty
// when it may. Both are full import paths.
func WrongImport(from, to string) string {
	source, ours := inModule(from)
	if !ours {
		return ""
	}
	target, ours := inModule(to)
	if !ours {
		return wrongLibrary(source, to)
	}
	switch {
	case source == "":
		return "the root package is the vocabulary of all others and imports none of them"
	case isIn(target, "cmd") && !isIn(source, "cmd"):
		return "only cmd imports cmd"
	}
	outer := isIn(target, "configs") || isIn(target, "pipeline")
	if stage := stageOf(source); stage != "" {
		if other := stageOf(target); other != "" && other != stage {
			return fmt.Sprintf("stages never import each other (%s imports %s); share through internal or the root package", stage, other)
		}
		if outer {
			return fmt.Sprintf("a stage (%s) never imports configs or pipeline; they import it", stage)
		}
	}
	for _, low := range []string{"internal", "client", "models"} {
		if isIn(source, low) && (outer || stageOf(target) != "") {
			return low + " never imports a stage, configs or pipeline; they import it"
		}
	}
	if isIn(source, "configs") && isIn(target, "pipeline") {
		return "configs never imports pipeline; pipeline imports it"
	}
	return ""
}

func wrongLibrary(source, to string) string {
	for _, lib := range libraries() {
		if !isIn(to, lib.module) {
			continue
		}
		if !slices.ContainsFunc(lib.homes, func(home string) bool { return isIn(source, home) }) {
			return fmt.Sprintf("only %s may import %s", strings.Join(lib.homes, " and "), lib.module)
		}
	}
	return ""
}

// inModule returns a path of this module without the module's own; "" is the
// root package. The names of external tests end in _test.
func inModule(path string) (rel string, ok bool) {
	if path == Module {
		return "", true
	}
	return strings.CutPrefix(path, Module+"/")
}

// isIn reports whether path is folder or lies below it.
func isIn(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// stageOf is the stage that a package belongs to, or "".
func stageOf(rel string) string {
	first, _, _ := strings.Cut(rel, "/")
	if slices.Contains(Stages(), first) {
		return first
	}
	return ""
}
