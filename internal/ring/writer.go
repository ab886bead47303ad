package ring

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/vedette-io/vedette"
)

// Writer is the one writer of a ring. It is not safe for concurrent use.
type Writer struct {
	file  *os.File
	path  string
	mem   []byte
	slots int
	size  int // bytes from one slot to the next
	fence fence
}

// Create makes a ring of slots pictures of up to slotBytes each and reserves
// all of its memory. It fails with [ErrNoSpace], saying how much is needed,
// when the host has no room.
func Create(slots, slotBytes int) (*Writer, error) {
	if err := checkShape(slots, slotBytes); err != nil {
		return nil, err
	}
	return create(slots, slotBytes, availableMemory)
}

func create(slots, slotBytes int, available func() (int64, bool)) (_ *Writer, err error) {
	size := roundUp(slotBytes, pageSize)
	total := slotOffset(slots, size)
	// fallocate takes what there is before it gives up, and the kernel would
	// kill someone first: a ring that cannot fit is refused before that.
	if room, known := available(); known && total > room {
		return nil, fmt.Errorf("%w: %d slots need %d MiB, %d MiB are available",
			ErrNoSpace, slots, total>>20, room>>20)
	}
	fd, err := unix.MemfdCreate("vedette-ring", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("create ring memory: %w", err)
	}
	w := &Writer{file: os.NewFile(uintptr(fd), "vedette-ring"), path: FDPath(os.Getpid(), fd), slots: slots, size: size}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	if err := reserve(fd, total); err != nil {
		return nil, fmt.Errorf("%w: %d slots need %d MiB: %w", ErrNoSpace, slots, total>>20, err)
	}
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return nil, fmt.Errorf("seal ring memory: %w", err)
	}
	w.mem, err = unix.Mmap(fd, 0, int(total), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map ring memory: %w", err)
	}
	h := header(w.mem)
	*h.word(offSlots) = uint64(slots)
	*h.word(offSlotBytes) = uint64(size)
	for slot := range slots {
		// A random start, so that a reference into an earlier ring that had the
		// same path cannot match. Below 2^53 for the sake of JSON readers.
		*h.counter(slot) = (rand.Uint64N(1<<51) + 1) &^ 1
	}
	atomic.StoreUint64(h.word(offMagic), magic)
	return w, nil
}

func reserve(fd int, total int64) error {
	for {
		err := unix.Fallocate(fd, 0, 0, total)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Slots is how many pictures the ring holds.
func (w *Writer) Slots() int { return w.slots }

// SlotBytes is the most bytes a picture can have.
func (w *Writer) SlotBytes() int { return w.size }

// FD is the ring's file descriptor in this process.
func (w *Writer) FD() int { return int(w.file.Fd()) }

// Begin opens a slot for writing and returns its memory. From here on readers
// of the slot's last picture find it overwritten. A slot that was begun and
// not committed may be begun again. Slot must be 0 to Slots-1.
func (w *Writer) Begin(slot int) []byte {
	c := header(w.mem).counter(slot)
	odd := atomic.LoadUint64(c) | 1
	if odd == atomic.LoadUint64(c) {
		odd += 2
	}
	atomic.StoreUint64(c, odd)
	w.fence.full()
	off := slotOffset(slot, w.size)
	return w.mem[off : off+int64(w.size) : off+int64(w.size)]
}

// Commit declares the picture in the slot complete and returns the reference
// by which this process's ring is read: stride bytes per row, n bytes in all.
func (w *Writer) Commit(slot, stride, n int) vedette.RingRef {
	return vedette.RingRef{
		Path:       w.path,
		Slot:       slot,
		Generation: atomic.AddUint64(header(w.mem).counter(slot), 1),
		Offset:     slotOffset(slot, w.size),
		Stride:     stride,
		Bytes:      n,
	}
}

// Close unmaps the ring and closes its file. Readers that have it mapped keep
// it. Close is idempotent.
func (w *Writer) Close() error {
	var err error
	if w.mem != nil {
		err = unix.Munmap(w.mem)
		w.mem = nil
	}
	if w.file != nil {
		err = errors.Join(err, w.file.Close())
		w.file = nil
	}
	return err
}

// FDPath is the path by which another process opens a descriptor of pid.
func FDPath(pid, fd int) string {
	return "/proc/" + strconv.Itoa(pid) + "/fd/" + strconv.Itoa(fd)
}
