package eval

import (
	"fmt"
	"os"
	"path/filepath"
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
// and _temp (its template), which the list leaves out.
func openDeepPCB(list string) (*Dataset, error) {
	data, err := os.ReadFile(list)
	if err != nil {
		return nil, err
	}
	// The authors score a hit at an overlap of more than 0.33.
	ds := &Dataset{Format: FormatDeepPCB, Classes: deepPCBClasses(), IoU: Above(0.33)}
	dir := filepath.Dir(list)
	seen := map[string]int{}
	err = lines(data, func(number int, line string) error {
		item, labels, err := deepPCBLine(line)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", list, number, err)
		}
		if first, twice := seen[item]; twice {
			return fmt.Errorf("%s:%d: %s is already on line %d", list, number, item, first)
		}
		seen[item] = number
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
	return ds, err
}

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
	return strings.TrimSuffix(parts[0], ext) + "_test" + ext, parts[1], nil
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
