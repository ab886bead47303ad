//go:build cv

package cv

import (
	"fmt"
	"image"

	"gocv.io/x/gocv"
)

// DrawBoxes draws the marks onto a BGR picture, the last on top: outlines
// first, so that none crosses a caption.
func DrawBoxes(v View, marks []Mark) error {
	if err := v.Check("draw boxes:"); err != nil {
		return err
	}
	if v.Channels != 3 {
		return fmt.Errorf("draw boxes: picture has %d channels, want 3", v.Channels)
	}
	m, err := newMat(v)
	if err != nil {
		return fmt.Errorf("draw boxes: %w", err)
	}
	defer m.Close()
	p := penFor(v.Width, v.Height)
	boxes := make([]image.Rectangle, len(marks))
	for i, mark := range marks {
		if boxes[i], err = mark.corners(v.Width, v.Height); err != nil {
			return err
		}
		if err := gocv.Rectangle(&m, boxes[i], palette(mark.Color), p.line+1); err != nil {
			return fmt.Errorf("draw box: %w", err)
		}
	}
	for i, mark := range marks {
		if mark.Text == "" {
			continue
		}
		if err := p.write(&m, boxes[i], mark); err != nil {
			return fmt.Errorf("draw caption: %w", err)
		}
	}
	return nil
}

// write draws the caption of one mark.
func (p pen) write(m *gocv.Mat, box image.Rectangle, mark Mark) error {
	const font = gocv.FontHersheySimplex
	text := ascii(mark.Text)
	size, base := gocv.GetTextSizeWithBaseline(text, font, p.scale, p.line)
	margin := p.line + 1
	plate := caption(box, image.Pt(size.X+2*margin, size.Y+base+margin), m.Cols(), m.Rows())
	ground := palette(mark.Color)
	if err := gocv.Rectangle(m, plate, ground, -1); err != nil {
		return err
	}
	at := image.Pt(plate.Min.X+margin, plate.Min.Y+margin+size.Y)
	return gocv.PutTextWithParams(m, text, at, font, p.scale, onTop(ground), p.line, gocv.LineAA, false)
}
