package board

import (
	"cmp"
	"fmt"
	"image"
	"slices"

	"github.com/vedette-io/vedette"
)

// HitIoU is the overlap above which an object names a defect, the criterion of
// DeepPCB's authors (arXiv:1902.06197).
const HitIoU = 0.33

// edge is how far from the frame's edge a place must be to count as seen: what
// is cut by it is recognised badly.
const edge = 8

// Inspection judges the boards of a line by all the frames that show them: what
// counts is the mean of a place's scores over the frames that had it in view, 0
// where nothing was found. One look alone is noise, of the sensor and of how the
// pixels fall. Not safe for concurrent use.
type Inspection struct {
	line   *Line
	min    float64
	boards map[uint64]*record
}

// record is what was seen of one board, in its own pixels.
type record struct {
	width   float64           // of the board
	sights  []image.Rectangle // what each frame showed
	marks   []mark
	defects map[int]Defect
	total   int
}

// mark is a place on a board at which something was found in some frames.
type mark struct {
	sum     vedette.Box // of the boxes, each times its score
	score   float64     // sum of the best score of each frame
	classes map[string]float64
	// last is the frame that was the last to add to it, with which score.
	last  uint64
	added float64
}

func (m *mark) box() vedette.Box {
	b := m.sum
	for i := range b {
		b[i] /= m.score
	}
	return b
}

// add counts an object of a frame; of several of one frame the best counts.
func (m *mark) add(frame uint64, class string, score float64, box vedette.Box) {
	m.classes[class] += score
	was := 0.0
	if m.last == frame {
		was = m.added
	}
	if score <= was {
		return
	}
	m.last, m.added = frame, score
	m.score += score - was
	for k, v := range box {
		m.sum[k] += v * (score - was)
	}
}

// class is what it was taken for most.
func (m *mark) class() (class string) {
	for c, v := range m.classes {
		if best := m.classes[class]; v > best || v == best && c < class {
			class = c
		}
	}
	return class
}

// Verdict compares what was found on a board with what was injected. Boxes are
// in pixels of the board.
type Verdict struct {
	Board  uint64
	Frames int // that showed some of it
	// Objects were found, best first; Score is the mean over the frames.
	Objects  []vedette.Object
	Injected int
	Found    int
	Missed   []Defect
	False    int // objects that are no defect
}

// NewInspection prepares the inspection of a line, at which an object counts from
// the mean score min on.
func NewInspection(l *Line, min float64) *Inspection {
	return &Inspection{line: l, min: min, boards: map[uint64]*record{}}
}

// Frame adds the objects found in frame i, and returns the verdicts on boards
// that have left the view. Frames may be left out, and must come in order.
func (in *Inspection) Frame(i uint64, objects []vedette.Object) ([]Verdict, error) {
	seen, err := in.line.Truth(i)
	if err != nil {
		return nil, err
	}
	for _, s := range seen {
		r := in.boards[s.Board]
		if r == nil {
			r = &record{width: float64(in.line.cfg.BoardWidth), defects: map[int]Defect{}, total: s.Total}
			in.boards[s.Board] = r
		}
		r.add(in.line.cfg, i, s, objects)
	}
	var out []Verdict
	for b, r := range in.boards {
		if b < in.line.Passed(i) {
			out = append(out, r.verdict(b, in.min))
			delete(in.boards, b)
		}
	}
	slices.SortFunc(out, func(a, b Verdict) int { return cmp.Compare(a.Board, b.Board) })
	return out, nil
}

func (r *record) add(cfg LineConfig, frame uint64, s Seen, objects []vedette.Object) {
	inner := image.Rect(0, 0, cfg.Width, cfg.Height).Inset(edge)
	r.sights = append(r.sights, s.Area.Intersect(inner).Sub(s.Origin))
	for _, d := range s.Defects {
		if d.Visible == 1 {
			r.defects[d.Index] = Defect{Class: d.Class, Box: d.Box.Sub(s.Origin)}
		}
	}
	x, y := float64(s.Origin.X), float64(s.Origin.Y)
	for _, o := range objects {
		middle := image.Pt(int((o.Box[0]+o.Box[2])/2), int((o.Box[1]+o.Box[3])/2))
		if o.Box[0] < edge || o.Box[2] > float64(cfg.Width-edge) || !middle.In(s.Area) {
			continue
		}
		r.mark(frame, o.Label, o.Score, vedette.Box{o.Box[0] - x, o.Box[1] - y, o.Box[2] - x, o.Box[3] - y})
	}
}

// mark adds an object to what was found before at its place.
func (r *record) mark(frame uint64, class string, score float64, box vedette.Box) {
	best, at := HitIoU, -1
	for i := range r.marks {
		if v := overlap(r.marks[i].box(), box); v > best {
			best, at = v, i
		}
	}
	if at < 0 {
		r.marks, at = append(r.marks, mark{classes: map[string]float64{}, last: ^uint64(0)}), len(r.marks)
	}
	r.marks[at].add(frame, class, score, box)
}

// chances is how many frames had a place wholly in view.
func (r *record) chances(b vedette.Box) (n int) {
	left, right := max(b[0], 0), min(b[2], r.width) // the box may reach into the rim
	for _, s := range r.sights {
		if left >= float64(s.Min.X) && right <= float64(s.Max.X) {
			n++
		}
	}
	return n
}

func (r *record) verdict(board uint64, least float64) Verdict {
	v := Verdict{Board: board, Frames: len(r.sights), Injected: r.total}
	for i := range r.marks {
		m := &r.marks[i]
		b := m.box()
		if n := r.chances(b); n > 0 && m.score >= least*float64(n) {
			v.Objects = append(v.Objects, vedette.Object{Label: m.class(), Score: min(1, m.score/float64(n)), Box: b})
		}
	}
	slices.SortStableFunc(v.Objects, func(a, b vedette.Object) int { return cmp.Compare(b.Score, a.Score) })
	v.Objects = oneEach(v.Objects)
	v.match(r.defects)
	return v
}

// oneEach keeps the best of objects at one place, of whatever class: a place has
// one defect.
func oneEach(objects []vedette.Object) []vedette.Object {
	var out []vedette.Object
	for _, o := range objects {
		if !slices.ContainsFunc(out, func(b vedette.Object) bool { return covered(o.Box, b.Box) > 0.6 }) {
			out = append(out, o)
		}
	}
	return out
}

// covered is how much of the smaller of two boxes lies in the other.
func covered(a, b vedette.Box) float64 {
	w := min(a[2], b[2]) - max(a[0], b[0])
	h := min(a[3], b[3]) - max(a[1], b[1])
	if w <= 0 || h <= 0 {
		return 0
	}
	return w * h / min((a[2]-a[0])*(a[3]-a[1]), (b[2]-b[0])*(b[3]-b[1]))
}

// match pairs objects with defects: same class, overlap above [HitIoU], best
// score first, each defect once.
func (v *Verdict) match(defects map[int]Defect) {
	missed := map[int]Defect{}
	for k, d := range defects {
		missed[k] = d
	}
	for _, o := range v.Objects {
		best, at := HitIoU, -1
		for k, d := range missed {
			r := vedette.Box{float64(d.Box.Min.X), float64(d.Box.Min.Y), float64(d.Box.Max.X), float64(d.Box.Max.Y)}
			if w := overlap(o.Box, r); d.Class.String() == o.Label && w > best {
				best, at = w, k
			}
		}
		if at < 0 {
			v.False++
			continue
		}
		delete(missed, at)
		v.Found++
	}
	for _, d := range missed {
		v.Missed = append(v.Missed, d)
	}
	slices.SortFunc(v.Missed, func(a, b Defect) int { return cmp.Compare(a.Box.Min.X, b.Box.Min.X) })
}

// overlap is the intersection over union.
func overlap(a, b vedette.Box) float64 {
	w := min(a[2], b[2]) - max(a[0], b[0])
	h := min(a[3], b[3]) - max(a[1], b[1])
	if w <= 0 || h <= 0 {
		return 0
	}
	area := func(b vedette.Box) float64 { return (b[2] - b[0]) * (b[3] - b[1]) }
	return w * h / (area(a) + area(b) - w*h)
}

// String is the verdict for a person.
func (v Verdict) String() string {
	s := fmt.Sprintf("board %3d  ", v.Board)
	if len(v.Objects) == 0 {
		s += "nothing found"
	}
	for i, o := range v.Objects {
		if i > 0 {
			s += ", "
		}
		s += fmt.Sprintf("%s %.2f [%.0f %.0f %.0f %.0f]", o.Label, o.Score, o.Box[0], o.Box[1], o.Box[2], o.Box[3])
	}
	for _, d := range v.Missed {
		s += fmt.Sprintf("; MISSED %s [%d %d %d %d]", d.Class, d.Box.Min.X, d.Box.Min.Y, d.Box.Max.X, d.Box.Max.Y)
	}
	if v.False > 0 {
		s += fmt.Sprintf("; %d FALSE", v.False)
	}
	return s
}
