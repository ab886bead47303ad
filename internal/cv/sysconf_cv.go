//go:build cv && linux

package cv

/*
#cgo LDFLAGS: -ldl
void vedette_set_online_cpus(long n);
*/
import "C"

import "gocv.io/x/gocv"

// SetDecoderThreads sets how many threads FFmpeg's decoders use in captures
// opened from now on, in the whole process; 0 is one per CPU. One thread adds
// no delay: live sources want it. OpenCV's own thread pool is not needed by a
// capture and is switched off.
func SetDecoderThreads(n int) {
	C.vedette_set_online_cpus(C.long(max(n, 0)))
	gocv.SetNumThreads(1)
}
