package ingest

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vedette-io/vedette/internal/fileerr"
)

// items are the files of a finite source.
type items struct {
	paths   []string // absolute
	names   []string // as shown in Frame.Item
	ignored int      // files that are no pictures
	videos  []string // those of them that look like videos
}

func (it items) name(seq uint64) string {
	if seq < uint64(len(it.names)) {
		return it.names[seq]
	}
	return ""
}

// Check looks whether the source can be there: a file that exists and is not
// empty, a folder with pictures, a device. Whether a stream answers shows only
// when it is opened. The error is a [*SourceError], or several joined: one for each
// of the picture files that are not there.
func (s Source) Check() error {
	switch s.kind {
	case File, Images:
		_, err := s.find()
		return err
	case Device:
		return s.findDevice()
	}
	return nil
}

func (s Source) findDevice() error {
	info, err := os.Stat(s.location)
	switch {
	case err != nil:
		return s.fail(ErrNoDevice, "")
	case info.Mode()&fs.ModeCharDevice == 0:
		return s.fail(ErrNoDevice, "it is not a character device")
	}
	return nil
}

// find lists the files of a finite source.
func (s Source) find() (items, error) {
	switch s.kind {
	case File:
		return s.findFile()
	case Images:
		return s.findPictures()
	}
	return items{}, nil
}

func (s Source) findFile() (items, error) {
	info, err := os.Stat(s.location)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return items{}, s.fail(ErrNotFound, "")
	case err != nil:
		return items{}, s.fail(ErrCapture, fileerr.Cause(err).Error())
	case info.IsDir():
		return items{}, s.fail(ErrNotVideo, "it is a folder")
	case !info.Mode().IsRegular():
		return items{}, s.fail(ErrNotVideo, "it is not a regular file")
	case info.Size() == 0:
		return items{}, s.fail(ErrEmptyFile, "")
	}
	f, err := os.Open(s.location)
	if err != nil {
		return items{}, s.fail(ErrCapture, fileerr.Cause(err).Error())
	}
	path, err := filepath.Abs(s.location)
	if err := errors.Join(err, f.Close()); err != nil {
		return items{}, s.fail(ErrCapture, fileerr.Cause(err).Error())
	}
	return items{paths: []string{path}}, nil
}

func (s Source) findPictures() (items, error) {
	if len(s.files) > 0 {
		return s.findFiles()
	}
	info, err := os.Stat(s.location)
	switch {
	case err == nil && info.IsDir():
		return s.findInFolder()
	case err == nil:
		return s.list([]string{s.location})
	case !errors.Is(err, fs.ErrNotExist):
		return items{}, s.fail(ErrCapture, fileerr.Cause(err).Error())
	case !strings.ContainsAny(s.location, "*?["):
		return items{}, s.fail(ErrNotFound, "")
	}
	matches, err := filepath.Glob(s.location)
	if err != nil {
		return items{}, s.fail(ErrNoPictures, "malformed pattern")
	}
	return s.list(matches)
}

func (s Source) findInFolder() (items, error) {
	entries, err := os.ReadDir(s.location) // sorted by name
	if err != nil {
		return items{}, s.fail(ErrCapture, fileerr.Cause(err).Error())
	}
	var paths []string
	for _, e := range entries {
		if !e.IsDir() {
			paths = append(paths, filepath.Join(s.location, e.Name()))
		}
	}
	return s.list(paths)
}

func (s Source) list(paths []string) (items, error) {
	var it items
	slices.Sort(paths)
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil || info.IsDir() || !isPicture(p) {
			it.ignored++
			if err == nil && !info.IsDir() && isVideo(p) {
				it.videos = append(it.videos, filepath.Base(p))
			}
			continue
		}
		abs, err := filepath.Abs(p)
		if err != nil {
			return items{}, s.fail(ErrCapture, fileerr.Cause(err).Error())
		}
		it.paths = append(it.paths, abs)
		it.names = append(it.names, filepath.Base(p))
	}
	if len(paths) == 0 {
		return items{}, s.fail(ErrNoPictures, "nothing is there at all")
	}
	if len(it.paths) == 0 {
		detail := fmt.Sprintf("%d other files are there; pictures end in %s", it.ignored, strings.Join(pictureTypes, ", "))
		if len(it.videos) > 0 {
			detail += "; videos are sources of their own: name each"
		}
		return items{}, s.fail(ErrNoPictures, detail)
	}
	return it, nil
}

// SkippedVideos are the videos that lie in a folder, or match a glob, of pictures
// and are not looked at.
func (s Source) SkippedVideos() []string {
	found, err := s.find()
	if err != nil {
		return nil // it is told by Check
	}
	return found.videos
}

// describeFile says what a file that is no video seems to be.
func describeFile(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return fileerr.Cause(err).Error()
	}
	defer f.Close()
	head := make([]byte, 512)
	n, err := f.Read(head)
	if err != nil {
		return fileerr.Cause(err).Error()
	}
	kind, _, _ := strings.Cut(http.DetectContentType(head[:n]), ";")
	switch {
	case strings.HasPrefix(kind, "text/"):
		return "it looks like a text file"
	case kind == "application/octet-stream", strings.HasPrefix(kind, "video/"):
		return "it is damaged, incomplete, or of a format that FFmpeg does not know"
	}
	return "it looks like " + kind
}
