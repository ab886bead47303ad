// Package barcode burns a number and a clock into a picture as big black and
// white cells, and reads them back, so that a test can tell which frame it was
// given and how old it is after any codec, resize or transport.
//
// # Layout
//
// The whole picture is a grid of [Columns] × [Rows] = 16 × 8 cells, cell c at
// column c%16 and row c/16, whatever the size of the picture (column i covers
// the pixels from i*w/16 to (i+1)*w/16, rows alike). Cells are nearly square
// in a 16:9 picture and 8 × 16 pixels in one that was stretched to 128 × 128.
//
//	row 0-1  cells   0…31   the number
//	row 2-3  cells  32…63   the clock, where one was drawn
//	row 4-5  cells  64…95   never painted: room for a moving picture
//	row 6-7  cells  96…127  the number again
//
// A code is 32 cells, white is 1: 24 value bits, most significant first, and
// 8 bits of CRC (polynomial 0x07, start 0xff) over the value's three bytes.
// All-black and all-white are no code. The number stands at the top and at the
// bottom, so that a picture made of two frames reads as no number.
//
// A number survives noise, H.264 at low bitrates, MJPEG and resizing in both
// directions, as long as a cell keeps about four pixels each way.
package barcode

import "time"

// The grid and the sizes of the two values.
const (
	Columns = 16
	Rows    = 8
	Cells   = Columns * Rows

	// Bits is the number of value bits of a code.
	Bits = 24
	// Max is the largest number, and the largest clock.
	Max = 1<<Bits - 1

	// CodeCells is the number of cells of one code, value and check.
	CodeCells = 32
	// Top, Clock and Bottom are the first cells of the three codes.
	Top    = 0
	Clock  = 32
	Bottom = 96
)

// Draw paints n modulo 2^24 into the first h rows of w BGR pixels of pix,
// whose rows start stride bytes apart. It allocates nothing.
func Draw(pix []byte, w, h, stride int, n uint32) {
	code := encode(n)
	drawCode(pix, w, h, stride, Top, code)
	drawCode(pix, w, h, stride, Bottom, code)
}

// DrawClock paints a clock of milliseconds modulo 2^24, see [Millis].
func DrawClock(pix []byte, w, h, stride int, ms uint32) {
	drawCode(pix, w, h, stride, Clock, encode(ms))
}

// Read returns the number in a BGR picture. It is false when a cell is neither
// black nor white, a check fails, or the two copies differ: the picture has no
// number, is corrupt, or is torn.
func Read(pix []byte, w, h, stride int) (n uint32, ok bool) {
	top, ok := readCode(pix, w, h, stride, Top)
	if !ok {
		return 0, false
	}
	bottom, ok := readCode(pix, w, h, stride, Bottom)
	if !ok || top != bottom {
		return 0, false
	}
	return top, true
}

// ReadClock returns the clock in a BGR picture. A picture without one reads as
// false, or with a chance of 1 in 256 as a wrong clock where the scene happens
// to be all black and white: ask only pictures that have one.
func ReadClock(pix []byte, w, h, stride int) (ms uint32, ok bool) {
	return readCode(pix, w, h, stride, Clock)
}

// Decode reads number and clock from the cells that are white, given as a
// function of the cell's index, for readers that see cells and no pixels (the
// classes of a published detection). It judges as [Read] and [ReadClock] do,
// but cannot see a grey cell.
func Decode(white func(cell int) bool) Reading {
	var r Reading
	top, okTop := decode(bits(white, Top))
	bottom, okBottom := decode(bits(white, Bottom))
	if okTop && okBottom && top == bottom {
		r.Number, r.HasNumber = top, true
	}
	r.Clock, r.HasClock = decode(bits(white, Clock))
	return r
}

// Reading is what [Decode] found.
type Reading struct {
	Number    uint32
	HasNumber bool
	Clock     uint32
	HasClock  bool
}

// Millis is t as a clock: milliseconds since the epoch modulo 2^24, which
// wraps every 4 h 39 min.
func Millis(t time.Time) uint32 { return uint32(t.UnixMilli()) & Max }

// Age is the time from the moment a clock shows until now, to the millisecond.
// Clocks up to half a wrap (2 h 19 min) ahead give a negative age.
func Age(now time.Time, clock uint32) time.Duration {
	d := (Millis(now) - clock) & Max
	if d > Max/2 {
		return time.Duration(int64(d)-(Max+1)) * time.Millisecond
	}
	return time.Duration(d) * time.Millisecond
}

// encode appends the check bits.
func encode(n uint32) uint32 {
	n &= Max
	return n<<8 | uint32(check(n))
}

// decode checks a code and strips its check bits.
func decode(code uint32) (uint32, bool) {
	n := code >> 8
	return n, check(n) == byte(code)
}

func check(n uint32) byte {
	crc := byte(0xff)
	for shift := Bits - 8; shift >= 0; shift -= 8 {
		crc ^= byte(n >> shift)
		for range 8 {
			if crc&0x80 != 0 {
				crc = crc<<1 ^ 0x07
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}

func bits(white func(int) bool, first int) uint32 {
	var code uint32
	for i := range CodeCells {
		code <<= 1
		if white(first + i) {
			code |= 1
		}
	}
	return code
}

// drawCode paints one pixel row of each row of cells and copies it downwards.
func drawCode(pix []byte, w, h, stride, first int, code uint32) {
	for i := 0; i < CodeCells; i += Columns {
		row := (first + i) / Columns
		y0, y1 := row*h/Rows, (row+1)*h/Rows
		if y0 == y1 {
			continue
		}
		line := pix[y0*stride : y0*stride+3*w]
		for col := range Columns {
			var v byte
			if code>>(CodeCells-1-i-col)&1 == 1 {
				v = 255
			}
			cell := line[3*(col*w/Columns) : 3*((col+1)*w/Columns)]
			for j := range cell {
				cell[j] = v
			}
		}
		for y := y0 + 1; y < y1; y++ {
			copy(pix[y*stride:y*stride+3*w], line)
		}
	}
}

// A cell whose mean lies between these is neither black nor white.
const (
	blackBelow = 96
	whiteAbove = 160
)

func readCode(pix []byte, w, h, stride, first int) (uint32, bool) {
	if w < Columns || h < Rows {
		return 0, false
	}
	var code uint32
	for i := range CodeCells {
		mean := cellMean(pix, w, h, stride, first+i)
		if mean >= blackBelow && mean <= whiteAbove {
			return 0, false
		}
		code <<= 1
		if mean > whiteAbove {
			code |= 1
		}
	}
	return decode(code)
}

// cellMean averages the middle half of a cell, away from blurred edges.
func cellMean(pix []byte, w, h, stride, cell int) int {
	col, row := cell%Columns, cell/Columns
	x0, x1 := middle(col*w/Columns, (col+1)*w/Columns)
	y0, y1 := middle(row*h/Rows, (row+1)*h/Rows)
	sum := 0
	for y := y0; y < y1; y++ {
		for _, v := range pix[y*stride+3*x0 : y*stride+3*x1] {
			sum += int(v)
		}
	}
	return sum / (3 * (x1 - x0) * (y1 - y0))
}

func middle(lo, hi int) (int, int) {
	if quarter := (hi - lo) / 4; quarter > 0 {
		return lo + quarter, hi - quarter
	}
	return lo, hi
}
