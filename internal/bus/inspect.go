package bus

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/vedette-io/vedette/internal/fileerr"
)

// StoreReport is what can be said of a store's folder without using it.
type StoreReport struct {
	Exists bool
	// Holder is the process that uses it at the moment; empty: none does.
	Holder string
	// Used and Free are bytes: those in the folder, and those left on its disk.
	Used, Free int64
	// Owner is the user who owns the folder, where that is another one.
	Owner string
}

// InspectStore looks at the folder of a store as a server would, without
// leaving anything there. The error says why a server could not use it; that
// another one does is none.
func InspectStore(path string) (r StoreReport, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return inspectNew(path)
	case err != nil:
		return r, fileerr.Cause(err)
	case !info.IsDir():
		return r, errors.New("it is a file, not a folder")
	}
	r.Exists = true
	r.Free, err = free(path)
	if err != nil {
		return r, err
	}
	r.Used = size(path)
	r.Owner = owner(path)
	if err := writable(path); err != nil {
		return r, err
	}
	r.Holder, err = holder(path)
	return r, err
}

// inspectNew looks whether the folder could be made, in the nearest one above
// it that exists.
func inspectNew(path string) (r StoreReport, err error) {
	above, err := filepath.Abs(path)
	if err != nil {
		return r, err
	}
	for {
		above = filepath.Dir(above)
		info, err := os.Stat(above)
		switch {
		case err == nil && info.IsDir():
			if r.Free, err = free(above); err != nil {
				return r, err
			}
			if err := writable(above); err != nil {
				return r, fmt.Errorf("it cannot be made in %s: %w", above, err)
			}
			return r, nil
		case err == nil:
			return r, fmt.Errorf("%s is a file, not a folder", above)
		case !errors.Is(err, fs.ErrNotExist) || above == filepath.Dir(above):
			return r, fileerr.Cause(err)
		}
	}
}

// writable tries it: permissions alone do not tell, as for a disk that is
// mounted read-only.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".vedette-try-*")
	if err != nil {
		return fileerr.Cause(err)
	}
	_, err = f.Write([]byte("x"))
	for _, end := range []error{f.Close(), os.Remove(f.Name())} { // one word is enough
		if err == nil {
			err = end
		}
	}
	if err != nil {
		return fileerr.Cause(err)
	}
	return nil
}

// holder is the process that has the store's lock.
func holder(dir string) (string, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil // never used
	}
	if err != nil {
		return "", fmt.Errorf("its lock file: %w", fileerr.Cause(err))
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		pid, err := os.ReadFile(f.Name())
		if err != nil {
			return "unknown", nil
		}
		return strings.TrimSpace(string(pid)), nil
	}
	return "", nil
}

func free(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * s.Bsize, nil
}

// owner is the user who owns a folder, if that is not this one.
func owner(dir string) string {
	var at unix.Stat_t
	if err := unix.Stat(dir, &at); err != nil || at.Uid == uint32(os.Geteuid()) {
		return ""
	}
	id := strconv.FormatUint(uint64(at.Uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

// size is how much the files of a folder hold, as far as they can be seen.
func size(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				sum += info.Size()
			}
		}
		return nil // files come and go while a server is at work
	})
	return sum
}

// MaxPayload is the largest message that the server takes, in bytes.
func (b *Bus) MaxPayload() int64 { return b.control.MaxPayload() }
