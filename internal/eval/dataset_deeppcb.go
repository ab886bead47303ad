package eval

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// deepPCBClasses are the types 1 to 6 of DeepPCB. Type 0, background, is not
// used there.
func deepPCBClasses() []string {
	return []string{"open", "short", "mousebite", "spur", "copper", "pin-hole"}
}

// openDeepPCB reads a list of the DeepPCB data set
// (https://github.com/tangsanli5201/DeepPCB): one line "picture labels" per
// board, relative to the list. The pictures on disk end in _test (the board)
// and _temp (its template), which the list leaves out. Only boards of groups
// are taken, if there are any.
func openDeepPCB(list string, groups []string) (*Dataset, error) {
	data, err := os.ReadFile(list)
	if err != nil {
		return nil, err
	}
	// The authors score a hit at an overlap of more than 0.33.
	dir := filepath.Dir(list)
	ds := &Dataset{Format: FormatDeepPCB, Classes: deepPCBClasses(), IoU: Above(0.33), root: dir}
	seen, known := map[string]int{}, map[string]bool{}
	err = lines(data, func(number int, line string) error {
		item, labels, err := deepPCBLine(line)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", list, number, err)
		}
		if first, twice := seen[item]; twice {
			return fmt.Errorf("%s:%d: %s is already on line %d", list, number, item, first)
		}
		seen[item] = number
		group := deepPCBGroup(item)
		if group != "" {
			known[group] = true
		}
		if groups != nil && !slices.Contains(groups, group) {
			return nil
		}
		file := filepath.Join(dir, filepath.FromSlash(labels))
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", list, number, err)
		}
		truth, err := parseDeepPCB(file, text)
		if err != nil {
			return err
		}
		it := Item{Name: item, Truth: truth}
		picture := filepath.Join(dir, filepath.FromSlash(item))
		if _, err := os.Stat(picture); err == nil {
			it.Path = picture
			if it.Width, it.Height, err = pictureSize(picture); err != nil {
				return err
			}
		}
		ds.Items = append(ds.Items, it)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		if !known[g] {
			return nil, fmt.Errorf("%s: no board is of the group %q; the groups there are: %s",
				list, g, cmp.Or(strings.Join(slices.Sorted(maps.Keys(known)), ", "), "none"))
		}
	}
	return ds, nil
}

// splitGroups takes "DIR@group,group" apart; groups is nil where none are
// asked for.
func splitGroups(spec string) (path string, groups []string, err error) {
	if _, err := os.Stat(spec); err == nil {
		return spec, nil, nil
	}
	at := strings.LastIndexByte(spec, '@')
	if at < 0 || strings.ContainsRune(spec[at:], filepath.Separator) {
		return spec, nil, nil
	}
	path = spec[:at]
	if _, err := os.Stat(path); err != nil {
		return spec, nil, nil // the error about all that was written says most
	}
	for g := range strings.SplitSeq(spec[at+1:], ",") {
		if g == "" { // an empty variable in a script must not choose all groups
			return "", nil, fmt.Errorf("%s: want names of groups after the @, with commas between them", spec)
		}
		groups = append(groups, g)
	}
	return path, groups, nil
}

// deepPCBGroup is the group of a board: the first folder of its name, if any.
func deepPCBGroup(item string) string {
	if group, _, nested := strings.Cut(item, "/"); nested {
		return group
	}
	return ""
}

// WithTemplates is ds and, after each board, the template without defects that
// it was made after: a picture that shows no object, so that false rejects can
// be counted. Only DeepPCB has templates.
func (ds *Dataset) WithTemplates() (*Dataset, error) {
	if ds.Format != FormatDeepPCB {
		return nil, fmt.Errorf("data set %s: only boards of a DeepPCB list have templates, and this is a data set of the format %s", ds.Path, ds.Format)
	}
	with := *ds
	with.Items = make([]Item, 0, 2*len(ds.Items))
	for _, board := range ds.Items {
		ext := filepath.Ext(board.Name)
		template := Item{Name: strings.TrimSuffix(board.Name, boardEnd+ext) + templateEnd + ext}
		template.Path = filepath.Join(ds.root, filepath.FromSlash(template.Name))
		var err error
		template.Width, template.Height, err = pictureSize(template.Path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("data set %s: the template of the board %s is missing: %s", ds.Path, board.Name, template.Path)
		}
		if err != nil {
			return nil, err
		}
		with.Items = append(with.Items, board, template)
	}
	with.Notes = append(slices.Clone(ds.Notes), fmt.Sprintf("the templates of the boards are in it, as pictures without objects: %d of %d pictures", len(ds.Items), len(with.Items)))
	return &with, nil
}

// How the names of pictures on disk end, before the extension.
const (
	boardEnd    = "_test"
	templateEnd = "_temp"
)

// deepPCBLine reads a line of the list and gives the picture the name it has
// on disk.
func deepPCBLine(line string) (picture, labels string, err error) {
	parts := strings.Fields(line)
	if len(parts) != 2 || !isPicture(parts[0]) || filepath.Ext(parts[1]) != ".txt" {
		return "", "", fmt.Errorf("want a picture and its label file, as in a DeepPCB list: %w; %s", ErrUnknownDataset, knownDatasets)
	}
	for _, p := range parts {
		if !filepath.IsLocal(filepath.FromSlash(p)) {
			return "", "", fmt.Errorf("%s is outside of the list's folder", p)
		}
	}
	ext := filepath.Ext(parts[0])
	return strings.TrimSuffix(parts[0], ext) + boardEnd + ext, parts[1], nil
}

// parseDeepPCB reads a label file: lines "x1 y1 x2 y2 type".
func parseDeepPCB(file string, data []byte) ([]Truth, error) {
	var out []Truth
	types := len(deepPCBClasses())
	err := lines(data, func(number int, line string) error {
		text, v, err := fields(line, 5)
		if err != nil || text != "" {
			return fmt.Errorf("%s:%d: want x1 y1 x2 y2 type, got %q", file, number, line)
		}
		class := int(v[4])
		if float64(class) != v[4] || class < 1 || class > types {
			return fmt.Errorf("%s:%d: type %g: want 1 to %d", file, number, v[4], types)
		}
		box := Rect{X: v[0], Y: v[1], W: v[2] - v[0], H: v[3] - v[1]}
		if !box.valid() {
			return fmt.Errorf("%s:%d: x2 y2 must not lie before x1 y1", file, number)
		}
		out = append(out, Truth{Class: class - 1, Box: box, Area: box.Area()})
		return nil
	})
	return out, err
}
