package models

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// The errors of a download that came to nothing.
var (
	// ErrDamaged is wrapped when a file has not the size or hash of the
	// catalogue.
	ErrDamaged = errors.New("not the file of the catalogue")
	// ErrDownload is wrapped when the server could not be reached or did not
	// answer with the file.
	ErrDownload = errors.New("download")
)

// stallAfter is how long a download may be silent unless told otherwise.
const stallAfter = 30 * time.Second

// PullOptions say where from and where to; the zero value is the usual.
type PullOptions struct {
	// Dir is where models are kept; empty means [CacheDir].
	Dir string
	// BaseURL, when set, replaces scheme and host of the catalogue's URLs: the
	// address of a mirror with the same paths.
	BaseURL string
	// Client is used for the download; nil means one that honours the proxy
	// variables of the environment.
	Client *http.Client
	// StallAfter is how long the server may send nothing; 0 means 30 s.
	StallAfter time.Duration
	// Progress, which may be nil, is called with the bytes so far.
	Progress func(done, total int64)
}

func (o PullOptions) dir() (string, error) {
	if o.Dir != "" {
		return o.Dir, nil
	}
	return CacheDir()
}

// Pull downloads a model of the catalogue, checks its size and hash, and puts
// it and its manifest into the folder; it returns the path for [Load]. A model
// that is there and whole is not downloaded again. Whatever happens, ctx
// ending included, a file of that name in the folder is a whole one.
func Pull(ctx context.Context, name string, opts PullOptions) (string, error) {
	e, err := Find(name)
	if err != nil {
		return "", err
	}
	return e.pull(ctx, opts)
}

func (e Entry) pull(ctx context.Context, opts PullOptions) (string, error) {
	dir, err := opts.dir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, e.Name+".onnx")
	if e.check(path) != nil {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", fmt.Errorf("pull %s: %w", e.Name, err)
		}
		if err := e.download(ctx, path, opts); err != nil {
			return "", fmt.Errorf("pull %s: %w", e.Name, err)
		}
	}
	if err := e.writeManifest(dir); err != nil {
		return "", fmt.Errorf("pull %s: %w", e.Name, err)
	}
	return path, nil
}

// check reports whether the file at path is the entry's.
func (e Entry) check(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, int64(e.Bytes)+1))
	if err != nil {
		return err
	}
	return e.compare(n, h.Sum(nil))
}

func (e Entry) compare(bytes int64, sum []byte) error {
	if bytes > int64(e.Bytes) {
		return fmt.Errorf("%w: it has more than %d bytes", ErrDamaged, e.Bytes)
	}
	if bytes < int64(e.Bytes) {
		return fmt.Errorf("%w: it has %d bytes instead of %d", ErrDamaged, bytes, e.Bytes)
	}
	if got := hex.EncodeToString(sum); got != e.SHA256 {
		return fmt.Errorf("%w: its SHA-256 is %s instead of %s", ErrDamaged, got, e.SHA256)
	}
	return nil
}

// download fetches the file to path by way of a temporary one beside it.
func (e Entry) download(ctx context.Context, path string, opts PullOptions) error {
	address, err := e.address(opts.BaseURL)
	if err != nil {
		return err
	}
	return replaceFile(path, func(w io.Writer) error {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		after := cmp.Or(opts.StallAfter, stallAfter)
		stall := time.AfterFunc(after, func() { cancel(fmt.Errorf("no data for %v", after)) })
		defer stall.Stop()
		err := e.fetch(ctx, address, path, opts, io.MultiWriter(w, writerFunc(func() { stall.Reset(after) })))
		if cause := context.Cause(ctx); err != nil && cause != nil {
			return fmt.Errorf("%w %s: %w", ErrDownload, address, cause)
		}
		return err
	})
}

func (e Entry) address(base string) (string, error) {
	if base == "" {
		return e.URL, nil
	}
	from, err := url.Parse(base)
	if err != nil || from.Host == "" {
		return "", fmt.Errorf("the base URL %q is not like https://host", base)
	}
	to, err := url.Parse(e.URL)
	if err != nil {
		return "", err
	}
	return from.JoinPath(to.EscapedPath()).String(), nil
}

// fetch copies the file at address to w and checks it. Its place, for who has to
// bring it there otherwise, is path.
func (e Entry) fetch(ctx context.Context, address, path string, opts PullOptions, w io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "vedette")
	client := opts.Client
	if client == nil {
		client = http.DefaultClient // its transport reads the proxy variables
	}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w; without a network, bring the file to %s by other means and run this again", ErrDownload, err, path)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%w %s: the server answered %s", ErrDownload, address, res.Status)
	}
	if res.ContentLength >= 0 && res.ContentLength != int64(e.Bytes) {
		return fmt.Errorf("%w: the server offers %d bytes instead of %d", ErrDamaged, res.ContentLength, e.Bytes)
	}
	sum := sha256.New()
	counter := &progress{total: int64(e.Bytes), report: opts.Progress}
	n, err := io.Copy(io.MultiWriter(w, sum, counter), io.LimitReader(res.Body, int64(e.Bytes)+1))
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w %s: cut off after %d of %d bytes", ErrDownload, address, n, e.Bytes)
	case err != nil:
		return fmt.Errorf("after %d of %d bytes: %w", n, e.Bytes, err)
	}
	return e.compare(n, sum.Sum(nil))
}

func (e Entry) writeManifest(dir string) error {
	k, ok := readKnown()[e.Name]
	if !ok || k.unsupported != "" {
		return nil
	}
	m := k.manifest
	m.File = e.Name + ".onnx"
	data, err := m.YAML()
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(dir, e.Name+".yaml"), func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// replaceFile puts what write writes at path, all of it or nothing.
func replaceFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*.part")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// progress counts what passes.
type progress struct {
	done, total int64
	report      func(done, total int64)
}

func (p *progress) Write(b []byte) (int, error) {
	p.done += int64(len(b))
	if p.report != nil {
		p.report(p.done, p.total)
	}
	return len(b), nil
}

// writerFunc is called for each piece that is written.
type writerFunc func()

func (f writerFunc) Write(b []byte) (int, error) {
	f()
	return len(b), nil
}
