package bench

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Counter is a number in a file that several processes share: one counts in it,
// others may look at any time, also while the first one is paused.
type Counter struct{ mem []byte }

const counterSize = 8

// OpenCounter opens the counter in a file, which is made if it is not there.
func OpenCounter(path string) (c *Counter, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(counterSize); err != nil {
		return nil, err
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, counterSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	return &Counter{mem}, nil
}

func (c *Counter) value() *uint64 { return (*uint64)(unsafe.Pointer(&c.mem[0])) }

// Set changes the number.
func (c *Counter) Set(n uint64) { atomic.StoreUint64(c.value(), n) }

// Get is the number.
func (c *Counter) Get() uint64 { return atomic.LoadUint64(c.value()) }

// Close lets go of the file; the counter may not be used any more.
func (c *Counter) Close() error { return unix.Munmap(c.mem) }
