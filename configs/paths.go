package configs

import (
	"os"
	"path/filepath"
	"strings"
)

// resolve lets the relative paths of what the configuration reads begin at its
// folder: models, sources, certificates and keys. Bus.Store, which is written,
// is not one of them: it stays where the program is started, beside its key
// folder for the commands that read no file.
func (c *Config) resolve(opts Options) {
	if opts.Dir == "" || filepath.Clean(opts.Dir) == "." {
		return
	}
	for i := range c.Models {
		if f := &c.Models[i].File; strings.ContainsRune(filepath.ToSlash(*f), '/') || filepath.Ext(*f) != "" {
			*f = from(opts.Dir, *f) // else a name, to be looked up
		}
	}
	for i := range c.Cameras {
		if s := &c.Cameras[i].Source; opts.Local != nil && opts.Local(*s) {
			*s = from(opts.Dir, strings.TrimSpace(*s))
		}
	}
	b := &c.Bus
	for _, p := range []*string{&b.NKey, &b.Creds, &b.CA, &b.Cert, &b.Key,
		&b.Hub.NKey, &b.Hub.Creds, &b.Hub.CA, &b.Hub.Cert, &b.Hub.Key} {
		*p = from(opts.Dir, *p)
	}
}

// from is a path as seen from dir. What is not there, but in the working
// directory, is meant from that.
func from(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	joined := filepath.Join(dir, path)
	if strings.HasSuffix(path, "/") { // a folder, even if it is not there
		joined += "/"
	}
	if !there(joined) && there(path) {
		return path
	}
	return joined
}

// there reports whether a path leads to something; a glob, to at least one file.
func there(path string) bool {
	if _, err := os.Stat(path); err == nil {
		return true
	}
	found, err := filepath.Glob(path)
	return err == nil && len(found) > 0
}
