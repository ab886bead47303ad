package models

import (
	"slices"
	"strings"

	"github.com/vedette-io/vedette/internal/onnxfile"
)

// familyTask is what networks of a decoder's family do; empty for a decoder
// that is not known here.
func familyTask(decoder string) Task {
	switch decoder {
	case "yolox", "yolov5", "yolov8", "end2end", "nanodet", "ssd", "fastestdet", "yunet":
		return Detect
	case "classify":
		return Classify
	}
	return ""
}

// familyInput is how networks of a decoder's family are usually fed. It is
// used where neither the manifest nor the guess of the decoder table says it.
func familyInput(decoder string) Input {
	switch decoder {
	case "yolox":
		return Input{Color: BGR, Resize: LetterboxTopLeft, Pad: 114, Scale: 1}
	case "yolov5", "yolov8", "end2end":
		return Input{Color: RGB, Resize: Letterbox, Pad: 114, Scale: 1.0 / 255}
	case "nanodet":
		return Input{Color: BGR, Resize: Letterbox, Scale: 1,
			Mean: []float64{103.53, 116.28, 123.675}, Std: []float64{57.375, 57.12, 58.395}}
	case "ssd":
		return Input{Color: RGB, Resize: Stretch, Scale: 1, Mean: []float64{127}, Std: []float64{128}}
	case "fastestdet":
		return Input{Color: BGR, Resize: Stretch, Interpolation: Area, Scale: 1.0 / 255}
	case "yunet":
		return Input{Color: BGR, Resize: Stretch, Scale: 1}
	case "classify":
		return imageNetInput()
	}
	return Input{Color: RGB, Resize: Letterbox, Scale: 1}
}

// imageNetInput is how torchvision feeds its classifiers, and so most others.
func imageNetInput() Input {
	return Input{
		Color: RGB, Resize: Crop, CropFraction: 0.875, Scale: 1.0 / 255,
		Mean: []float64{0.485, 0.456, 0.406}, Std: []float64{0.229, 0.224, 0.225},
	}
}

// refine adds to a proposal what the graph itself tells, beyond the shapes
// that the decoder table looks at.
func refine(m *Manifest, f *onnxfile.Model) {
	switch m.Output.Decoder {
	case "yolox":
		// The raw network has no exponential: only decoding its boxes does.
		m.Output.Decoded = f.Has("Exp")
	case "classify":
		if outs := outputInfos(f); len(outs) == 1 {
			m.Output.Softmax = outs[0].Logits()
		}
		if m.Input.Color != Gray && f.Metadata["author"] != "Ultralytics" {
			in := imageNetInput()
			in.Name, in.Width, in.Height, in.Layout, in.Type = m.Input.Name, m.Input.Width, m.Input.Height, m.Input.Layout, m.Input.Type
			m.Input = in
		}
	}
}

// UsualLabels names the label set of a model with so many classes, where one
// is all but certain.
func UsualLabels(task Task, classes int) string {
	switch {
	case task == Detect && classes == 80:
		return "coco80"
	case task == Classify && classes == 1000:
		return "imagenet1000"
	}
	return ""
}

// classCount is how many classes outputs of these shapes have, read by a
// decoder; 0 when the shapes do not tell.
func classCount(decoder string, outputs []TensorInfo) int {
	if len(outputs) == 0 {
		return 0
	}
	first := outputs[0].Shape
	last := func(o TensorInfo) int {
		if len(o.Shape) < 2 {
			return 0
		}
		return o.Shape[len(o.Shape)-1]
	}
	n := 0
	switch decoder {
	case "yolox", "yolov5":
		n = last(outputs[0]) - 5
	case "yolov8":
		if len(first) == 3 && first[1] > 0 && first[2] > 0 {
			n = min(first[1], first[2]) - 4
		}
	case "fastestdet":
		if len(first) == 4 {
			n = first[1] - 5
		}
	case "ssd":
		if i := slices.IndexFunc(outputs, func(o TensorInfo) bool { return last(o) != 4 }); i >= 0 {
			n = last(outputs[i]) - 1
		}
	case "nanodet":
		if len(outputs) == 1 {
			n = last(outputs[0]) - 32
		} else if i := slices.IndexFunc(outputs, func(o TensorInfo) bool { return last(o) != 32 }); i >= 0 {
			n = last(outputs[i])
		}
	case "yunet":
		n = 1
	case "classify":
		n = 1
		for _, d := range first[min(1, len(first)):] {
			n *= max(d, 0)
		}
	}
	return max(n, 0)
}

// describe is a list of values for an error.
func describe(vs []onnxfile.Value) string {
	if len(vs) == 0 {
		return "none"
	}
	var s []string
	for _, v := range vs {
		s = append(s, v.String())
	}
	return strings.Join(s, ", ")
}
