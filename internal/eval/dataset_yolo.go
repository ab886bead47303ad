package eval

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

// maxClasses bounds the class numbers of a names file, so that a typing error
// does not ask for gigabytes.
const maxClasses = 100_000

// openYOLO reads a folder with images/, labels/ and names.yaml (or data.yaml):
// one text file per picture, one line "class cx cy w h" per object, in parts
// of the picture's size. Folders inside images/ are mirrored in labels/. A
// picture without a label file shows no object.
func openYOLO(dir string) (*Dataset, error) {
	classes, err := readNames(dir)
	if err != nil {
		return nil, err
	}
	ds := &Dataset{Format: FormatYOLO, Classes: classes}
	images := filepath.Join(dir, "images")
	unlabelled, sample := 0, ""
	err = filepath.WalkDir(images, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() || !isPicture(file) {
			return nil
		}
		rel, err := filepath.Rel(images, file)
		if err != nil {
			return err
		}
		item := Item{Name: filepath.ToSlash(rel), Path: file}
		label := filepath.Join(dir, "labels", strings.TrimSuffix(rel, filepath.Ext(rel))+".txt")
		data, err := os.ReadFile(label)
		if errors.Is(err, fs.ErrNotExist) {
			unlabelled++
			sample = item.Name
		} else if err != nil {
			return err
		}
		if item.Width, item.Height, err = pictureSize(file); err != nil {
			return err
		}
		if item.Truth, err = parseYOLO(label, data, item.Width, item.Height, len(classes)); err != nil {
			return err
		}
		ds.Items = append(ds.Items, item)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if unlabelled > 0 {
		ds.Notes = append(ds.Notes, fmt.Sprintf("pictures without a label file, taken to show no object: %d of %d (%s, …)",
			unlabelled, len(ds.Items), sample))
	}
	return ds, nil
}

// parseYOLO reads the label file of a picture of the given size.
func parseYOLO(file string, data []byte, width, height, classes int) ([]Truth, error) {
	var out []Truth
	err := lines(data, func(number int, line string) error {
		bad := func(format string, args ...any) error {
			return fmt.Errorf("%s:%d: %s", file, number, fmt.Sprintf(format, args...))
		}
		text, v, err := fields(line, 4)
		if err != nil {
			return bad("%v; want class cx cy w h", err)
		}
		class, err := strconv.Atoi(text)
		if err != nil {
			return bad("want class cx cy w h, with a class number and nothing else (got %q before the last four numbers)", text)
		}
		if class < 0 || class >= classes {
			return bad("class %d: the names file has the classes 0 to %d", class, classes-1)
		}
		for i, name := range [4]string{"cx", "cy", "w", "h"} {
			if v[i] < 0 || v[i] > 1 {
				return bad("%s is %g: positions and sizes are parts of the picture, from 0 to 1", name, v[i])
			}
		}
		w, h := v[2]*float64(width), v[3]*float64(height)
		box := Rect{X: v[0]*float64(width) - w/2, Y: v[1]*float64(height) - h/2, W: w, H: h}
		out = append(out, Truth{Class: class, Box: box, Area: box.Area()})
		return nil
	})
	return out, err
}

// readNames reads the class names of a YOLO folder.
func readNames(dir string) ([]string, error) {
	for _, name := range []string{"names.yaml", "data.yaml"} {
		file := filepath.Join(dir, name)
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		classes, err := parseNames(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		return classes, nil
	}
	return nil, fmt.Errorf("%s: names.yaml is missing: it must list the class names under the key names", dir)
}

// parseNames reads the key "names": a list, or a map from class number to
// name.
func parseNames(data []byte) ([]string, error) {
	var list struct {
		Names []string `yaml:"names"`
	}
	if err := yaml.Unmarshal(data, &list); err == nil && len(list.Names) > 0 {
		return checkNames(list.Names)
	}
	var numbered struct {
		Names map[int]string `yaml:"names"`
	}
	if err := yaml.Unmarshal(data, &numbered); err != nil {
		return nil, fmt.Errorf("names must be a list, or a map from class number to name: %w", err)
	}
	if len(numbered.Names) == 0 {
		return nil, errors.New("the key names, with the class names, is missing or empty")
	}
	classes := make([]string, len(numbered.Names))
	for i := range classes {
		name, ok := numbered.Names[i]
		if !ok {
			return nil, fmt.Errorf("names has %d classes but no class %d: they are numbered from 0 without holes", len(classes), i)
		}
		classes[i] = name
	}
	return checkNames(classes)
}

// checkNames refuses names that could not be told apart.
func checkNames(classes []string) ([]string, error) {
	if len(classes) > maxClasses {
		return nil, fmt.Errorf("%d classes: at most %d are allowed", len(classes), maxClasses)
	}
	seen := map[string]int{}
	for i, name := range classes {
		if strings.TrimSpace(name) == "" {
			return nil, fmt.Errorf("class %d has no name", i)
		}
		if first, twice := seen[name]; twice {
			return nil, fmt.Errorf("classes %d and %d are both called %q", first, i, name)
		}
		seen[name] = i
	}
	return classes, nil
}
