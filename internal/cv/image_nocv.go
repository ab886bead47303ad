//go:build !cv

package cv

// SetThreads bounds the threads of one OpenCV call.
func SetThreads(int) {}

// Resize scales src into all of dst, in place.
func Resize(dst, src View, _ Interp) error {
	if err := checkResize(dst, src); err != nil {
		return err
	}
	return ErrNoOpenCV
}

// Convert changes the colours of src into dst.
func Convert(dst, src View, c Conversion) error {
	if err := checkConvert(dst, src, c); err != nil {
		return err
	}
	return ErrNoOpenCV
}

// EncodeJPEG appends the JPEG of a picture to dst.
func EncodeJPEG(dst []byte, _ View, _ int) ([]byte, error) { return dst, ErrNoOpenCV }

// DecodeImage decodes a picture file.
func DecodeImage([]byte) (View, error) { return View{}, ErrNoOpenCV }

// DrawBoxes draws marks onto a picture.
func DrawBoxes(View, []Mark) error { return ErrNoOpenCV }
