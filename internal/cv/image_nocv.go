//go:build !cv

package cv

// SetThreads bounds the threads of one OpenCV call.
func SetThreads(int) {}

// Resize copies src into dst where their sizes are the same; to change a size
// needs OpenCV.
func Resize(dst, src View, _ Interp) error {
	if err := checkResize(dst, src); err != nil {
		return err
	}
	if dst.Width != src.Width || dst.Height != src.Height {
		return ErrNoOpenCV
	}
	for y := range dst.Height {
		n := dst.Width * dst.Channels
		copy(dst.Data[y*dst.Stride:][:n], src.Data[y*src.Stride:])
	}
	return nil
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
