package ring

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/vedette-io/vedette"
)

// Reader reads the pictures of one camera in place. It keeps the camera's
// current ring mapped, so that a picture costs no system call. The zero value
// is ready.
//
// A Reader is not safe for concurrent use, and a view is good until the next
// call of View or Close: use one Reader per goroutine that reads.
type Reader struct {
	path  string
	inode inode
	mem   []byte
	slots int
	size  int
	fence fence
}

type inode struct{ dev, ino uint64 }

// View returns the picture that ref names, in shared memory that the writer
// may overwrite at any moment: read it, then ask [Reader.Valid] and throw the
// result away when it says no. It never blocks.
//
// It fails with [ErrOverwritten] when the picture is already gone and with
// [ErrBadRef] when ref cannot be right.
func (r *Reader) View(ref vedette.RingRef) ([]byte, error) {
	fresh := false
	if r.mem == nil || r.path != ref.Path {
		if err := r.remap(ref.Path); err != nil {
			return nil, err
		}
		fresh = true
	}
	if err := checkRef(ref, r.slots, r.size); err != nil && fresh {
		return nil, err
	} else if err == nil && r.generation(ref.Slot) == ref.Generation {
		return r.mem[ref.Offset : ref.Offset+int64(ref.Bytes) : ref.Offset+int64(ref.Bytes)], nil
	}
	// Process and descriptor numbers are used again: the path may lead to a
	// newer ring than the one that is mapped.
	if fresh || !r.replaced(ref.Path) {
		if err := checkRef(ref, r.slots, r.size); err != nil {
			return nil, err
		}
		return nil, ErrOverwritten
	}
	r.unmap()
	return r.View(ref)
}

// Valid reports whether everything read from the view of ref since it was
// taken belongs to its picture.
func (r *Reader) Valid(ref vedette.RingRef) bool {
	if r.mem == nil || r.path != ref.Path || ref.Slot < 0 || ref.Slot >= r.slots {
		return false
	}
	r.fence.full() // no read of the picture may move behind the check
	return r.generation(ref.Slot) == ref.Generation
}

// Close unmaps the ring; views end. The Reader can be used again.
func (r *Reader) Close() error { return r.unmap() }

func (r *Reader) generation(slot int) uint64 {
	return atomic.LoadUint64(header(r.mem).counter(slot))
}

func (r *Reader) unmap() error {
	if r.mem == nil {
		return nil
	}
	mem := r.mem
	r.mem, r.path = nil, ""
	return unix.Munmap(mem)
}

// replaced reports whether path now leads to another file than the mapped one.
func (r *Reader) replaced(path string) bool {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return false
	}
	return inode{uint64(st.Dev), st.Ino} != r.inode
}

func (r *Reader) remap(path string) error {
	f, node, err := open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("ring %s: %w", path, err)
	}
	length := info.Size()
	if length < headerSize || length > headerSize+MaxSlots*int64(MaxSlotBytes) {
		return fmt.Errorf("%w: %s has %d bytes", ErrBadRef, path, length)
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, int(length), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map ring %s: %w", path, err)
	}
	h := header(mem)
	slots, size := *h.word(offSlots), *h.word(offSlotBytes)
	if atomic.LoadUint64(h.word(offMagic)) != magic || slots > MaxSlots || size < 1 ||
		size > MaxSlotBytes || size%pageSize != 0 || slotOffset(int(slots), int(size)) != length {
		return errors.Join(fmt.Errorf("%w: %s is not a ring", ErrBadRef, path), unix.Munmap(mem))
	}
	if err := r.unmap(); err != nil {
		return errors.Join(err, unix.Munmap(mem))
	}
	r.path, r.inode, r.mem, r.slots, r.size = path, node, mem, int(slots), int(size)
	return nil
}

// Hold keeps a ring alive, and readable by a path of this process, after the
// process that made it is gone.
type Hold struct{ file *os.File }

// Keep opens the ring at path, which must be a descriptor path as [FDPath]
// makes it.
func Keep(path string) (*Hold, error) {
	f, _, err := open(path)
	if err != nil {
		return nil, err
	}
	return &Hold{file: f}, nil
}

// Path is by which path readers open the ring while it is held.
func (h *Hold) Path() string { return FDPath(os.Getpid(), int(h.file.Fd())) }

// Close lets go of the ring. It is idempotent.
func (h *Hold) Close() error {
	if err := h.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// open opens a ring for reading and makes sure that its memory cannot shrink
// under a reader. The path comes from outside: only a process's descriptor is
// accepted, and of those only a sealed memfd.
func open(path string) (*os.File, inode, error) {
	if !isFDPath(path) {
		return nil, inode{}, fmt.Errorf("%w: path %q is not /proc/<pid>/fd/<n>", ErrBadRef, path)
	}
	// O_NONBLOCK: the path could name a pipe, whose opening would block.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil, inode{}, fmt.Errorf("%w: ring %s is gone", ErrOverwritten, path)
	}
	if err != nil {
		return nil, inode{}, fmt.Errorf("open ring %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err != nil || seals&unix.F_SEAL_SHRINK == 0 {
		return nil, inode{}, errors.Join(fmt.Errorf("%w: %s is not sealed memory", ErrBadRef, path), f.Close())
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, inode{}, errors.Join(fmt.Errorf("ring %s: %w", path, err), f.Close())
	}
	return f, inode{uint64(st.Dev), st.Ino}, nil
}

func isFDPath(path string) bool {
	rest, ok := strings.CutPrefix(path, "/proc/")
	pid, fd, ok2 := strings.Cut(rest, "/fd/")
	return ok && ok2 && isNumber(pid) && isNumber(fd)
}

func isNumber(s string) bool {
	n, err := strconv.ParseUint(s, 10, 31)
	return err == nil && strconv.FormatUint(n, 10) == s
}
