package bus

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vedette-io/vedette/internal/fileerr"
)

// lockFile is the file in a store's folder that its server holds a lock on.
const lockFile = "lock"

// tempStore is the name of a temporary store's folder; nobody calls one so that
// is to be kept.
var tempStore = regexp.MustCompile(`^vedette-temp-[0-9]+$`)

// newborn is how old a temporary store without a lock may be before it counts
// as left behind: its server is about to take the lock.
const newborn = time.Minute

// makeTempStore makes the folder of a store that lasts as long as its server,
// with its lock taken, after removing those that killed processes left behind.
func makeTempStore() (dir string, lock *os.File, err error) {
	removeLeftStores(os.TempDir())
	for range 10 { // somebody who removes what is left may be quicker
		if dir, err = os.MkdirTemp("", "vedette-temp-*"); err != nil {
			return "", nil, fmt.Errorf("store: no temporary folder can be made in %s: %w: make room there, or set TMPDIR", os.TempDir(), fileerr.Cause(err))
		}
		if lock, err = takeLock(dir); err == nil {
			return dir, lock, nil
		}
		err = errors.Join(fmt.Errorf("store %s: %w", dir, err), os.RemoveAll(dir))
	}
	return "", nil, err
}

// takeLock makes the lock file of a folder and locks it.
func takeLock(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		err = stillThere(f, path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// stillThere makes sure that f, which is locked, is the file at path and was
// not removed before it was locked.
func stillThere(f *os.File, path string) error {
	mine, err := f.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !os.SameFile(mine, there) {
		return fs.ErrNotExist
	}
	return nil
}

// removeLeftStores removes the temporary stores in dir whose servers are gone: a
// killed process keeps no lock. What cannot be removed stays; it is another
// user's, or somebody else is at it.
func removeLeftStores(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() && tempStore.MatchString(e.Name()) {
			removeLeftStore(filepath.Join(dir, e.Name()))
		}
	}
}

func removeLeftStore(dir string) {
	var at unix.Stat_t
	if err := unix.Lstat(dir, &at); err != nil || at.Uid != uint32(os.Geteuid()) {
		return
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR, 0)
	if err != nil {
		// One that was killed before it made the file left an empty folder.
		if errors.Is(err, fs.ErrNotExist) && time.Since(time.Unix(at.Mtim.Unix())) > newborn {
			_ = os.Remove(dir) // fails unless it is empty
		}
		return
	}
	defer lock.Close()
	if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return // its server lives
	}
	if info, err := lock.Stat(); err != nil || (info.Size() == 0 && time.Since(info.ModTime()) < newborn) {
		return // about to be locked and claimed
	}
	_ = os.RemoveAll(dir) // what stays is tried again the next time
}
