// Package ring passes pictures between processes of one host without copying
// them: a capture process writes each picture once, into a slot of a shared
// memory file, and readers look at it in place.
//
// # Layout
//
// A ring is a memfd: a header page and then slots of equal, page-rounded size.
// The header holds one generation counter per slot, a sequence lock: odd while
// the writer is in the slot, even when the picture is complete. A reader
// compares it with the generation in the [vedette.RingRef] before and after it
// reads; when they differ it has lost the race and drops the frame
// ([ErrOverwritten]). Nobody ever waits for anybody.
//
// # Why a memfd
//
// It leaves no stale files, is not bound by the size of /dev/shm, vanishes with
// its last user, and can be sealed: a reader accepts only memory that can no
// longer shrink, so that a wrong or hostile reference is an error and never a
// bus error. All pages are reserved when the ring is made, so that a host
// without room says so at once.
package ring

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/vedette-io/vedette"
)

// Errors that callers can tell apart.
var (
	// ErrOverwritten says that the slot no longer holds the picture: the writer
	// has reused it, or the ring is gone.
	ErrOverwritten = errors.New("the picture was overwritten before it was read")
	// ErrBadRef says that a reference cannot belong to the ring it names.
	ErrBadRef = errors.New("bad ring reference")
	// ErrNoSpace says that the host has no room for the ring.
	ErrNoSpace = errors.New("not enough memory for the ring")
)

// DefaultSlots is how many pictures a ring holds unless told otherwise: one
// being written, one being read, and four frame times for a reader to be late.
const DefaultSlots = 6

// Limits of a ring. MaxSlots is what fits into the header page; MaxSlotBytes
// is far above any camera and keeps arithmetic on offsets safe.
const (
	MaxSlots     = 62
	MaxSlotBytes = 1 << 30
)

const (
	magic      = 0x3147_4e49_5244_4556 // "VEDRING1" in little-endian
	headerSize = 4096
	pageSize   = 4096
	lineSize   = 64 // one counter per cache line, so that slots do not contend

	offMagic     = 0
	offSlots     = 8
	offSlotBytes = 16
	offCounters  = lineSize
)

// header reads and writes the first page of a mapped ring.
type header []byte

func (h header) word(off int) *uint64 { return (*uint64)(unsafe.Pointer(&h[off])) }

func (h header) counter(slot int) *uint64 { return h.word(offCounters + slot*lineSize) }

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// slotOffset is where a slot begins in a ring whose slots take size bytes.
func slotOffset(slot, size int) int64 { return headerSize + int64(slot)*int64(size) }

func checkShape(slots, slotBytes int) error {
	if slots < 2 || slots > MaxSlots {
		return fmt.Errorf("ring of %d slots: want 2 to %d", slots, MaxSlots)
	}
	if slotBytes < 1 || slotBytes > MaxSlotBytes {
		return fmt.Errorf("ring slot of %d bytes: want 1 to %d", slotBytes, MaxSlotBytes)
	}
	return nil
}

// checkRef compares a reference with the shape of the ring it names.
func checkRef(ref vedette.RingRef, slots, size int) error {
	switch {
	case ref.Slot < 0 || ref.Slot >= slots:
		return fmt.Errorf("%w: slot %d of %d", ErrBadRef, ref.Slot, slots)
	case ref.Offset != slotOffset(ref.Slot, size):
		return fmt.Errorf("%w: offset %d is not that of slot %d", ErrBadRef, ref.Offset, ref.Slot)
	case ref.Bytes < 1 || ref.Bytes > size:
		return fmt.Errorf("%w: %d bytes in a slot of %d", ErrBadRef, ref.Bytes, size)
	case ref.Stride < 1 || ref.Stride > ref.Bytes:
		return fmt.Errorf("%w: stride %d of %d bytes", ErrBadRef, ref.Stride, ref.Bytes)
	case ref.Generation&1 != 0:
		return fmt.Errorf("%w: generation %d is that of an unfinished picture", ErrBadRef, ref.Generation)
	}
	return nil
}

// fence orders the plain loads and stores around it. Go has no fences; an
// atomic read-modify-write is one on every architecture Go runs on (amd64
// needs none here, arm64 does).
type fence struct{ n atomic.Uint64 }

func (f *fence) full() { f.n.Add(1) }
