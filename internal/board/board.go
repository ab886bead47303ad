// Package board draws printed circuit boards: binarised pictures of copper on
// substrate in the look of inspection machines, the same board without a
// fault, and six kinds of defect at known places. It also renders a line of
// such boards passing under a camera. Everything follows from a seed: the same
// configuration gives the same pixels on the same processor architecture.
package board

import (
	"fmt"
	"image"
	"math/rand/v2"
)

// Class is a kind of defect.
type Class int

// The kinds of defect, in the order of the DeepPCB data set (Tang et al. 2019,
// arXiv:1902.06197), whose type n is Class n-1.
const (
	Open      Class = iota // a conductor is cut through
	Short                  // two conductors are joined
	Mousebite              // a conductor's edge is eaten into
	Spur                   // copper sticks out of a conductor
	Copper                 // copper where none belongs, touching nothing
	PinHole                // a hole in a conductor
)

// Classes are the names of the kinds of defect, indexed by [Class].
func Classes() []string {
	return []string{"open", "short", "mousebite", "spur", "copper", "pin-hole"}
}

// String is the class's name.
func (c Class) String() string {
	if c < 0 || int(c) >= len(Classes()) {
		return fmt.Sprintf("class(%d)", int(c))
	}
	return Classes()[c]
}

// Grey levels of a [Board]'s pictures, as in DeepPCB: conductors are black.
const (
	Conductor = 0
	Substrate = 255
)

// Defect is one injected fault.
type Defect struct {
	Class Class
	// Box holds every changed pixel with 8 to 11 pixels around, as people
	// label them, cut at the picture's edge.
	Box image.Rectangle
}

// Board is one drawn board.
type Board struct {
	// Picture has the defects, Template is the same board without. Outside the
	// defects' boxes they are equal. Both have only [Conductor] and [Substrate].
	Picture, Template *image.Gray
	Defects           []Defect
}

// Config says which board to draw.
type Config struct {
	// Width and Height in pixels, 64 to 4096; 0 means 640.
	Width, Height int
	// Seed makes the board.
	Seed uint64
	// Defects is how many to inject. A crowded board may take fewer. Their
	// boxes do not overlap.
	Defects int
	// Plain boards keep to design rules by which one picture tells a defect from
	// what is meant to be so: wide clearances, no holes but those in the middle
	// of pads, even edges; and their defects are no specks, their bites notches
	// and not cut corners, their shorts thinner than tracks and their cuts narrower
	// than gaps. Others have all that real designs have, slots that look like
	// pin-holes and gaps that look like cuts among it.
	Plain bool
}

func (c *Config) setDefaults() error {
	if c.Width == 0 {
		c.Width = 640
	}
	if c.Height == 0 {
		c.Height = 640
	}
	if c.Width < 64 || c.Width > 4096 || c.Height < 64 || c.Height > 4096 {
		return fmt.Errorf("a board of %d×%d pixels: each side must be 64 to 4096", c.Width, c.Height)
	}
	if c.Defects < 0 || c.Defects > 200 {
		return fmt.Errorf("%d defects on a board: 0 to 200 are possible", c.Defects)
	}
	return nil
}

// New draws a board.
func New(cfg Config) (*Board, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	template := draw(cfg.Width, cfg.Height, stream(cfg.Seed, 1), cfg.Plain)
	return inject(template, cfg.Defects, cfg.Seed, cfg.Plain)
}

// Inject puts n defects of random kinds into a copy of a defect-free picture
// of [Conductor] and [Substrate]; what is darker than half counts as conductor.
// Fewer fit where the picture has no place for them.
func Inject(template *image.Gray, n int, seed uint64) (*Board, error) {
	return inject(template, n, seed, false)
}

func inject(template *image.Gray, n int, seed uint64, plain bool) (*Board, error) {
	b := template.Bounds()
	if b.Dx() < 64 || b.Dy() < 64 {
		return nil, fmt.Errorf("a board of %d×%d pixels: each side must be at least 64", b.Dx(), b.Dy())
	}
	c := fromGray(template)
	out := &Board{Template: c.gray()}
	out.Defects = newInjector(c, stream(seed, 2), plain).inject(n)
	out.Picture = c.gray()
	return out, nil
}

// fits says whether a class may change the number of parts of copper and of
// substrate round it by so much.
func fits(class Class, copper, bare int) bool {
	switch class {
	case Open:
		return copper == 1 && bare <= 0
	case Short:
		return bare == 1 && copper <= 0
	case Mousebite, Spur:
		return copper == 0 && bare == 0
	case Copper:
		return copper == 1 && bare == 0
	case PinHole:
		return copper == 0 && bare == 1
	}
	return false
}

// crumbs is how many small parts a defect of a class is itself.
func (c Class) crumbs() int {
	if c == PinHole || c == Copper {
		return 1
	}
	return 0
}

// stream is the nth independent random sequence of a seed.
func stream(seed, n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, n)) }

// between is a random number from lo up to hi.
func between(r *rand.Rand, lo, hi float64) float64 { return lo + (hi-lo)*r.Float64() }

// intBetween is a random whole number from lo to hi, both included.
func intBetween(r *rand.Rand, lo, hi int) int { return lo + r.IntN(hi-lo+1) }

// chance is true with probability p.
func chance(r *rand.Rand, p float64) bool { return r.Float64() < p }
