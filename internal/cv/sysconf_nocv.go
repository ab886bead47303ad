//go:build !cv || !linux

package cv

// SetDecoderThreads has no effect here.
func SetDecoderThreads(int) {}
