package configs_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vedette-io/vedette/configs"
	"github.com/vedette-io/vedette/internal/strictyaml"
	"github.com/vedette-io/vedette/preprocess"
)

var update = flag.Bool("update", false, "write the golden files anew")

func noEnv(string) (string, bool) { return "", false }

func TestMinimal(t *testing.T) {
	c, err := configs.Parse("c.yaml", []byte("cameras: [{id: gate, source: \"0\"}]\n"), configs.Options{Env: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	want := configs.Default()
	cam := configs.Camera{ID: "gate", Source: "0"}
	cam.SetDefaults()
	cam.Detect = []configs.Detect{{Model: configs.DefaultModel}}
	want.Cameras = []configs.Camera{cam}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
}

func TestEverything(t *testing.T) {
	c, err := configs.Load("testdata/everything.yaml", configs.Options{Env: func(name string) (string, bool) {
		v, ok := map[string]string{"PW": "p@${x}", "FPS": "5"}[name]
		return v, ok
	}})
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	day := configs.Duration(24 * time.Hour)
	want := configs.Config{
		Site: "plant-1",
		Bus: configs.Bus{URL: "tls://a:4222, tls://b:4222", Listen: "127.0.0.1:4222", Store: "/var/lib/v", MaxStore: 3e9, Spool: 2 << 30, JPEG: 90, Prefix: "eu.plant",
			User: "u", Password: "p@${x}", Sync: configs.Sync(0), Inbox: "_INBOX.me", Domain: "hub", Hub: configs.Hub{Domain: "plant"}, CA: "testdata/ca.pem", Cert: "testdata/c.pem", Key: "testdata/k.pem"},
		HTTP: configs.HTTP{Listen: ":80"},
		Models: []configs.Model{{Name: "a", File: "testdata/a.onnx", Engine: configs.EngineGorgonia, Device: "cpu", Workers: 2, Threads: 3, Timeout: configs.Duration(time.Second),
			Weight: 1, Batch: configs.Batch{MaxWait: configs.Duration(5 * time.Millisecond)}},
			{Name: "b", Engine: configs.EngineAuto, Device: "cuda:1", Weight: 2.5, Batch: configs.Batch{Sizes: []int{1, 4}, MaxWait: configs.Duration(2 * time.Millisecond)}, GPUMemory: 2 << 30}},
		Cameras: []configs.Camera{{
			ID: "gate", Source: "rtsp://viewer:p@${x}@10.0.0.5/s?x=${y}", Delivery: configs.Every, Transport: configs.UDP, Decode: configs.DecodeVAAPI,
			Detect:   []configs.Detect{{Model: "a", FPS: 5, MinScore: 0.4, Labels: []string{"person", "traffic light"}}, {Model: "b"}},
			Motion:   configs.Motion{Enabled: true, Threshold: 20, MinArea: 0.1, Hold: configs.Duration(time.Second), Adapt: configs.Duration(time.Minute)},
			Fitness:  configs.Fitness{Enabled: &yes, Black: 1, Covered: 2, Blurred: 0.1, Settle: 0, Frozen: configs.Duration(4 * time.Second)},
			Timeouts: configs.Timeouts{Open: configs.Duration(time.Second), FirstFrame: configs.Duration(2 * time.Second), Silence: configs.Duration(1500 * time.Millisecond)},
			Capture:  configs.Capture{Memory: 400 << 20, CPU: 1.5, Ring: 64 << 20},
		}},
		Retention: configs.Retention{
			Detections: configs.Limit{Age: day, Bytes: 1 << 30, Replicas: 3},
			Events:     configs.Limit{Age: 7 * day, Bytes: 1 << 20},
			Results:    configs.Limit{Age: 365 * day, Bytes: 5 << 30},
			Snapshots:  configs.Limit{Age: 30 * day, Bytes: 5 << 30},
		},
		Sinks: []any{},
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
}

// TestExamples reads what is shipped, on a machine without any variables.
func TestExamples(t *testing.T) {
	for _, file := range []string{"surveillance.yaml", "line.yaml"} {
		c, err := configs.Load(file, configs.Options{Env: noEnv, Source: func(s string) error {
			if !strings.HasPrefix(s, "synthetic://") {
				return errors.New("it must start on every machine")
			}
			return nil
		}})
		if err != nil {
			t.Error(err)
		}
		if file == "line.yaml" && c.Cameras[0].Delivery != configs.Every {
			t.Error("a line must skip nothing")
		}
	}
}

// TestBad reads each testdata/*.bad.yaml and compares the error with the .txt
// beside it.
func TestBad(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = configs.Parse(filepath.Base(file), data, configs.Options{
				Env: func(name string) (string, bool) { return "hunter2", name == "PASSWORD" },
				Source: func(s string) error {
					if strings.HasPrefix(s, "ftp:") {
						return errors.New("unknown scheme")
					}
					return nil
				},
			})
			if err == nil {
				t.Fatal("it was read")
			}
			if strings.Contains(err.Error(), "hunter") {
				t.Errorf("a secret is in the error: %v", err)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, readErr := os.ReadFile(golden)
			if readErr != nil {
				t.Fatal(readErr)
			}
			if diff := cmp.Diff(string(want), err.Error()+"\n"); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLoadMissing(t *testing.T) {
	_, err := configs.Load(filepath.Join(t.TempDir(), "none.yaml"), configs.Options{})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the error is %v", err)
	}
}

// Who only wants to reach the bus need not have the cameras' passwords.
func TestLoadBus(t *testing.T) {
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	want := configs.Default().Bus
	want.Store = "/s"
	b, err := configs.LoadBus(write("bus: {store: /s}\ncameras: [{id: gate, source: 'rtsp://u:${NOT_SET_HERE}@h/x', fps: wrong}]\n"))
	if diff := cmp.Diff(want, b); diff != "" || err != nil {
		t.Errorf("%v: %s", err, diff)
	}
	for text, says := range map[string]string{
		"bus: {stoer: /s}\ncameras: [{id: gate, source: '${NOT_SET_HERE}'}]\n":          "stoer",
		"bus: {url: 'nats://h', user: u, password: '${NOT_SET_HERE}'}\ncameras: [{}]\n": "NOT_SET_HERE",
		"bus: [\n": "c.yaml",
	} {
		if _, err := configs.LoadBus(write(text)); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "cameras") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := configs.LoadBus(filepath.Join(t.TempDir(), "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestStageDefaults: the documented defaults are those of the stages.
func TestStageDefaults(t *testing.T) {
	var c configs.Camera
	c.SetDefaults()
	gate := preprocess.GateConfig{Threshold: c.Motion.Threshold, MinArea: c.Motion.MinArea, Hold: time.Duration(c.Motion.Hold), Adapt: time.Duration(c.Motion.Adapt)}
	if diff := cmp.Diff(preprocess.DefaultGateConfig(), gate); diff != "" {
		t.Error(diff)
	}
	fit := preprocess.FitnessConfig{Black: c.Fitness.Black, Covered: c.Fitness.Covered, Blurred: c.Fitness.Blurred,
		Settle: time.Duration(c.Fitness.Settle), Frozen: time.Duration(c.Fitness.Frozen)}
	if diff := cmp.Diff(preprocess.DefaultFitnessConfig(), fit); diff != "" {
		t.Error(diff)
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]configs.Size{
		"0": 0, "12": 12, "12B": 12, "1kB": 1000, "1.5 GiB": 3 << 29, "10GiB": 10 << 30, "2TB": 2e12, "8EB": -1, "": -1, "GiB": -1, "-1GB": -1, "9999999TiB": -1,
	} {
		var s configs.Size
		if err := s.UnmarshalText([]byte(text)); (err != nil) != (want < 0) || (err == nil && s != want) {
			t.Errorf("%q is %d, %v", text, s, err)
		}
	}
	for size, want := range map[configs.Size]string{5: "5", 1 << 20: "1MiB", 10 << 30: "10GiB", 1500 << 20: "1500MiB"} {
		if size.String() != want {
			t.Errorf("%d is %s", size, size)
		}
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0s": 0, "250ms": 250 * time.Millisecond, "24h": 24 * time.Hour, "30d": 720 * time.Hour, "0.5d": 12 * time.Hour, "5": -1, "d": -1, "NaNd": -1, "1e9d": -1, "": -1,
	} {
		var d configs.Duration
		if err := d.UnmarshalText([]byte(text)); (err != nil) != (want < 0) || (err == nil && time.Duration(d) != want) {
			t.Errorf("%q is %s, %v", text, d, err)
		}
	}
}

func TestSync(t *testing.T) {
	for text, want := range map[string]time.Duration{"always": 0, "1s": time.Second, "500ms": 500 * time.Millisecond, "0s": -1, "-1s": -1, "never": -1, "": -1} {
		var s configs.Sync
		if err := s.UnmarshalText([]byte(text)); (err != nil) != (want < 0) || (err == nil && time.Duration(s) != want) {
			t.Errorf("%q is %s, %v", text, s, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, "surveillance.yaml", "line.yaml") {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	const secret = "zq9-secret-zq9"
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := configs.Parse("c.yaml", data, configs.Options{Env: func(string) (string, bool) { return secret, true }})
		if err != nil && strings.Contains(err.Error(), secret) && !strings.Contains(string(data), secret) {
			t.Errorf("a value of the environment is in the error: %v", err)
		}
	})
}

// TestHub reads what a file says of a plant's server.
func TestHub(t *testing.T) {
	env := func(name string) (string, bool) { return "p@", name == "PW" }
	c, err := configs.Load("testdata/hub.yaml", configs.Options{Env: env})
	if err != nil {
		t.Fatal(err)
	}
	want := configs.Hub{URL: "nats-leaf://u:p@@a:7422, tls://b", CA: "testdata/ca.pem", Cert: "testdata/c.pem", Key: "testdata/k.pem", Domain: "plant"}
	if c.Bus.Hub != want || c.Bus.Leafs != "" {
		t.Errorf("%+v", c.Bus)
	}
	c, err = configs.Parse("hub.yaml", []byte("bus: {leafs: '0.0.0.0:7422', hub: {domain: plant}}\ncameras: [{id: gate, source: '0'}]\n"), configs.Options{Env: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	if c.Bus.Leafs != "0.0.0.0:7422" || c.Bus.Hub.Domain != "plant" {
		t.Errorf("%+v", c.Bus)
	}
}

// A configuration for another environment is checked but for what depends on
// variables that are not set here.
func TestElsewhere(t *testing.T) {
	const text = `site: here
models: [{name: m, workers: "${WORKERS}"}]
cameras:
  - {id: a, source: "rtsp://u:${PASSWORD}@h/x"}
  - {id: b, source: "${BAD}", fps: 3}
`
	opts := configs.Options{
		Elsewhere: true,
		Env:       func(name string) (string, bool) { return "bad", name == "BAD" },
		Source: func(s string) error {
			if s == "bad" {
				return errors.New("no such source")
			}
			return nil
		},
	}
	_, err := configs.Parse("f", []byte(text), opts)
	var all strictyaml.Problems
	if !errors.As(err, &all) || len(all) != 2 || all[0].Path != "cameras[1].source" || all[1].Path != "cameras[1].fps" {
		t.Errorf("got %v", err)
	}
	good := strings.NewReplacer("${BAD}", "${OTHER}", ", fps: 3", "").Replace(text)
	if c, err := configs.Parse("f", []byte(good), opts); err != nil || len(c.Cameras) != 2 {
		t.Errorf("%+v, %v", c.Cameras, err)
	}
	opts.Elsewhere = false
	if _, err := configs.Parse("f", []byte(good), opts); !errors.As(err, &all) || len(all) != 3 {
		t.Errorf("for this environment: %v", err)
	}
}
