//go:build cv

package ingest_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/vedette-io/vedette/internal/testcam"
	"github.com/vedette-io/vedette/internal/testcam/camtest"
)

// As TestChildEndsWithParent, with a child that is in a call of OpenCV.
func TestChildInCEndsWithParent(t *testing.T) {
	t.Parallel()
	t.Run("opens", func(t *testing.T) {
		t.Parallel()
		cam := camtest.Script(t, onlyToProbes)
		orphan(t, "rtsp://"+cam.Addr()+"/live", syscall.SIGKILL, func(int) {
			for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
				asked := cam.Asked()
				if n := len(asked); n > 0 && onlyToProbes(asked[n-1]) == "" {
					return // FFmpeg waits for its answer
				}
				if time.Since(began) > 20*time.Second {
					t.Fatal("the child opens nothing")
				}
			}
		})
	})
	for name, stop := range map[string]bool{"reads": false, "is stopped in a read": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cam := rtsp(t, testcam.Options{})
			orphan(t, cam.URL(), syscall.SIGKILL, func(child int) {
				for began := time.Now(); cam.Stats().Readers == 0; time.Sleep(10 * time.Millisecond) {
					if time.Since(began) > 20*time.Second {
						t.Fatal("the child reads nothing")
					}
				}
				cam.Freeze()
				time.Sleep(300 * time.Millisecond) // what was sent is read
				if stop {
					if err := syscall.Kill(child, syscall.SIGSTOP); err != nil {
						t.Fatal(err)
					}
				}
			})
		})
	}
}
