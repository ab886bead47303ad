//go:build !cv || !matprofile

package cv

// OpenMats is how many OpenCV matrices this process has open. Only a build with
// the tag matprofile counts; others say 0.
func OpenMats() int { return 0 }
