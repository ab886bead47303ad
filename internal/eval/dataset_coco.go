package eval

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// cocoFile is the part of a COCO JSON file that detection needs; a detections
// file of the same shape has scores in its annotations.
type cocoFile struct {
	Images     []cocoImage `json:"images"`
	Categories []struct {
		ID   int64  `json:"id"`
		Name string `json:"name"`
	} `json:"categories"`
	Annotations []cocoAnnotation `json:"annotations"`
}

type cocoImage struct {
	ID       int64  `json:"id"`
	FileName string `json:"file_name"`
	Width    int    `json:"width"`
	Height   int    `json:"height"`
}

// cocoAnnotation is one object, in a data set or found by a detector.
type cocoAnnotation struct {
	ID         int64     `json:"id"`
	ImageID    int64     `json:"image_id"`
	CategoryID int64     `json:"category_id"`
	BBox       []float64 `json:"bbox"` // x y w h
	Area       *float64  `json:"area"`
	Crowd      flag      `json:"iscrowd"`
	Ignore     flag      `json:"ignore"`
	Score      *float64  `json:"score"`
}

// flag is 0 or 1, or false or true: both are found in COCO files.
type flag bool

func (f *flag) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case "0", "false", "null":
		*f = false
	case "1", "true":
		*f = true
	default:
		return fmt.Errorf("%s: want 0 or 1", b)
	}
	return nil
}

// rect checks the box of an annotation.
func (a *cocoAnnotation) rect() (Rect, error) {
	if len(a.BBox) != 4 {
		return Rect{}, fmt.Errorf("bbox has %d numbers, want x y w h", len(a.BBox))
	}
	r := Rect{X: a.BBox[0], Y: a.BBox[1], W: a.BBox[2], H: a.BBox[3]}
	if !r.valid() {
		return Rect{}, fmt.Errorf("bbox %v has a negative size", a.BBox)
	}
	return r, nil
}

// openCOCO reads a COCO "instances" file. The pictures are looked for in
// images/ beside it, beside it, and where COCO itself has them: in ../val2017
// for annotations/instances_val2017.json.
func openCOCO(file string) (*Dataset, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	ds, err := parseCOCO(file, data)
	if err != nil {
		return nil, err
	}
	ds.locate(imageFolders(file))
	return ds, nil
}

// parseCOCO reads the content of a COCO file.
func parseCOCO(file string, data []byte) (*Dataset, error) {
	var in cocoFile
	if err := decodeJSON(file, data, &in); err != nil {
		return nil, err
	}
	bad := func(format string, args ...any) (*Dataset, error) {
		return nil, fmt.Errorf("%s: %s", file, fmt.Sprintf(format, args...))
	}
	if in.Categories == nil || in.Images == nil {
		return bad("it has no images or no categories: not a COCO data set")
	}
	ds := &Dataset{Format: FormatCOCO, ids: map[int64]int{}, cat: map[int64]int{}}
	slices.SortStableFunc(in.Images, func(a, b cocoImage) int { return cmp.Compare(a.ID, b.ID) })
	for i, img := range in.Images {
		if _, twice := ds.ids[img.ID]; twice {
			return bad("two images have the id %d", img.ID)
		}
		ds.ids[img.ID] = i
		ds.Items = append(ds.Items, Item{Name: filepath.ToSlash(img.FileName), Width: max(img.Width, 0), Height: max(img.Height, 0)})
	}
	for i, c := range in.Categories {
		if _, twice := ds.cat[c.ID]; twice {
			return bad("two categories have the id %d", c.ID)
		}
		ds.cat[c.ID] = i
		ds.Classes = append(ds.Classes, c.Name)
	}
	if _, err := checkNames(ds.Classes); err != nil {
		return bad("categories: %v", err)
	}
	ignored := 0
	for i := range in.Annotations {
		a := &in.Annotations[i]
		item, ok := ds.ids[a.ImageID]
		if !ok {
			return bad("annotations[%d] (id %d): no image has the id %d", i, a.ID, a.ImageID)
		}
		class, ok := ds.cat[a.CategoryID]
		if !ok {
			return bad("annotations[%d] (id %d): no category has the id %d", i, a.ID, a.CategoryID)
		}
		box, err := a.rect()
		if err != nil {
			return bad("annotations[%d] (id %d): %v", i, a.ID, err)
		}
		t := Truth{Class: class, Box: box, Area: box.Area(), Crowd: bool(a.Crowd), Ignore: bool(a.Ignore)}
		if a.Area != nil {
			t.Area = *a.Area
		}
		if t.Ignore && !t.Crowd {
			ignored++
		}
		ds.Items[item].Truth = append(ds.Items[item].Truth, t)
	}
	if ignored > 0 {
		ds.Notes = append(ds.Notes, fmt.Sprintf(
			"objects marked ignore without iscrowd: %d; the COCO scores count them as any other, as pycocotools does, and all other scores leave them out", ignored))
	}
	return ds, nil
}

// imageFolders lists where the pictures of a COCO file may be, best first.
func imageFolders(file string) []string {
	dir := filepath.Dir(file)
	stem := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	_, split, _ := strings.Cut(stem, "_") // instances_val2017
	folders := []string{filepath.Join(dir, "images"), dir}
	if split != "" {
		folders = append(folders,
			filepath.Join(dir, "..", split), filepath.Join(dir, "..", "images", split), filepath.Join(dir, split))
	}
	return append(folders, filepath.Join(dir, "..", "images"))
}

// locate sets the path of each item to the first folder that has it.
func (ds *Dataset) locate(folders []string) {
	for i := range ds.Items {
		item := &ds.Items[i]
		if !filepath.IsLocal(filepath.FromSlash(item.Name)) {
			continue // a label file must not name files outside its folders
		}
		for _, folder := range folders {
			file := filepath.Join(folder, filepath.FromSlash(item.Name))
			if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
				item.Path = file
				break
			}
		}
	}
}

// decodeJSON decodes data and names the line of what is wrong with it.
func decodeJSON(file string, data []byte, into any) error {
	err := json.Unmarshal(data, into)
	if err == nil {
		return nil
	}
	offset := int64(-1)
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &typ):
		offset = typ.Offset
		err = fmt.Errorf("%s is a %s, want a %s", cmp.Or(typ.Field, "the value"), typ.Value, typ.Type.Kind())
	}
	if offset < 0 || offset > int64(len(data)) {
		return fmt.Errorf("%s: %w", file, err)
	}
	return fmt.Errorf("%s:%d: %w", file, 1+bytes.Count(data[:offset], []byte("\n")), err)
}
