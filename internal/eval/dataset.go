package eval

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Format names how a data set or stored detections are written.
type Format string

// The formats of data sets and detections.
const (
	FormatYOLO    Format = "yolo"
	FormatCOCO    Format = "coco"
	FormatDeepPCB Format = "deeppcb"
	FormatVOC     Format = "voc-txt"
	FormatJSONL   Format = "jsonl"
)

// Truth is one object that a picture is known to show.
type Truth struct {
	Class int  // index into [Dataset.Classes]
	Box   Rect // in pixels of the picture
	// Area decides small, medium or large: what the data set says, or the
	// area of Box.
	Area float64
	// Crowd marks a region of many objects: detections in it are neither
	// right nor wrong.
	Crowd bool
	// Ignore marks an object that need not be found ("difficult" in VOC).
	// The COCO scores take no notice of it, as pycocotools takes none; every
	// other score does.
	Ignore bool
}

// optional reports whether finding t earns nothing and missing it costs
// nothing.
func (t *Truth) optional() bool { return t.Crowd || t.Ignore }

// Item is one picture of a data set.
type Item struct {
	// Name is the picture's path inside the data set, with slashes.
	Name string
	// Path opens the picture; empty when it was not found, which matters only
	// to a detector.
	Path string
	// Width and Height are the size in pixels after EXIF rotation; 0 when
	// unknown.
	Width, Height int
	Truth         []Truth
}

// shows reports whether there is something to be found in the picture.
func (it *Item) shows() bool {
	return slices.ContainsFunc(it.Truth, func(t Truth) bool { return !t.optional() })
}

// Dataset is pictures and what they are known to show. It is read-only after
// [Open] and then safe for concurrent use.
type Dataset struct {
	Path    string
	Format  Format
	Classes []string
	// Items are in the order that decides between equal scores: by image id
	// for COCO, by name for folders, by line for lists.
	Items []Item
	// IoU is the overlap the authors of the data set call a hit, the default
	// of [Options.IoU].
	IoU float64
	// Inclusive says that boxes contain their last row and column, as in the
	// VOC development kit. Only the VOC scores make the difference.
	Inclusive bool
	// Notes are remarks that a reader of the scores needs.
	Notes []string

	root string        // the folder that the names of a DeepPCB list are relative to
	ids  map[int64]int // COCO image id to index in Items
	cat  map[int64]int // COCO category id to index in Classes
}

// ErrUnknownDataset is wrapped by the error of [Open] when path is none of the
// formats it knows.
var ErrUnknownDataset = errors.New("not a data set this program knows")

const knownDatasets = "known are a YOLO folder (images/, labels/ and names.yaml), a COCO JSON file, " +
	"a DeepPCB list (trainval.txt) and a folder with gts/*.txt"

// Open reads the data set at path: a YOLO folder, a COCO JSON file or a folder
// that holds exactly one, a DeepPCB list or the folder of one, or a folder
// with VOC-style gts/*.txt. Pictures are not decoded; where labels are
// relative, their headers are read for the size.
//
// A DeepPCB list can be restricted to some of its groups, the first folder of
// each line: "DIR@group50600,group77000". A path that exists as it is written
// is not taken apart.
//
// Errors name the file and, for text, the line.
func Open(path string) (*Dataset, error) {
	file, groups, err := splitGroups(path)
	if err != nil {
		return nil, fmt.Errorf("open data set: %w", err)
	}
	ds, err := open(file, groups)
	if err != nil {
		return nil, fmt.Errorf("open data set: %w", err)
	}
	if groups != nil && ds.Format != FormatDeepPCB {
		return nil, fmt.Errorf("open data set: %s: only a DeepPCB list has groups to choose with @, and this is a data set of the format %s", path, ds.Format)
	}
	ds.Path = path
	if len(ds.Items) == 0 {
		return nil, fmt.Errorf("open data set: %s: it has no pictures", path)
	}
	if ds.IoU == 0 {
		ds.IoU = 0.5
	}
	return ds, nil
}

// open reads the data set called name; groups matters only to DeepPCB.
func open(name string, groups []string) (*Dataset, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		switch strings.ToLower(filepath.Ext(name)) {
		case ".json":
			return openCOCO(name)
		case ".txt":
			return openDeepPCB(name, groups)
		}
		return nil, fmt.Errorf("%s: %w; %s", name, ErrUnknownDataset, knownDatasets)
	}
	has := func(rel string) bool {
		_, err := os.Stat(filepath.Join(name, rel))
		return err == nil
	}
	switch {
	case has("images") && has("labels"):
		return openYOLO(name)
	case has("gts"):
		return openVOC(name)
	case has("trainval.txt"):
		return openDeepPCB(filepath.Join(name, "trainval.txt"), groups)
	}
	if found, _ := filepath.Glob(filepath.Join(escapeGlob(name), "*.json")); len(found) == 1 {
		return openCOCO(found[0])
	}
	return nil, fmt.Errorf("%s: %w; %s", name, ErrUnknownDataset, knownDatasets)
}

// escapeGlob makes a path stand for itself in a glob pattern.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// HasPictures reports an error that says what is missing when the data set
// cannot be shown to a detector.
func (ds *Dataset) HasPictures() error {
	for i := range ds.Items {
		if ds.Items[i].Path == "" {
			return fmt.Errorf("data set %s: the picture %s was not found; "+
				"put the pictures beside the labels, or score stored detections instead", ds.Path, ds.Items[i].Name)
		}
	}
	return nil
}

// finder looks up pictures by the names that detections give them.
type finder struct {
	exact map[string]int
	base  map[string][]int // file name, and file name without extension
	names []string
}

func newFinder(ds *Dataset) *finder {
	f := &finder{exact: map[string]int{}, base: map[string][]int{}, names: make([]string, len(ds.Items))}
	for i := range ds.Items {
		name := ds.Items[i].Name
		f.names[i] = name
		f.exact[name] = i
		base := path.Base(name)
		f.base[base] = append(f.base[base], i)
		if stem := strings.TrimSuffix(base, path.Ext(base)); stem != base {
			f.base[stem] = append(f.base[stem], i)
		}
	}
	return f
}

// find returns the picture called item: its exact name, else its file name
// with or without folders and extension. The folders are consulted only where
// several pictures share a file name.
func (f *finder) find(item string) (index int, ok bool, err error) {
	item = path.Clean(filepath.ToSlash(item))
	if i, ok := f.exact[item]; ok {
		return i, true, nil
	}
	candidates := f.base[path.Base(item)]
	if len(candidates) > 1 {
		candidates = slices.DeleteFunc(slices.Clone(candidates), func(i int) bool {
			name := f.names[i]
			return !strings.HasSuffix(item, "/"+name) && !strings.HasSuffix(name, "/"+item)
		})
		if len(candidates) != 1 {
			return 0, false, fmt.Errorf("%q could be any of several pictures (%s, …): names need their folders",
				item, f.names[f.base[path.Base(item)][0]])
		}
	}
	if len(candidates) == 0 {
		return 0, false, nil
	}
	return candidates[0], true, nil
}

// fields reads one line of a label file: leading text, then n numbers. The
// text may contain spaces.
func fields(line string, n int) (text string, numbers []float64, err error) {
	parts := strings.Fields(line)
	if len(parts) < n {
		return "", nil, fmt.Errorf("has %d fields", len(parts))
	}
	first := len(parts) - n
	numbers = make([]float64, n)
	for i, p := range parts[first:] {
		v, err := strconv.ParseFloat(p, 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return "", nil, fmt.Errorf("%q is not a number", p)
		}
		numbers[i] = v
	}
	return strings.Join(parts[:first], " "), numbers, nil
}

// lines calls f with every line of data that is not blank and its number.
func lines(data []byte, f func(number int, line string) error) error {
	number := 0
	for line := range strings.SplitSeq(string(data), "\n") {
		number++
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := f(number, line); err != nil {
			return err
		}
	}
	return nil
}
