package clip

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Read takes the first frames access units (0: all) out of a video file of
// H.264 without B-frames, as they are, to be sent at fps frames a second.
func Read(ctx context.Context, path string, fps, frames int) (*Clip, error) {
	enc, err := start(ctx, []string{
		"-hide_banner", "-nostdin", "-loglevel", "error", "-i", path, "-map", "0:v:0", "-c", "copy",
		"-f", "flv", "-flvflags", "no_duration_filesize", "pipe:1",
	})
	if err != nil {
		return nil, err
	}
	defer enc.kill()
	c := &Clip{FPS: fps}
	units := newUnitReader(enc.stdout)
	for frames == 0 || len(c.Units) < frames {
		unit, err := units.next()
		if errors.Is(err, io.EOF) {
			return c, enc.finish(nil)
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		c.Units = append(c.Units, unit)
	}
	return c, nil
}
