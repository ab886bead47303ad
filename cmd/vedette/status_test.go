package main

import (
	"strings"
	"testing"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// TestStatusOfAModelThatIsOut: the table says so beside the model and beside
// the cameras that use it.
func TestStatusOfAModelThatIsOut(t *testing.T) {
	ref := func(name string) vedette.ModelRef {
		return vedette.ModelRef{Name: name, SHA256: strings.Repeat("a", 64), Engine: "onnxruntime", Device: "cuda:0"}
	}
	s := pipeline.Status{
		Models: []pipeline.ModelStatus{
			{ModelRef: ref("good"), Workers: 2, State: "ok", Batches: []int{1, 4}},
			{ModelRef: ref("bad"), Workers: 2, State: "out", Reason: "2 runs hang", Failures: 7, CutOff: 3, GivenUp: 2, Reloads: 1},
		},
		Cameras: []pipeline.CameraStatus{
			{ID: "gate", Phase: "online", Accounts: map[string]preprocess.Counts{"good": {}}},
			{ID: "yard", Phase: "online", Accounts: map[string]preprocess.Counts{"bad": {}}, Degraded: map[string]string{"bad": "2 runs hang"}},
		},
	}
	var out strings.Builder
	if err := (&plantStatus{said: []pipeline.Status{s}}).write(&out); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{ // the table breaks lines
		"\nyard: DEGRADED: model bad is out: 2 runs hang\n",
		"bad: Out: 2 runs hang, 7 runs failed (3 cut off, 2 hung),\n", "loaded anew once\n",
	} {
		if !strings.Contains(squeeze(out.String()), squeeze(line)) {
			t.Errorf("no %q in\n%s", line, &out)
		}
	}
	if strings.Contains(out.String(), "gate:") || strings.Contains(out.String(), "good:") {
		t.Errorf("something is said of what is well:\n%s", &out)
	}
}

// squeeze makes one space of several.
func squeeze(s string) string {
	for strings.Contains(s, "  ") {
		s = strings.ReplaceAll(s, "  ", " ")
	}
	return s
}
