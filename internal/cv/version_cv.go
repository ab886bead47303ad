//go:build cv

package cv

import "gocv.io/x/gocv"

// Version is OpenCV's version.
func Version() (string, error) { return gocv.OpenCVVersion(), nil }
