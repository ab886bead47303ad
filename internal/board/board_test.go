package board_test

import (
	"bytes"
	"image"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/internal/board"
)

func newBoard(t *testing.T, cfg board.Config) *board.Board {
	t.Helper()
	b, err := board.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSameSeedSameBoard(t *testing.T) {
	cfg := board.Config{Seed: 7, Defects: 6}
	a, b := newBoard(t, cfg), newBoard(t, cfg)
	if !bytes.Equal(a.Picture.Pix, b.Picture.Pix) || !bytes.Equal(a.Template.Pix, b.Template.Pix) {
		t.Error("one seed made two boards")
	}
	if len(a.Defects) != len(b.Defects) || a.Defects[0] != b.Defects[0] {
		t.Errorf("one seed made defects %v and %v", a.Defects, b.Defects)
	}
	cfg.Seed++
	if other := newBoard(t, cfg); bytes.Equal(a.Template.Pix, other.Template.Pix) {
		t.Error("two seeds made the same board")
	}
	cfg.Seed--
	cfg.Defects = 0
	if clean := newBoard(t, cfg); !bytes.Equal(clean.Picture.Pix, a.Template.Pix) {
		t.Error("a board with defects has another template than the same board without")
	}
}

// TestDefects checks many boards: pixels differ from the template in each
// defect's box and nowhere else; pixels go the way
// that the class says.
func TestDefects(t *testing.T) {
	count := map[board.Class]int{}
	for seed := range uint64(25) {
		b := newBoard(t, board.Config{Seed: seed, Defects: 10})
		changed := make([]int, len(b.Defects))
		for y := range b.Picture.Rect.Dy() {
			for x := range b.Picture.Rect.Dx() {
				was, is := b.Template.GrayAt(x, y).Y, b.Picture.GrayAt(x, y).Y
				if was != board.Conductor && was != board.Substrate || is != board.Conductor && is != board.Substrate {
					t.Fatalf("seed %d: grey levels %d and %d at %d,%d", seed, was, is, x, y)
				}
				if was == is {
					continue
				}
				i := owner(b.Defects, image.Pt(x, y))
				if i < 0 {
					t.Fatalf("seed %d: %d,%d changed outside of every box", seed, x, y)
				}
				d := b.Defects[i]
				changed[i]++
				if eats := d.Class == board.Open || d.Class == board.Mousebite || d.Class == board.PinHole; eats != (is == board.Substrate) {
					t.Errorf("seed %d: %v at %v changed %d,%d from %d to %d", seed, d.Class, d.Box, x, y, was, is)
				}
			}
		}
		for i, d := range b.Defects {
			count[d.Class]++
			if changed[i] < 14 {
				t.Errorf("seed %d: %v at %v changed %d pixels", seed, d.Class, d.Box, changed[i])
			}
			atEdge := !d.Box.Inset(-1).In(b.Picture.Rect)
			if !d.Box.In(b.Picture.Rect) || !atEdge && (d.Box.Dx() < 16 || d.Box.Dy() < 16) || d.Box.Dx() > 120 || d.Box.Dy() > 120 {
				t.Errorf("seed %d: %v has the box %v", seed, d.Class, d.Box)
			}
			for _, e := range b.Defects[:i] {
				if e.Box.Overlaps(d.Box) {
					t.Errorf("seed %d: boxes %v and %v overlap", seed, d.Box, e.Box)
				}
			}
		}
	}
	for c, name := range board.Classes() {
		if count[board.Class(c)] < 10 {
			t.Errorf("%d of 250 defects are %s", count[board.Class(c)], name)
		}
	}
}

// owner is the defect whose box holds p, -1 for none.
func owner(ds []board.Defect, p image.Point) int {
	for i, d := range ds {
		if p.In(d.Box) {
			return i
		}
	}
	return -1
}

// TestInjectTopology puts defects on a board of one wide track, where it is
// known what each class does to the number of conductors.
func TestInjectTopology(t *testing.T) {
	g := image.NewGray(image.Rect(0, 0, 200, 200))
	for i := range g.Pix {
		g.Pix[i] = board.Substrate
		if y := i / 200; y >= 90 && y < 110 {
			g.Pix[i] = board.Conductor
		}
	}
	want := map[board.Class]int{board.Open: 2, board.Mousebite: 1, board.Spur: 1, board.PinHole: 1, board.Copper: 2}
	found := map[board.Class]bool{}
	for seed := range uint64(60) {
		b, err := board.Inject(g, 1, seed)
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Defects) != 1 {
			t.Fatalf("seed %d: %d defects", seed, len(b.Defects))
		}
		c := b.Defects[0].Class
		found[c] = true
		if n := conductors(b.Picture); n != want[c] {
			t.Errorf("seed %d: %v leaves %d conductors, want %d", seed, c, n, want[c])
		}
	}
	if len(found) != len(want) {
		t.Errorf("only %v were injected", found)
	}
}

// conductors counts 4-connected conductors of 8 pixels or more.
func conductors(g *image.Gray) int {
	seen, n, w := make([]bool, len(g.Pix)), 0, g.Stride
	for i := range g.Pix {
		if seen[i] || g.Pix[i] != board.Conductor {
			continue
		}
		part := []int{i}
		seen[i] = true
		for k := 0; k < len(part); k++ {
			for _, d := range []int{1, -1, w, -w} {
				j := part[k] + d
				if j >= 0 && j < len(g.Pix) && !seen[j] && g.Pix[j] == board.Conductor && (d == w || d == -w || j/w == part[k]/w) {
					seen[j] = true
					part = append(part, j)
				}
			}
		}
		if len(part) >= 8 {
			n++
		}
	}
	return n
}

func TestImpossibleBoards(t *testing.T) {
	for _, cfg := range []board.Config{{Width: 63}, {Height: 5000}, {Defects: -1}, {Defects: 201}} {
		if _, err := board.New(cfg); err == nil {
			t.Errorf("%+v made a board", cfg)
		}
	}
	if _, err := board.Inject(image.NewGray(image.Rect(0, 0, 10, 10)), 1, 0); err == nil || !strings.Contains(err.Error(), "10×10") {
		t.Errorf("a board of 10×10: %v", err)
	}
}

func BenchmarkNew(b *testing.B) {
	for i := 0; b.Loop(); i++ {
		if _, err := board.New(board.Config{Seed: uint64(i), Defects: 4}); err != nil {
			b.Fatal(err)
		}
	}
}
