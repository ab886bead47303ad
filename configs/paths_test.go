package configs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vedette-io/vedette/configs"
)

// TestPaths reads a file of another folder than the working directory: what it
// names lies beside it, or where the program was started, if only there.
func TestPaths(t *testing.T) {
	root := t.TempDir()
	t.Chdir(root)
	for _, name := range []string{"plant/both.onnx", "both.onnx", "here.onnx", "plant/clips/a.mp4", "pictures/1.png", "ca.pem"} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := []byte(`
bus: {url: tls://a, nkey: stage.nk, ca: ca.pem, cert: /etc/c.pem, key: k.pem, store: data}
models:
  - {name: a, file: both.onnx}
  - {name: b, file: here.onnx}
  - {name: c, file: none.onnx}
  - {name: d, file: pulled}
  - {name: e, file: ` + root + `/abs.onnx}
  - {name: f}
cameras:
  - {id: a, source: clips/a.mp4, detect: [{model: a}]}
  - {id: b, source: pictures/*.png, detect: [{model: a}]}
  - {id: c, source: "clips/*.png", detect: [{model: a}]}
  - {id: d, source: "rtsp://cam/clips/a.mp4", detect: [{model: a}]}
  - {id: e, source: new/, detect: [{model: a}]}
`)
	if err := os.WriteFile("plant/c.yaml", text, 0o600); err != nil {
		t.Fatal(err)
	}
	isPath := func(s string) bool { return !strings.Contains(s, "://") }
	paths := func(file string, opts configs.Options) map[string]string {
		t.Helper()
		opts.Local = isPath
		c, err := configs.Load(file, opts)
		if err != nil {
			t.Fatal(err)
		}
		bus, err := configs.LoadBus(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.Bus, bus); diff != "" && opts.Dir == "" {
			t.Errorf("the bus alone is another:\n%s", diff)
		}
		got := map[string]string{"nkey": c.Bus.NKey, "ca": c.Bus.CA, "cert": c.Bus.Cert, "key": c.Bus.Key, "store": c.Bus.Store}
		for _, m := range c.Models {
			got["model "+m.Name] = m.File
		}
		for _, cam := range c.Cameras {
			got["camera "+cam.ID] = cam.Source
		}
		return got
	}
	want := map[string]string{
		"nkey": "plant/stage.nk", "ca": "ca.pem", "cert": "/etc/c.pem", "key": "plant/k.pem", "store": "data",
		"model a": "plant/both.onnx", "model b": "here.onnx", "model c": "plant/none.onnx", "model d": "pulled",
		"model e": filepath.Join(root, "abs.onnx"), "model f": "",
		"camera a": "plant/clips/a.mp4", "camera b": "pictures/*.png", "camera c": "plant/clips/*.png",
		"camera d": "rtsp://cam/clips/a.mp4", "camera e": "plant/new/",
	}
	if diff := cmp.Diff(want, paths("plant/c.yaml", configs.Options{})); diff != "" {
		t.Error(diff)
	}
	for name, path := range want { // one that is said to be here
		want[name] = strings.TrimPrefix(path, "plant/")
	}
	if diff := cmp.Diff(want, paths("plant/c.yaml", configs.Options{Dir: "."})); diff != "" {
		t.Error(diff)
	}
}
