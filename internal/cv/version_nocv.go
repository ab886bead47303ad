//go:build !cv

package cv

// Version is OpenCV's version.
func Version() (string, error) { return "", ErrNoOpenCV }
