package eval

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vedette-io/vedette"
)

// Scored is one object that a detector found in a picture.
type Scored struct {
	Label string // matched to [Dataset.Classes] by name
	Score float64
	Box   Rect
}

// StatusMissing is the state of a picture that stored detections say nothing
// about.
const StatusMissing vedette.Status = "missing"

// Outcome is what became of one picture. Found counts only when Status is
// [vedette.StatusOK]; then an empty list means that nothing was found.
type Outcome struct {
	Status vedette.Status
	Reason string
	Found  []Scored
}

// scored reports whether a picture is in the scores: there is an answer for it.
// Unfit is one, too: if pictures called unfit were left out, a model that calls
// hard pictures unfit would score better for it.
func (o *Outcome) scored() bool { return o.Status == vedette.StatusOK || o.unfit() }

// unfit reports whether the model itself said that the picture cannot be
// judged.
func (o *Outcome) unfit() bool { return o.Status == vedette.StatusUnfit }

// NotJudged is the error with which a detector says that it found neither
// objects nor none in a picture, and the evaluation goes on. An unfit picture
// counts as one in which nothing was found; with any other status there is no
// answer, and the picture is left out of the scores.
type NotJudged struct {
	Status vedette.Status // unfit, failed or expired
	Reason string
}

func (e *NotJudged) Error() string {
	if e.Reason == "" {
		return string(e.Status)
	}
	return string(e.Status) + ": " + e.Reason
}

// Objects returns what d found, or a [*NotJudged] error when its status is not
// ok. It is what a detector callback of [Evaluate] returns.
func Objects(d *vedette.Detection) ([]Scored, error) {
	if d.Status != vedette.StatusOK {
		return nil, &NotJudged{Status: d.Status, Reason: d.Reason}
	}
	if d.Objects == nil {
		return nil, fmt.Errorf("model %s: task %q: only detectors can be scored here, and this result has no objects",
			d.Model.Name, d.Model.Task)
	}
	out := make([]Scored, len(*d.Objects))
	for i, o := range *d.Objects {
		out[i] = Scored{Label: o.Label, Score: o.Score, Box: RectOf(o.Box)}
	}
	return out, nil
}

// Detections are stored detections, one outcome for each item of the data set
// they were read for.
type Detections struct {
	Path     string
	Format   Format
	Outcomes []Outcome // parallel to Dataset.Items
	Notes    []string
}

// ReadDetections reads stored detections of the pictures of ds: COCO results
// (a JSON list, or a COCO file whose annotations have scores), lines of
// [vedette.Detection], the folder of one such file, or a folder of VOC-style text
// files.
//
// A picture that a COCO file does not mention has no detections; one that
// lines or text files do not mention is [StatusMissing].
func ReadDetections(path string, ds *Dataset) (*Detections, error) {
	d, err := readDetections(path, ds)
	if err != nil {
		return nil, fmt.Errorf("read detections: %w", err)
	}
	d.Path = path
	return d, nil
}

func readDetections(path string, ds *Dataset) (*Detections, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		file, err := storedIn(path)
		switch {
		case err != nil:
			return nil, err
		case file == "":
			return readVOCDetections(path, ds)
		}
		path = file
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, fmt.Errorf("%s: the file is empty", path)
	}
	if isCOCOResults(data) {
		return parseCOCOResults(path, data, ds)
	}
	return parseJSONL(path, data, ds)
}

// storedIn is the one file of a folder that holds all detections, or empty where
// they are in text files.
func storedIn(dir string) (string, error) {
	texts, err := textFiles(dir)
	if err != nil || len(texts) > 0 {
		return "", err
	}
	var found []string
	for _, ext := range []string{"*.json", "*.jsonl"} {
		more, err := filepath.Glob(filepath.Join(escapeGlob(dir), ext))
		if err != nil {
			return "", err
		}
		found = append(found, more...)
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%s: %d files may be the detections, name the one: %s and others", dir, len(found), filepath.Base(found[0]))
}

// isCOCOResults tells a COCO file (one list, or one object with annotations)
// from lines of messages, without decoding all of it.
func isCOCOResults(data []byte) bool {
	data = bytes.TrimSpace(data)
	if data[0] == '[' {
		return true
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return false
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return false
		}
		switch key {
		case "annotations", "images", "categories":
			return true
		case "schema":
			return false
		}
		var skip json.RawMessage
		if dec.Decode(&skip) != nil {
			return false
		}
	}
	return false
}

func newDetections(ds *Dataset, format Format, initial vedette.Status) *Detections {
	d := &Detections{Format: format, Outcomes: make([]Outcome, len(ds.Items))}
	for i := range d.Outcomes {
		d.Outcomes[i].Status = initial
	}
	return d
}

// parseCOCOResults reads what a detector found as COCO wants it. Image and
// category ids are those of the data set.
func parseCOCOResults(file string, data []byte, ds *Dataset) (*Detections, error) {
	if ds.ids == nil {
		return nil, fmt.Errorf("%s: COCO results name pictures and classes by the ids of a COCO data set, and %s is none; "+
			"score lines of detections (--format jsonl) instead", file, ds.Path)
	}
	var in cocoFile
	var err error
	if bytes.TrimSpace(data)[0] == '[' {
		err = decodeJSON(file, data, &in.Annotations)
	} else {
		err = decodeJSON(file, data, &in)
	}
	if err != nil {
		return nil, err
	}
	labels := map[int64]string{}
	for id, class := range ds.cat {
		labels[id] = ds.Classes[class]
	}
	for _, c := range in.Categories {
		labels[c.ID] = c.Name
	}
	d := newDetections(ds, FormatCOCO, vedette.StatusOK)
	for i := range in.Annotations {
		a := &in.Annotations[i]
		bad := func(what string) error { return fmt.Errorf("%s: detection %d: %s", file, i, what) }
		item, ok := ds.ids[a.ImageID]
		if !ok {
			return nil, bad(fmt.Sprintf("the data set has no image with the id %d", a.ImageID))
		}
		if a.Score == nil {
			return nil, bad("it has no score: these are not detections")
		}
		box, err := a.rect()
		if err != nil {
			return nil, bad(err.Error())
		}
		label, ok := labels[a.CategoryID]
		if !ok {
			label = fmt.Sprintf("category %d", a.CategoryID)
		}
		d.Outcomes[item].Found = append(d.Outcomes[item].Found, Scored{Label: label, Score: *a.Score, Box: box})
	}
	return d, nil
}

// parseJSONL reads lines of [vedette.Detection], matched to pictures by their
// item. An item that is there twice is an error: the results of one model in
// one run are wanted.
func parseJSONL(file string, data []byte, ds *Dataset) (*Detections, error) {
	d := newDetections(ds, FormatJSONL, StatusMissing)
	find := newFinder(ds)
	line := make([]int, len(ds.Items))
	matched, strangers, stranger := 0, 0, ""
	err := lines(data, func(number int, text string) error {
		bad := func(format string, args ...any) error {
			return fmt.Errorf("%s:%d: %w", file, number, fmt.Errorf(format, args...))
		}
		var m vedette.Detection
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			return bad("not a detection message: %w", err)
		}
		if m.Schema != vedette.DetectionSchema {
			return bad("schema %q: want lines of %s, as vedette detect --format jsonl writes them", m.Schema, vedette.DetectionSchema)
		}
		if m.Item == "" {
			return bad("it has no item: detections of a video or a stream cannot be matched to pictures")
		}
		i, ok, err := find.find(m.Item)
		if err != nil {
			return bad("item %w", err)
		}
		if !ok {
			strangers, stranger = strangers+1, m.Item
			return nil
		}
		if line[i] != 0 {
			return bad("item %q is already on line %d: want the results of one model in one run", m.Item, line[i])
		}
		line[i] = number
		matched++
		d.Outcomes[i], err = outcome(&m, &ds.Items[i])
		if err != nil {
			return bad("item %q: %w", m.Item, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if matched == 0 {
		return nil, fmt.Errorf("%s: none of its %d pictures (%s, …) is in the data set (%s, …)", file, strangers, stranger, ds.Items[0].Name)
	}
	if strangers > 0 {
		d.Notes = append(d.Notes, fmt.Sprintf("left out: pictures (%d) that are not in the data set (%s, …)", strangers, stranger))
	}
	return d, nil
}

// outcome converts a message about item.
func outcome(m *vedette.Detection, item *Item) (Outcome, error) {
	if m.Status != vedette.StatusOK {
		return Outcome{Status: m.Status, Reason: m.Reason}, nil
	}
	known := item.Width > 0 && m.Width > 0
	if known && (m.Width != item.Width || m.Height != item.Height) {
		return Outcome{}, fmt.Errorf("it was detected in a picture of %d×%d, and the data set's has %d×%d: the boxes cannot be compared",
			m.Width, m.Height, item.Width, item.Height)
	}
	found, err := Objects(m)
	if err != nil {
		return Outcome{}, err
	}
	for _, s := range found {
		if !s.Box.valid() {
			return Outcome{}, fmt.Errorf("box %v: x2 y2 must not lie before x1 y1", s.Box.Box())
		}
	}
	return Outcome{Status: vedette.StatusOK, Found: found}, nil
}

// readVOCDetections reads a folder of text files, named as the pictures, with
// lines "label score x y w h".
func readVOCDetections(dir string, ds *Dataset) (*Detections, error) {
	files, err := textFiles(dir)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: no .json, .jsonl or .txt file is in it: want one with all detections, or a .txt per picture, with lines label score x y w h", dir)
	}
	d := newDetections(ds, FormatVOC, StatusMissing)
	find := newFinder(ds)
	for _, file := range files {
		stem := strings.TrimSuffix(filepath.Base(file), ".txt")
		i, ok, err := find.find(stem)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if !ok {
			return nil, fmt.Errorf("%s: the data set has no picture called %s", file, stem)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		o := Outcome{Status: vedette.StatusOK}
		if err := parseVOC(file, data, true, func(s Scored) { o.Found = append(o.Found, s) }); err != nil {
			return nil, err
		}
		d.Outcomes[i] = o
	}
	return d, nil
}
