//go:build !cv

package cv

import "github.com/vedette-io/vedette/internal/picture"

// SetThreads bounds the threads of one OpenCV call.
func SetThreads(int) {}

// Resize scales src into all of dst, in place; see [picture.Resize].
func Resize(dst, src View, interp Interp) error { return picture.Resize(dst, src, interp) }

// Convert changes the colours of src into dst, a picture of the same size in
// other memory.
func Convert(dst, src View, c Conversion) error { return picture.Convert(dst, src, c) }

// EncodeJPEG appends the JPEG of a picture to dst.
func EncodeJPEG(dst []byte, _ View, _ int) ([]byte, error) { return dst, ErrNoOpenCV }

// DecodeImage decodes a picture file to BGR, upright; see [picture.Decode].
func DecodeImage(file []byte) (View, error) { return picture.Decode(file) }

// DrawBoxes draws marks onto a picture.
func DrawBoxes(View, []Mark) error { return ErrNoOpenCV }
