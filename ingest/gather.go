package ingest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/fileerr"
)

// Gather makes one source of the picture files that follow each other in a
// list, in their order: a shell makes hundreds of arguments of photos/*.jpg,
// and each source costs a process. Other sources stay as they are.
func Gather(sources []Source) []Source {
	var out []Source
	for _, s := range sources {
		if last := len(out) - 1; last >= 0 && len(out[last].files) > 0 && len(s.files) > 0 {
			out[last].files = append(out[last].files, s.files...)
			continue
		}
		s.files = append([]string(nil), s.files...) // grows, and must not in another's memory
		out = append(out, s)
	}
	for i := range out {
		if files := out[i].files; len(files) > 1 {
			out[i].id = folderID(files)
			out[i].location = fmt.Sprintf("%s and %d more", files[0], len(files)-1)
		}
	}
	return out
}

// folderID is the id for pictures of one folder, as if the folder had been
// given, or of several.
func folderID(files []string) string {
	folder := ""
	for _, f := range files {
		path, err := filepath.Abs(f)
		if err != nil {
			path = f
		}
		if dir := filepath.Dir(path); folder == "" {
			folder = dir
		} else if dir != folder {
			return "pictures"
		}
	}
	return vedette.Slug(filepath.Base(folder))
}

// findFiles looks for picture files that were named one by one. Each that is
// not there is told.
func (s Source) findFiles() (items, error) {
	var it items
	var errs []error
	for _, f := range s.files {
		bad := func(err error, detail string) {
			errs = append(errs, &SourceError{Source: f, Err: err, Detail: detail})
		}
		info, err := os.Stat(f)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			bad(ErrNotFound, "")
			continue
		case err != nil:
			bad(ErrCapture, fileerr.Cause(err).Error())
			continue
		case info.IsDir():
			bad(ErrNoPictures, "it is a folder")
			continue
		}
		path, err := filepath.Abs(f)
		if err != nil {
			bad(ErrCapture, fileerr.Cause(err).Error())
			continue
		}
		it.paths = append(it.paths, path)
	}
	if len(errs) > 0 {
		return items{}, errors.Join(errs...)
	}
	it.names = pictureNames(s.files, it.paths)
	return it, nil
}

// pictureNames are the base names of files; where files of several folders
// have the same, it is the path that tells them apart.
func pictureNames(files, paths []string) []string {
	first := map[string]string{}
	shared := map[string]bool{}
	for _, p := range paths {
		base := filepath.Base(p)
		if other, ok := first[base]; ok && other != p {
			shared[base] = true
		}
		first[base] = p
	}
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = filepath.Base(f)
		if shared[filepath.Base(paths[i])] {
			names[i] = filepath.Clean(f)
		}
	}
	return names
}
