//go:build cv

package ingest_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/testcam"
)

// TestReconnectsLeakNothing breaks the connections of several cameras again and
// again. VEDETTE_SOAK=1 runs the long form: 200 reconnects.
func TestReconnectsLeakNothing(t *testing.T) {
	rounds := 4
	if os.Getenv("VEDETTE_SOAK") != "" {
		rounds = 40
	}
	var cameras []*camera
	broken := map[*camera]*testcam.Camera{}
	for i := range 5 {
		cam := rtsp(t, testcam.Options{})
		c := newCamera(t, ingest.Config{ID: fmt.Sprintf("cam%d", i), Source: source(t, cam.URL()), MinBackoff: 20 * time.Millisecond, MaxBackoff: 50 * time.Millisecond})
		cameras, broken[c] = append(cameras, c), cam
	}
	leaks(t, cameras, rounds, func(_ int, c *camera) {
		if err := broken[c].Restart(); err != nil {
			t.Fatal(err)
		}
	})
}
