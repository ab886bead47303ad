package eval

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// openVOC reads a folder with gts/*.txt: one file per picture, one line
// "label x y w h" per object, in pixels that contain the last row and column
// (the layout of https://github.com/rafaelpadilla/Object-Detection-Metrics).
// Pictures, which only a detector needs, are looked for in images/.
func openVOC(dir string) (*Dataset, error) {
	files, err := textFiles(filepath.Join(dir, "gts"))
	if err != nil {
		return nil, err
	}
	ds := &Dataset{Format: FormatVOC, Inclusive: true}
	classes := map[string]int{}
	pictures := picturesByStem(filepath.Join(dir, "images"))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		stem := strings.TrimSuffix(filepath.Base(file), ".txt")
		item := Item{Name: stem}
		if picture, ok := pictures[stem]; ok {
			item.Name, item.Path = filepath.Base(picture), picture
			if item.Width, item.Height, err = pictureSize(picture); err != nil {
				return nil, err
			}
		}
		err = parseVOC(file, data, false, func(found Scored) {
			class, ok := classes[found.Label]
			if !ok {
				class = len(ds.Classes)
				classes[found.Label] = class
				ds.Classes = append(ds.Classes, found.Label)
			}
			item.Truth = append(item.Truth, Truth{Class: class, Box: found.Box, Area: found.Box.Area()})
		})
		if err != nil {
			return nil, err
		}
		ds.Items = append(ds.Items, item)
	}
	return ds, nil
}

// parseVOC reads lines "label x y w h", with a score behind the label for
// detections.
func parseVOC(file string, data []byte, scored bool, yield func(Scored)) error {
	want, n := "label x y w h", 4
	if scored {
		want, n = "label score x y w h", 5
	}
	return lines(data, func(number int, line string) error {
		label, v, err := fields(line, n)
		if err == nil && label == "" {
			err = fmt.Errorf("has %d fields", n)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w; want %s", file, number, err, want)
		}
		box := v[n-4:]
		found := Scored{Label: label, Box: Rect{X: box[0], Y: box[1], W: box[2], H: box[3]}}
		if scored {
			found.Score = v[0]
		}
		if !found.Box.valid() {
			return fmt.Errorf("%s:%d: width and height must not be negative", file, number)
		}
		yield(found)
		return nil
	})
}

// textFiles lists the .txt files of a folder by name.
func textFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if !e.IsDir() && filepath.Ext(e.Name()) == ".txt" {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(files)
	return files, nil
}

// picturesByStem maps file names without extension to pictures of a folder,
// which need not exist.
func picturesByStem(dir string) map[string]string {
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return out // without pictures stored detections can still be scored
	}
	for _, e := range entries {
		if isPicture(e.Name()) {
			out[strings.TrimSuffix(e.Name(), filepath.Ext(e.Name()))] = filepath.Join(dir, e.Name())
		}
	}
	return out
}
