package bus

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nats-io/nkeys"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/fileerr"
)

// keysFolder is where an embedded server's store has the keys of the roles.
const keysFolder = "keys"

// KeyFile is the file in an embedded server's store that has a role's key.
func KeyFile(store string, r Role) string { return keyFile(filepath.Join(store, keysFolder), r) }

func keyFile(dir string, r Role) string { return filepath.Join(dir, string(r)+".nk") }

// accountsFile is what the configuration of an external server includes.
const accountsFile = "accounts.conf"

// MakeKeys makes the keys of the roles in a folder for an external server, a
// file each unless it is there, and accounts.conf, which that server's
// configuration includes: it has the public keys and what each role may do. It
// returns the files' paths.
func MakeKeys(dir, prefix string) ([]string, error) {
	if prefix != "" {
		if err := vedette.CheckPrefix(prefix); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrConfig, err)
		}
	}
	pairs, err := makeKeys(dir)
	if err != nil {
		return nil, err
	}
	public, err := publicKeys(pairs)
	if err != nil {
		return nil, err
	}
	accounts := filepath.Join(dir, accountsFile)
	// It holds no secret: the server may run as another user.
	if err := os.WriteFile(accounts, []byte(Accounts(prefix, func(r Role) string { return public[r] })), 0o644); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrConfig, accounts, fileerr.Cause(err))
	}
	var files []string
	for _, r := range Roles() {
		files = append(files, keyFile(dir, r))
	}
	return append(files, accounts), nil
}

// publicKeys are what a server knows the roles by.
func publicKeys(pairs map[Role]nkeys.KeyPair) (map[Role]string, error) {
	public := map[Role]string{}
	for r, pair := range pairs {
		key, err := pair.PublicKey()
		if err != nil {
			return nil, fmt.Errorf("key of %s: %w", r, err)
		}
		public[r] = key
	}
	return public, nil
}

// makeKeys reads the keys of a folder that nobody but its owner can read, and
// makes those that are not there.
func makeKeys(dir string) (map[Role]nkeys.KeyPair, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("%w: keys %s: cannot make the folder: %w", ErrConfig, dir, fileerr.Cause(err))
	}
	if err := private(dir, 0o700); err != nil {
		return nil, err
	}
	pairs := map[Role]nkeys.KeyPair{}
	for _, r := range Roles() {
		file := keyFile(dir, r)
		if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
			if err := makeKey(file); err != nil {
				return nil, keyError(file, err)
			}
		}
		if err := private(file, 0o600); err != nil {
			return nil, err
		}
		pair, err := readKey(file)
		if err != nil {
			return nil, err
		}
		pairs[r] = pair
	}
	return pairs, nil
}

// private reports a file or folder that others can read or change.
func private(path string, want fs.FileMode) error {
	info, err := os.Stat(path)
	if err != nil {
		return keyError(path, err)
	}
	if mode := info.Mode().Perm(); mode&^want&0o077 != 0 {
		return fmt.Errorf("%w: keys %s: others can get at it (mode %04o): chmod %04o %s; if others may have read it, remove it, and a new one is made",
			ErrConfig, path, mode, want, path)
	}
	return nil
}

// makeKey writes a new key so that nobody ever sees half of it.
func makeKey(file string) error {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return err
	}
	defer pair.Wipe()
	seed, err := pair.Seed()
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*") // which nobody else can read
	if err != nil {
		return err
	}
	_, err = f.Write(append(seed, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// readKey reads the NKey seed of a user. Errors never show what is in the file.
func readKey(file string) (nkeys.KeyPair, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, keyError(file, err)
	}
	defer clear(data)
	pair, err := nkeys.ParseDecoratedUserNKey(bytes.TrimSpace(data))
	if err != nil {
		return nil, fmt.Errorf("%w: nkey file %s: no NKey seed of a user (a line that begins with SU) in it", ErrConfig, file)
	}
	return pair, nil
}

// keyError names the file; what is wrong with it is for its owner to mend.
func keyError(file string, err error) error {
	return fmt.Errorf("%w: nkey file %s: %w", ErrConfig, file, fileerr.Cause(err))
}
