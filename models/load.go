package models

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/fileerr"
	"github.com/vedette-io/vedette/internal/onnxfile"
	"github.com/vedette-io/vedette/internal/strictyaml"
)

// GuessFunc proposes a manifest for a bare model file from the shapes of its
// outputs, its metadata and what is known of its input: the decoder and its
// parameters, and how the family is usually fed. Its error shows the shapes
// and the decoders that exist, or wraps [ErrTaskUnclear]. infer/decode has the
// one that is used.
type GuessFunc func(outputs []TensorInfo, meta map[string]string, in Input) (Manifest, error)

// ErrTaskUnclear is wrapped when a file has nothing that says what its model
// does, so that somebody has to: a vector of numbers is scores of classes in
// one model and an embedding in another.
var ErrTaskUnclear = errors.New("the file does not say what the model does")

// Model is an ONNX file with a complete manifest.
type Model struct {
	// Manifest is complete: what the file on disk leaves out was taken from
	// the ONNX file, from its family or from defaults.
	Manifest Manifest
	// Path of the ONNX file.
	Path string
	// ONNX is the file's content: the bytes that were hashed and checked.
	ONNX   []byte
	Report Report
}

// Origin says where a manifest comes from.
type Origin string

// The origins of a manifest.
const (
	FromManifest Origin = "manifest" // a file beside the model
	FromKnown    Origin = "known"    // recognised by its hash
	FromGuess    Origin = "guess"    // proposed from the file
)

// Report is what a model's files say, for people.
type Report struct {
	// Path of the ONNX file and, where there is one, of the manifest.
	Path, ManifestPath string
	Origin             Origin
	Bytes              int
	SHA256             string
	Producer           string
	Opset              int64
	// Inputs and Outputs are like "images" float32 [1 3 416 416].
	Inputs, Outputs []string
	// Ops counts the operators by name, with their domain unless it is ONNX's.
	Ops      map[string]int
	Metadata map[string]string
	// Notes are what a person should check.
	Notes []string
}

// maxONNX is the largest model file: protocol buffers end at 2 GiB.
const maxONNX = 1<<31 - 1

// Load reads a model from path: an ONNX file, with a manifest of the same name
// beside it or none; a manifest; or a folder with one of either. The file's
// hash is checked against the manifest's, and the manifest against the file.
// The error lists everything that is wrong.
func Load(path string, guess GuessFunc) (*Model, error) {
	found, err := locate(path)
	if err != nil {
		return nil, fmt.Errorf("load model: %w", err)
	}
	m, _, err := found.load(guess)
	if err != nil {
		return nil, fmt.Errorf("load model %s: %w", path, err)
	}
	return m, nil
}

// Inspect is Load for looking at a model: it reports what the file says also
// when no manifest can be proposed, and then returns the error as well. With an
// error that wraps [ErrTaskUnclear] the manifest has what the file does say.
func Inspect(path string, guess GuessFunc) (Manifest, Report, error) {
	found, err := locate(path)
	if err != nil {
		return Manifest{}, Report{}, fmt.Errorf("inspect model: %w", err)
	}
	m, r, err := found.load(guess)
	if err != nil {
		err = fmt.Errorf("inspect model %s: %w", path, err)
	}
	if m == nil {
		return Manifest{}, r, err
	}
	return m.Manifest, r, err
}

// files are the paths of a model; either may be empty at first.
type files struct{ onnx, manifest string }

func locate(path string) (files, error) {
	info, err := os.Stat(path)
	if err != nil {
		return files{}, fileerr.Named(err)
	}
	if info.IsDir() {
		return locateIn(path)
	}
	if isManifest(path) {
		return files{manifest: path}, nil
	}
	f := files{onnx: path}
	stem := strings.TrimSuffix(path, filepath.Ext(path))
	for _, ext := range []string{".yaml", ".yml"} {
		if _, err := os.Stat(stem + ext); err == nil {
			f.manifest = stem + ext
			break
		}
	}
	return f, nil
}

func isManifest(path string) bool {
	ext := strings.ToLower(filepath.Ext(path))
	return ext == ".yaml" || ext == ".yml"
}

// locateIn finds the only model of a folder.
func locateIn(dir string) (files, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return files{}, fileerr.Named(err)
	}
	var manifests, onnx []string
	for _, e := range entries {
		switch {
		case e.IsDir():
		case isManifest(e.Name()):
			manifests = append(manifests, e.Name())
		case strings.EqualFold(filepath.Ext(e.Name()), ".onnx"):
			onnx = append(onnx, e.Name())
		}
	}
	switch {
	case len(manifests) == 1:
		return files{manifest: filepath.Join(dir, manifests[0])}, nil
	case len(manifests) == 0 && len(onnx) == 1:
		return files{onnx: filepath.Join(dir, onnx[0])}, nil
	case len(manifests)+len(onnx) == 0:
		return files{}, fmt.Errorf("folder %s has no model (an .onnx file or a manifest)", dir)
	}
	return files{}, fmt.Errorf("folder %s has several models (%s): name one of them", dir, strings.Join(append(manifests, onnx...), ", "))
}

func (f files) load(guess GuessFunc) (*Model, Report, error) {
	var m Manifest
	doc := &strictyaml.Doc{}
	if f.manifest != "" {
		data, err := os.ReadFile(f.manifest)
		if err != nil {
			return nil, Report{}, fileerr.Named(err)
		}
		m, doc = parseManifest(f.manifest, data)
		if err := doc.Err(); err != nil {
			return nil, Report{}, err
		}
		if m.File != "" && f.onnx == "" {
			f.onnx = filepath.FromSlash(m.File)
			if !filepath.IsAbs(f.onnx) {
				f.onnx = filepath.Join(filepath.Dir(f.manifest), f.onnx)
			}
		}
	}
	if f.onnx == "" {
		f.onnx = strings.TrimSuffix(f.manifest, filepath.Ext(f.manifest)) + ".onnx"
	}
	data, err := readFile(f.onnx)
	if err != nil {
		return nil, Report{}, err
	}
	file, err := onnxfile.Parse(data)
	if err != nil {
		return nil, Report{Path: f.onnx, Bytes: len(data)}, fmt.Errorf("%s: %w", f.onnx, err)
	}
	r := report(f, data, file)
	m, r.Origin, err = complete(m, doc, file, r, guess)
	if errors.Is(err, ErrTaskUnclear) {
		return &Model{Manifest: m, Path: f.onnx, ONNX: data, Report: r}, r, err
	}
	if err != nil {
		return nil, r, err
	}
	r.Notes = notes(m, r.Origin, file)
	return &Model{Manifest: m, Path: f.onnx, ONNX: data, Report: r}, r, nil
}

func report(f files, data []byte, file *onnxfile.Model) Report {
	sum := sha256.Sum256(data)
	r := Report{
		Path: f.onnx, ManifestPath: f.manifest, Bytes: len(data), SHA256: hex.EncodeToString(sum[:]),
		Producer: strings.TrimSpace(file.Producer + " " + file.ProducerVersion),
		Ops:      map[string]int{}, Metadata: file.Metadata,
	}
	for _, o := range file.Opsets {
		if o.Domain == "" {
			r.Opset = o.Version
		}
	}
	for _, v := range file.Inputs {
		r.Inputs = append(r.Inputs, v.String())
	}
	for _, v := range file.Outputs {
		r.Outputs = append(r.Outputs, v.String())
	}
	for op, n := range file.Ops() {
		r.Ops[op.String()] = n
	}
	return r
}

func notes(m Manifest, origin Origin, file *onnxfile.Model) []string {
	var notes []string
	if origin == FromGuess {
		notes = append(notes, "colour order, scale, mean and resize are the usual ones of the decoder's family: a file does not say them")
	}
	if n := classCount(m.Output.Decoder, outputInfos(file)); n > 0 && len(m.Labels) == 0 {
		notes = append(notes, fmt.Sprintf("%d classes without names: give labels in a manifest", n))
	}
	return notes
}

// complete fills the manifest m, which doc was read from, with what the file
// says, and checks the two against each other.
func complete(m Manifest, doc *strictyaml.Doc, file *onnxfile.Model, r Report, guess GuessFunc) (Manifest, Origin, error) {
	if m.SHA256 != "" && !strings.EqualFold(m.SHA256, r.SHA256) {
		doc.Add("sha256", "the manifest says %s, but %s has %s: it is another file or damaged", m.SHA256, r.Path, r.SHA256)
		return m, "", doc.Err()
	}
	if file.External != "" {
		return m, "", fmt.Errorf("the weight %q is stored in another file; save the model as one file (in Python: onnx.save(onnx.load(path), out))", file.External)
	}
	origin := FromGuess
	if doc.File != "" {
		origin = FromManifest
	} else if known, ok := knownByHash(r.SHA256); ok {
		if known.unsupported != "" {
			return m, "", fmt.Errorf("this is the model %s, which cannot be run: %s", known.manifest.Name, known.unsupported)
		}
		m, doc, origin = known.manifest, known.doc, FromKnown
		m.Name = ""
	}
	in, err := inputOf(file, m.Input.Layout)
	if err != nil {
		return m, "", err
	}
	if m.Task == Classify && m.Output.Decoder == "" {
		m.Output.Decoder = "classify" // the only one that answers the task
	}
	proposal, err := propose(m, file, in, guess)
	if errors.Is(err, ErrTaskUnclear) && len(m.Labels)+len(m.LabelSet) > 0 && m.Task == "" {
		m.Output.Decoder = "classify" // what else has labels
		proposal, err = propose(m, file, in, guess)
	}
	if errors.Is(err, ErrTaskUnclear) && m.Task == "" {
		return m.merge(proposal, doc).named(r), origin, err
	}
	if err != nil && m.Output.Decoder == "" && (m.Task == "" || m.Task == Detect || m.Task == Classify) {
		return m, "", err
	}
	m = m.merge(proposal, doc)
	m = m.named(r)
	if len(m.Labels) == 0 && m.LabelSet == "" {
		m.LabelSet = UsualLabels(m.Task, classCount(m.Output.Decoder, outputInfos(file)))
	}
	m = m.withDefaults()
	m.contradictions(doc, file, in)
	return m, origin, doc.Err()
}

// named has the name and the hash of the file of r.
func (m Manifest) named(r Report) Manifest {
	if m.Name == "" {
		m.Name = vedette.Slug(strings.TrimSuffix(filepath.Base(r.Path), filepath.Ext(r.Path)))
	}
	m.File, m.SHA256 = filepath.Base(r.Path), r.SHA256
	return m
}

// propose is the manifest that the file suggests: the decoder table's guess,
// or the family of the decoder that m names where the guess is another one.
// in is what the file says about its input.
func propose(m Manifest, file *onnxfile.Model, in Input, guess GuessFunc) (Manifest, error) {
	size := in // what the manifest knows helps to guess
	if size.Width == 0 || size.Height == 0 {
		size.Width, size.Height = m.Input.Width, m.Input.Height
	}
	if guess != nil {
		p, err := guess(outputInfos(file), file.Metadata, size)
		if err == nil && (m.Output.Decoder == "" || m.Output.Decoder == p.Output.Decoder) {
			p.Input.Name, p.Input.Layout, p.Input.Type = in.Name, in.Layout, in.Type
			if in.Color == Gray {
				p.Input.Color = Gray
			}
			refine(&p, file)
			return p, nil
		}
		if m.Output.Decoder == "" {
			p := Manifest{Input: size}
			p.Input.Name, p.Input.Layout, p.Input.Type, p.Input.Color = in.Name, in.Layout, in.Type, in.Color
			return p, err
		}
	}
	p := Manifest{Task: familyTask(m.Output.Decoder), Input: familyInput(m.Output.Decoder), Output: Output{Decoder: m.Output.Decoder}}
	p.Input.Name, p.Input.Layout, p.Input.Type = in.Name, in.Layout, in.Type
	p.Input.Width, p.Input.Height = size.Width, size.Height
	if in.Color == Gray {
		p.Input.Color, p.Input.Mean, p.Input.Std = Gray, nil, nil
	}
	refine(&p, file)
	if p.Output.Decoder == "" {
		return p, errors.New("the manifest names no output.decoder")
	}
	return p, nil
}

// merge takes from p what the file of doc does not give.
func (m Manifest) merge(p Manifest, doc *strictyaml.Doc) Manifest {
	if m.Task == "" {
		m.Task = p.Task
	}
	if len(m.Labels) == 0 && m.LabelSet == "" {
		m.Labels = p.Labels
	}
	absent := func(keys ...string) bool { return !slices.ContainsFunc(keys, doc.Has) }
	in, from := &m.Input, p.Input
	take(&in.Name, from.Name, absent("input.name"))
	take(&in.Width, from.Width, absent("input.width"))
	take(&in.Height, from.Height, absent("input.height"))
	take(&in.Layout, from.Layout, absent("input.layout"))
	take(&in.Type, from.Type, absent("input.type"))
	take(&in.Color, from.Color, absent("input.color"))
	take(&in.CropFraction, from.CropFraction, absent("input.crop_fraction", "input.resize"))
	take(&in.Pad, from.Pad, absent("input.pad"))
	take(&in.Resize, from.Resize, absent("input.resize"))
	take(&in.Interpolation, from.Interpolation, absent("input.interpolation"))
	// These three belong together: one of them beside the family's others
	// would make numbers that nobody meant.
	if absent("input.scale", "input.mean", "input.std") {
		in.Scale, in.Mean, in.Std = from.Scale, from.Mean, from.Std
	}
	out := &m.Output
	take(&out.Decoder, p.Output.Decoder, absent("output.decoder"))
	take(&out.MinScore, p.Output.MinScore, absent("output.min_score"))
	take(&out.IoU, p.Output.IoU, absent("output.iou"))
	take(&out.MaxObjects, p.Output.MaxObjects, absent("output.max_objects"))
	take(&out.Decoded, p.Output.Decoded, absent("output.decoded"))
	take(&out.Normalized, p.Output.Normalized, absent("output.normalized"))
	take(&out.Softmax, p.Output.Softmax, absent("output.softmax"))
	if absent("output.strides") {
		out.Strides = p.Output.Strides
	}
	return m
}

func take[T any](to *T, from T, ok bool) {
	if ok {
		*to = from
	}
}
