package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"image"
	"io"
	"math"
	"time"

	"github.com/vedette-io/vedette/internal/board"
	"github.com/vedette-io/vedette/internal/testcam/clip"
)

// frameTruth is what one frame shows.
type frameTruth struct {
	Frame     uint64  `json:"frame"`
	PTSMillis float64 `json:"pts_ms"`
	// Time is when a camera's frame was painted. Who joins a camera late knows
	// no frame numbers, and finds the frame by its time.
	Time   *time.Time   `json:"time,omitempty"`
	Boards []boardTruth `json:"boards"`
}

// boardTruth is one board in one frame.
type boardTruth struct {
	// Board is its number on the line.
	Board uint64 `json:"board"`
	Area  box    `json:"area"`
	// Total is how many defects it has, in view or not.
	Total   int           `json:"total_defects"`
	Defects []defectTruth `json:"defects"`
}

// defectTruth is one defect in one frame.
type defectTruth struct {
	Class   string  `json:"class"`
	Box     box     `json:"box"`
	Visible float64 `json:"visible"`
}

// box is x1, y1, x2, y2.
type box [4]int

func boxOf(r image.Rectangle) box { return box{r.Min.X, r.Min.Y, r.Max.X, r.Max.Y} }

// show paints the line and writes the truth about each frame before anybody can
// see it. It belongs to the goroutine that paints.
type show struct {
	line  *board.Line
	clock bool
	out   *bufio.Writer
	fail  func(error) // ends the command, with a reason
}

func (s *show) to(w io.Writer) { s.out = bufio.NewWriter(w) }

// flush writes what is still in memory.
func (s *show) flush() error { return s.out.Flush() }

// paint is a [clip.Painter].
func (s *show) paint(p clip.Picture, i int) {
	now := time.Now()
	if err := s.line.BGR(uint64(i), p.Pix); err != nil {
		s.fail(err)
		return
	}
	if err := s.tell(uint64(i), now); err != nil {
		s.fail(fmt.Errorf("write the truth: %w", err))
	}
}

func (s *show) tell(i uint64, now time.Time) error {
	boards, err := s.line.Truth(i)
	if err != nil {
		return err
	}
	t := frameTruth{Frame: i, PTSMillis: round(float64(i)*1000/s.line.Config().FPS, 1e3), Boards: []boardTruth{}}
	if s.clock {
		now = now.UTC().Truncate(time.Microsecond)
		t.Time = &now
	}
	for _, b := range boards {
		if b.Area.Empty() {
			continue // its rim alone is in view
		}
		told := boardTruth{Board: b.Board, Area: boxOf(b.Area), Total: b.Total, Defects: []defectTruth{}}
		for _, d := range b.Defects {
			told.Defects = append(told.Defects, defectTruth{Class: d.Class.String(), Box: boxOf(d.Box), Visible: round(d.Visible, 1e4)})
		}
		t.Boards = append(t.Boards, told)
	}
	if err := json.NewEncoder(s.out).Encode(t); err != nil {
		return err
	}
	if s.clock { // who follows it wants each line at once
		return s.flush()
	}
	return nil
}

// round keeps so many parts of one.
func round(v, parts float64) float64 { return math.Round(v*parts) / parts }
