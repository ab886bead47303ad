package models_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
	"github.com/vedette-io/vedette/models"
)

func TestEdition(t *testing.T) {
	base := func() *models.Model {
		return &models.Model{Report: models.Report{SHA256: "abc"}, Manifest: models.Manifest{
			Name: "a", Task: models.Detect, Labels: []string{"car"}, Input: models.Input{Width: 8, Height: 8}, Output: models.Output{Decoder: "yolox", MinScore: 0.4},
		}}
	}
	edition, fit := base().Edition(), base().Manifest.Input.Fit()
	if len(edition) != 16 || len(fit) != 16 {
		t.Fatalf("edition %q, fit %q", edition, fit)
	}
	for name, c := range map[string]struct {
		change           func(m *models.Model)
		edition, fitting bool // stays the same
	}{
		"nothing":         {func(*models.Model) {}, true, true},
		"the name":        {func(m *models.Model) { m.Manifest.Name, m.Manifest.File = "b", "b.onnx" }, true, true},
		"what is told":    {func(m *models.Model) { m.Manifest.Licence, m.Manifest.Source, m.Manifest.SHA256 = "MIT", "here", "abc" }, true, true},
		"a default":       {func(m *models.Model) { m.Manifest.Input.Color, m.Manifest.Input.Resize = models.RGB, models.Letterbox }, true, true},
		"the file":        {func(m *models.Model) { m.Report.SHA256 = "abd" }, false, true},
		"the labels":      {func(m *models.Model) { m.Manifest.Labels = []string{"bus"} }, false, true},
		"the score":       {func(m *models.Model) { m.Manifest.Output.MinScore = 0.5 }, false, true},
		"the scale":       {func(m *models.Model) { m.Manifest.Input.Scale = 1. / 255 }, false, true},
		"the size":        {func(m *models.Model) { m.Manifest.Input.Width = 16 }, false, false},
		"the colours":     {func(m *models.Model) { m.Manifest.Input.Color = models.BGR }, false, false},
		"the way to size": {func(m *models.Model) { m.Manifest.Input.Resize = models.Stretch }, false, false},
	} {
		m := base()
		c.change(m)
		if same := m.Edition() == edition; same != c.edition {
			t.Errorf("%s: the edition is the same: %v", name, same)
		}
		if same := m.Manifest.Input.Fit() == fit; same != c.fitting {
			t.Errorf("%s: the fit is the same: %v", name, same)
		}
	}
	label := base()
	label.Manifest.Labels, label.Manifest.LabelSet = nil, "coco80"
	named := base()
	named.Manifest.Labels = models.LabelSet("coco80")
	if label.Edition() != named.Edition() {
		t.Error("a set of labels and the same labels are two editions")
	}
}

// A model that travels over the bus is of the same edition, whatever its file
// would have one guess of what its manifest leaves out.
func TestEditionTravels(t *testing.T) {
	onnx := onnxtest.BarcodeReader(1)
	sum := sha256.Sum256(onnx)
	for name, change := range map[string]func(m *models.Manifest){
		"as it is":   func(*models.Manifest) {},
		"no padding": func(m *models.Manifest) { m.Input.Resize, m.Input.Pad = models.Letterbox, 0 },
		"thirds":     func(m *models.Manifest) { m.Input.Scale, m.Input.Mean = 1./3, []float64{1. / 7} },
		"no labels":  func(m *models.Manifest) { m.Labels = nil },
		"a score":    func(m *models.Manifest) { m.Output.MinScore = 0.1 },
		"a scene": func(m *models.Manifest) {
			m.Output.Scene = &models.Scene{Output: "scene", Classes: []string{"none", "board"}, Fit: "board"}
		},
	} {
		m := &models.Model{ONNX: onnx, Manifest: onnxtest.BarcodeManifest(), Report: models.Report{SHA256: hex.EncodeToString(sum[:])}}
		change(&m.Manifest)
		m.Manifest.SHA256 = m.Report.SHA256
		text, err := m.Manifest.YAML()
		if err != nil {
			t.Fatal(err)
		}
		back, err := models.Assemble("travelled.onnx", text, onnx)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if back.Edition() != m.Edition() || back.Manifest.Input.Fit() != m.Manifest.Input.Fit() {
			t.Errorf("%s: another edition came back of\n%s", name, text)
		}
	}
}

func TestAssembleRefuses(t *testing.T) {
	onnx := onnxtest.BarcodeReader(1)
	good := onnxtest.BarcodeManifest()
	sum := sha256.Sum256(onnx)
	good.SHA256 = hex.EncodeToString(sum[:])
	for name, c := range map[string]struct {
		change func(m *models.Manifest)
		onnx   []byte
		says   string
	}{
		"another file":   {func(m *models.Manifest) { m.SHA256 = strings.Repeat("0", 64) }, onnx, "its manifest says 000000000000"},
		"no network":     {func(*models.Manifest) {}, []byte("no network"), "m.onnx"},
		"another size":   {func(m *models.Manifest) { m.Input.Width = 64 }, onnx, "input.width"},
		"no name":        {func(m *models.Manifest) { m.Name = "" }, onnx, "no name"},
		"a wrong number": {func(m *models.Manifest) { m.Input.Pad = 300 }, onnx, "input.pad"},
		"several inputs": {func(m *models.Manifest) { m.SHA256 = hash(onnxtest.SeveralInputs(8)) }, onnxtest.SeveralInputs(8), "2 inputs"},
		"too many labels": {func(m *models.Manifest) {
			m.Output.Decoder, m.Task, m.SHA256 = "classify", models.Classify, hash(onnxtest.Slow(1))
		}, onnxtest.Slow(1), "labels"},
	} {
		m := good
		c.change(&m)
		text, err := m.YAML()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := models.Assemble("m.onnx", text, c.onnx); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: the error is %v, want one that says %q", name, err, c.says)
		}
	}
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
