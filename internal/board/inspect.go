package board

import (
	"cmp"
	"fmt"
	"image"
	"math"
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
// pixels fall. Where a board is in a frame it knows from the line, as an encoder
// at the belt would tell. Not safe for concurrent use.
type Inspection struct {
	line   *Line
	min    float64
	places map[uint64]*record
	// next is the first place that has not been judged, known from the first
	// frame on.
	next    uint64
	started bool
}

// record is what was seen of one place of the line, in pixels of its board.
type record struct {
	empty   bool
	defects []Defect
	sights  []image.Rectangle // what each frame showed
	marks   []mark
}

// mark is where something was found in some frames, on a board or beside it.
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

// Verdict compares what was found on a board, and on the belt round it, with what
// was injected. Boxes are in pixels of the board.
type Verdict struct {
	Board uint64
	// Empty places carry no board; they have a verdict if something was found.
	Empty  bool
	Frames int // that showed some of it; with none, all its defects are missed
	// Objects were found, best first; Score is the mean over the frames.
	Objects  []vedette.Object
	Injected int // the sum of Found and Missed
	Found    int
	Missed   []Defect
	False    int // objects that are no defect
}

// NewInspection prepares the inspection of a line, at which an object counts from
// the mean score min on.
func NewInspection(l *Line, min float64) *Inspection {
	return &Inspection{line: l, min: min, places: map[uint64]*record{}}
}

// Frame adds the objects found in frame i, and returns the verdicts on boards
// that have left the view, those that no frame showed among them. Frames may be
// left out, and must come in order.
func (in *Inspection) Frame(i uint64, objects []vedette.Object) ([]Verdict, error) {
	first, last := in.line.inView(i)
	if !in.started {
		in.next, in.started = first, true
	}
	cfg := in.line.cfg
	inner := image.Rect(0, 0, cfg.Width, cfg.Height).Inset(edge)
	origins := make([]image.Point, 0, last-first)
	for b := first; b < last; b++ {
		at, r, err := in.place(i, b)
		if err != nil {
			return nil, err
		}
		r.sights = append(r.sights, inner.Sub(at))
		origins = append(origins, at)
	}
	for _, o := range objects {
		if o.Box[0] < edge || o.Box[2] > float64(cfg.Width-edge) || len(origins) == 0 {
			continue
		}
		// Each place reaches to the middle between two boards.
		gap := float64(in.line.pitch-cfg.BoardWidth) / 2
		k := int(math.Floor(((o.Box[0]+o.Box[2])/2 - float64(origins[0].X) + gap) / float64(in.line.pitch)))
		k = max(0, min(k, len(origins)-1))
		x, y := float64(origins[k].X), float64(origins[k].Y)
		in.places[first+uint64(k)].mark(i, o.Label, o.Score, vedette.Box{o.Box[0] - x, o.Box[1] - y, o.Box[2] - x, o.Box[3] - y})
	}
	return in.judge(i, first)
}

// place is where place b's board has its corner in frame i, and its record.
func (in *Inspection) place(i, b uint64) (image.Point, *record, error) {
	p, err := in.line.panel(b)
	if err != nil {
		return image.Point{}, nil, err
	}
	at := image.Pt(in.line.left(i, b), Rim)
	r := in.places[b]
	if r == nil {
		r = &record{empty: p == nil}
		in.places[b] = r
	}
	if p != nil {
		at.Y += p.top
		r.defects = p.defects
	}
	return at, r, nil
}

// judge ends the places before first.
func (in *Inspection) judge(i, first uint64) ([]Verdict, error) {
	var out []Verdict
	for ; in.next < first; in.next++ {
		_, r, err := in.place(i, in.next)
		if err != nil {
			return out, err
		}
		delete(in.places, in.next)
		if v := r.verdict(in.next, in.min); !v.Empty || len(v.Objects) > 0 {
			out = append(out, v)
		}
	}
	return out, nil
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
	for _, s := range r.sights {
		if b[0] >= float64(s.Min.X) && b[2] <= float64(s.Max.X) {
			n++
		}
	}
	return n
}

func (r *record) verdict(board uint64, least float64) Verdict {
	v := Verdict{Board: board, Empty: r.empty, Frames: len(r.sights), Injected: len(r.defects)}
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
func (v *Verdict) match(defects []Defect) {
	missed := slices.Clone(defects)
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
		missed = slices.Delete(missed, at, at+1)
		v.Found++
	}
	v.Missed = missed
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
	if v.Empty {
		s = fmt.Sprintf("empty %3d  ", v.Board)
	}
	switch {
	case v.Frames == 0:
		s += "in no frame"
	case len(v.Objects) == 0:
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
