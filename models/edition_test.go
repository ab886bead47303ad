package models_test

import (
	"testing"

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

// A manifest that travels over the bus is that of the same edition.
func TestEditionTravels(t *testing.T) {
	m := &models.Model{Report: models.Report{SHA256: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}, Manifest: models.Manifest{
		Name: "a", Task: models.Classify, LabelSet: "imagenet1000",
		Input:  models.Input{Width: 224, Height: 224, Color: models.RGB, Resize: models.Crop, CropFraction: 0.875, Scale: 1. / 255, Mean: []float64{0.485, 0.456, 0.406}, Std: []float64{0.229, 0.224, 0.225}, Layout: models.NCHW, Type: models.Float32},
		Output: models.Output{Decoder: "classify", Softmax: true, MinScore: 0.1},
	}}
	text, err := m.Manifest.YAML()
	if err != nil {
		t.Fatal(err)
	}
	back, err := models.ParseManifest("travelled.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	if got := (&models.Model{Report: m.Report, Manifest: back}).Edition(); got != m.Edition() {
		t.Errorf("edition %s became %s over\n%s", m.Edition(), got, text)
	}
}
