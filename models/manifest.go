// Package models describes the networks the pipeline runs: a model is an ONNX
// file and a manifest that says what goes in and how to read what comes out.
// The package reads manifests, proposes one from a bare ONNX file, and knows
// the catalogue of models a user can pull.
package models

// Task is what a model does.
type Task string

// The tasks of a model.
const (
	Detect   Task = "detect"
	Classify Task = "classify"
	Segment  Task = "segment"
	Embed    Task = "embed"
	Anomaly  Task = "anomaly"
)

// Values are the allowed values.
func (Task) Values() []string {
	return []string{string(Detect), string(Classify), string(Segment), string(Embed), string(Anomaly)}
}

// Layout is the order of a tensor's axes.
type Layout string

// The layouts of an input tensor.
const (
	NCHW Layout = "nchw"
	NHWC Layout = "nhwc"
)

// Values are the allowed values.
func (Layout) Values() []string {
	return []string{string(NCHW), string(NHWC)}
}

// Color is the order of a picture's channels as the model wants them.
type Color string

// The colour orders of an input tensor.
const (
	RGB  Color = "rgb"
	BGR  Color = "bgr"
	Gray Color = "gray"
)

// Values are the allowed values.
func (Color) Values() []string {
	return []string{string(RGB), string(BGR), string(Gray)}
}

// Resize is how a frame is brought to the model's size.
type Resize string

// The ways to bring a frame to the model's size.
const (
	Letterbox        Resize = "letterbox"         // keep the aspect ratio, pad on both sides
	LetterboxTopLeft Resize = "letterbox-topleft" // keep the aspect ratio, pad right and below
	Stretch          Resize = "stretch"           // ignore the aspect ratio
	Crop             Resize = "crop"              // keep the aspect ratio, cut the centre
)

// Values are the allowed values.
func (Resize) Values() []string {
	return []string{string(Letterbox), string(LetterboxTopLeft), string(Stretch), string(Crop)}
}

// Interpolation is how pixels are resampled.
type Interpolation string

// The interpolations, with OpenCV's meaning.
const (
	Nearest Interpolation = "nearest"
	Linear  Interpolation = "linear"
	Area    Interpolation = "area"
	Cubic   Interpolation = "cubic"
)

// Values are the allowed values.
func (Interpolation) Values() []string {
	return []string{string(Nearest), string(Linear), string(Area), string(Cubic)}
}

// ElemType is the element type of a tensor.
type ElemType string

// The element types an input may have.
const (
	Float32 ElemType = "float32"
	Float16 ElemType = "float16"
	Uint8   ElemType = "uint8"
)

// Values are the allowed values.
func (ElemType) Values() []string {
	return []string{string(Float32), string(Float16), string(Uint8)}
}

// Manifest says how to feed one ONNX file and how to read its answer.
type Manifest struct {
	// Name is the model's id, used in subjects and configuration.
	Name string `yaml:"name,omitempty"`
	Task Task   `yaml:"task,omitempty"`
	// File is the ONNX file; a relative path begins at the manifest.
	File    string `yaml:"file,omitempty"`
	SHA256  string `yaml:"sha256,omitempty"`
	Licence string `yaml:"licence,omitempty"`
	Source  string `yaml:"source,omitempty"`

	Input  Input  `yaml:"input,omitempty"`
	Output Output `yaml:"output,omitempty"`
	// LabelSet names a list of labels that the program has (coco80,
	// imagenet1000), instead of Labels.
	LabelSet string   `yaml:"label_set,omitempty"`
	Labels   []string `yaml:"labels,omitempty"`
}

// Input describes the tensor a model takes. A value v of channel c is made
// from a byte p as v = (p*Scale - Mean[c]) / Std[c].
type Input struct {
	// Name of the graph input; empty when the graph has one.
	Name   string `yaml:"name,omitempty"`
	Width  int    `yaml:"width,omitempty"`
	Height int    `yaml:"height,omitempty"`
	Layout Layout `yaml:"layout,omitempty"`
	Color  Color  `yaml:"color,omitempty"`
	Resize Resize `yaml:"resize,omitempty"`
	// CropFraction is, with resize crop, the share of the shorter side that is
	// kept, as torchvision's 224 of 256 (0.875); 0 means all of it.
	CropFraction float64 `yaml:"crop_fraction,omitempty"`
	// Pad is the grey level of the padding, 0..255.
	Pad           int           `yaml:"pad,omitempty"`
	Interpolation Interpolation `yaml:"interpolation,omitempty"`
	Scale         float64       `yaml:"scale,omitempty"`
	// Mean and Std have one value, or one per channel in Color's order.
	Mean []float64 `yaml:"mean,omitempty,flow"`
	Std  []float64 `yaml:"std,omitempty,flow"`
	Type ElemType  `yaml:"type,omitempty"`
}

// Channels is the number of channels of the input: 1 for grey, else 3.
func (in Input) Channels() int {
	if in.Color == Gray {
		return 1
	}
	return 3
}

// Output says how to read a model's answer.
type Output struct {
	// Decoder names an entry of the decoder table.
	Decoder string `yaml:"decoder,omitempty"`
	// MinScore drops objects below it; 0 means the decoder's default.
	MinScore float64 `yaml:"min_score,omitempty"`
	// IoU is the overlap at which non-maximum suppression drops the weaker box.
	IoU float64 `yaml:"iou,omitempty"`
	// MaxObjects bounds the answer; 0 means the decoder's default.
	MaxObjects int `yaml:"max_objects,omitempty"`
	// Strides of the feature maps, for decoders with a grid.
	Strides []int `yaml:"strides,omitempty,flow"`
	// Decoded says that a YOLOX model was exported with its boxes in pixels.
	Decoded bool `yaml:"decoded,omitempty"`
	// Normalized says that boxes are in 0..1 of the input instead of pixels.
	Normalized bool `yaml:"normalized,omitempty"`
	// Softmax says that a classifier's outputs are logits.
	Softmax bool `yaml:"softmax,omitempty"`
	// Scene is set for a model that also says what the picture shows.
	Scene *Scene `yaml:"scene,omitempty,flow"`
}

// Scene describes an output in which a model says what its picture, or each
// cell of it, shows: [B, cells, classes] or [B, classes], the highest value
// wins. Results for a picture that does not show the Fit class are "unfit",
// with the class that it shows as the reason.
type Scene struct {
	// Output names the graph's output.
	Output string `yaml:"output"`
	// Classes in the output's order. The first one is the empty scene, which
	// may lie round about what is fit.
	Classes []string `yaml:"classes,flow"`
	// Fit is the class that can be judged.
	Fit string `yaml:"fit"`
	// MinShare is the share of cells that must be fit; 0 means 0.1.
	MinShare float64 `yaml:"min_share,omitempty"`
}
