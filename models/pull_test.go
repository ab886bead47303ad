package models_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vedette-io/vedette/internal/testkit"
	"github.com/vedette-io/vedette/models"
)

var content = []byte(strings.Repeat("a model ", 10_000))

// entry is in no catalogue; its URL is that of a server that is not there.
func entry() models.Entry {
	sum := sha256.Sum256(content)
	return models.Entry{Name: "test-model", URL: "https://models.invalid/files/m.onnx", Bytes: len(content), SHA256: hex.EncodeToString(sum[:])}
}

func serve(t *testing.T, h http.HandlerFunc) models.PullOptions {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return models.PullOptions{Dir: filepath.Join(t.TempDir(), "cache"), BaseURL: s.URL, Client: s.Client()}
}

// onlyWhole fails when the folder holds anything but a whole model.
func onlyWhole(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if data, _ := os.ReadFile(filepath.Join(dir, e.Name())); string(data) != string(content) {
			t.Errorf("%s was left behind", e.Name())
		}
	}
}

func TestPull(t *testing.T) {
	requests := 0
	opts := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests++
		if r.URL.Path == "/files/m.onnx" {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return
		}
		_, _ = w.Write(content)
	})
	var done, total int64
	opts.Progress = func(d, of int64) { done, total = d, of }
	for range 2 { // the second time it is there
		path, err := models.PullEntry(t.Context(), entry(), opts)
		if err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != string(content) {
			t.Fatalf("the file is wrong: %v", err)
		}
	}
	if requests != 2 || done != int64(len(content)) || total != done {
		t.Errorf("%d requests, progress %d of %d", requests, done, total)
	}
	// A file that was damaged since is replaced.
	path := filepath.Join(opts.Dir, "test-model.onnx")
	if err := os.WriteFile(path, content[1:], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := models.PullEntry(t.Context(), entry(), opts); err != nil {
		t.Fatal(err)
	}
	onlyWhole(t, opts.Dir)
}

func TestPullBad(t *testing.T) {
	tests := []struct {
		name  string
		serve http.HandlerFunc
		is    error
		text  string
	}{
		{"wrong hash", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(strings.ToUpper(string(content))))
		}, models.ErrDamaged, "its SHA-256 is"},
		{"wrong size", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content[:100]) },
			models.ErrDamaged, "offers 100 bytes instead of 80000"},
		{"wrong size, not announced", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(content[:100])
			w.(http.Flusher).Flush()
		}, models.ErrDamaged, "it has 100 bytes instead of 80000"},
		{"without end", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(content); err != nil {
					return
				}
			}
		}, models.ErrDamaged, "more than 80000 bytes"},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "80000")
			_, _ = w.Write(content[:50_000])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, models.ErrDownload, "cut off after 50000 of 80000 bytes"},
		{"404", http.NotFound, models.ErrDownload, "404 Not Found"},
		{"redirect loop", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		}, models.ErrDownload, "stopped after 10 redirects"},
		{"silence", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			models.ErrDownload, "no data for 300ms"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			opts := serve(t, tt.serve)
			if tt.name == "silence" {
				opts.StallAfter = 300 * time.Millisecond
			}
			path, err := models.PullEntry(t.Context(), entry(), opts)
			if path != "" || !errors.Is(err, tt.is) {
				t.Fatalf("got %q, %v", path, err)
			}
			if !strings.Contains(err.Error(), tt.text) || !strings.Contains(err.Error(), "pull test-model") {
				t.Errorf("the error is %q", err)
			}
			onlyWhole(t, opts.Dir)
		})
	}
}

func TestPullNoNetwork(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close() // nobody listens there any more
	opts := models.PullOptions{Dir: t.TempDir(), BaseURL: s.URL}
	_, err := models.PullEntry(t.Context(), entry(), opts)
	if !errors.Is(err, models.ErrDownload) || !strings.Contains(err.Error(), "without a network") {
		t.Errorf("the error is %v", err)
	}
	onlyWhole(t, opts.Dir)
}

func TestPullInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	opts := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "80000")
		_, _ = w.Write(content[:1000])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	opts.Progress = func(int64, int64) { cancel() }
	_, err := models.PullEntry(ctx, entry(), opts)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	onlyWhole(t, opts.Dir)
}

func TestPullFolder(t *testing.T) {
	opts := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) })
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	opts.Dir = filepath.Join(file, "cache")
	if _, err := models.PullEntry(t.Context(), entry(), opts); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("the error is %v", err)
	}
}

func TestPullUnknown(t *testing.T) {
	_, err := models.Pull(t.Context(), "yolox-nan", models.PullOptions{})
	if err == nil || !strings.Contains(err.Error(), `did you mean "yolox-nano"?`) {
		t.Errorf("the error is %v", err)
	}
}

// TestPullCatalogue pulls a file that the test data has under its true hash,
// loads it by its manifest, and verifies the folder.
func TestPullCatalogue(t *testing.T) {
	data, err := os.ReadFile(testkit.Data(t, "models/ultraface_version-RFB-320.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	opts := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/models/onnx/version-RFB-320.onnx") {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(data)
	})
	path, err := models.Pull(t.Context(), "ultraface-rfb-320", opts)
	if err != nil {
		t.Fatal(err)
	}
	m, err := models.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if m.Report.Origin != models.FromManifest || m.Manifest.Name != "ultraface-rfb-320" || m.Manifest.Licence != "MIT" {
		t.Errorf("the model is %+v", m.Manifest)
	}
	if err := os.WriteFile(filepath.Join(opts.Dir, "yolox-nano.onnx"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	checks, err := models.Verify("", opts.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		want := models.Missing
		switch c.Entry.Name {
		case "ultraface-rfb-320":
			want = models.Present
		case "yolox-nano":
			want = models.Damaged
		}
		if c.State != want || (c.Err != nil) != (want == models.Damaged) {
			t.Errorf("%s is %s: %v", c.Entry.Name, c.State, c.Err)
		}
	}
}
