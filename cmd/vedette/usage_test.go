package main_test

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	t.Parallel()
	synthetic := "synthetic://bars?frames=1"
	for _, c := range []struct {
		args string // split at spaces
		says string // of the sentence
	}{
		{"", "give a command"},
		{"nosuch", `no command "nosuch"`},
		{"detetc", "did you mean detect?"},
		{"help nosuch", `no command "nosuch"`},
		{"--nosuch", "unknown flag: --nosuch"},
		{"--log-level loud version", `--log-level "loud": want debug, info, warn or error`},
		{"--log-format xml version", "want text or json"},
		{"version extra", `"extra" is too much`},
		{"run", "-c FILE is needed"},
		{"check", "-c FILE is needed"},
		{"run -c /nosuch.yaml", "/nosuch.yaml: no such file"},
		{"check -c .", "is a directory"},
		{"models", "list, inspect, pull or verify"},
		{"models nosuch", `vedette models has no command "nosuch"`},
		{"models inspect", "vedette models inspect MODEL"},
		{"models inspect nosuch.onnx", "nosuch.onnx: no such file"},
		{"models pull", "vedette models pull NAME…"},
		{"models pull nosuch", `no model "nosuch" in the catalogue`},
		{"models verify nosuch", `no model "nosuch" in the catalogue`},
		{"models list --format xml", `--format "xml": want text or json`},
		{"eval", "--data is needed"},
		{"eval --data .", "either --model or --detections"},
		{"eval --data nosuch --detections x", "nosuch: no such file"},
		{"eval --data . --detections x", "not a data set"},
		{"watch --since yesterday", `--since "yesterday"`},
		{"watch --format xml", "want text or jsonl"},
		{"status --format xml", "want text or json"},
		{"status --server garbage", "want nats://host:port"},
		{"doctor one two", `"two" is too much`},
		{"doctor foo://x", `unknown scheme "foo"`},
		{"rtsp://u:geheim@h/P4th", `no command "rtsp://***@h/***"`},
		{"run rtsp://u:geheim@h/P4th", `"rtsp://***@h/***" is too much`},
		{"detect", "vedette detect SOURCE…"},
		{"detect " + synthetic + " --format xml", `--format "xml": want text or jsonl`},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			run(t, strings.Fields(c.args)...).wantSentence(t, 2, c.says)
		})
	}
}

// A server that cannot be reached is no wrong usage.
func TestUnreachableServer(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"status", "watch"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			run(t, command, "--server", "nats://127.0.0.1:1").wantSentence(t, 1, "127.0.0.1:1")
		})
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, says string }{
		{"--help", "Available Commands:"}, {"help", "Available Commands:"}, {"help detect", "--min-score"},
		{"detect --help", "--min-score"}, {"version", "linux/"}, {"--version", "vedette"}, {"models list", "barcode-reader"},
		{"models list --format json", `"catalogue"`},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			o := run(t, strings.Fields(c.args)...)
			if o.code != 0 || o.stderr != "" || !strings.Contains(o.stdout, c.says) {
				t.Errorf("exit code %d; stdout:\n%s\nstderr:\n%s", o.code, o.stdout, o.stderr)
			}
		})
	}
}

func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	model, cameras := "models: [{name: bars, file: barcode-reader}]\n", "cameras: [{id: a, source: 'synthetic://bars'}]\n"
	for name, c := range map[string]struct {
		yaml string
		says []string
	}{
		"empty":             {"", []string{"cameras: give at least one camera"}},
		"syntax":            {"cameras: [{id: ", []string{":1:"}},
		"unknown key":       {"sitee: x\n" + model + cameras, []string{`:1:1: sitee: unknown key; did you mean "site"?`}},
		"given twice":       {"site: x\nsite: y\n" + model + cameras, []string{":2:1: site: is given twice"}},
		"undefined env":     {"site: \"${VEDETTE_NOSUCH}\"\n" + model + cameras, []string{"VEDETTE_NOSUCH is not set"}},
		"bad source":        {model + "cameras: [{id: a, source: 'foo://x'}]", []string{`unknown scheme "foo"`}},
		"missing file":      {model + "cameras: [{id: a, source: /nosuch.mp4}]", []string{"camera a: /nosuch.mp4: no such file"}},
		"missing model":     {"models: [{name: bars, file: /nosuch.onnx}]\n" + cameras, []string{"models: bars", "/nosuch.onnx"}},
		"unknown label":     {model + "cameras: [{id: a, source: 'synthetic://bars', detect: [{labels: [cell-oo1]}]}]", []string{"camera a", "cell-oo1", "cell-001"}},
		"open to the world": {"bus: {listen: '0.0.0.0:4222'}\n" + model + cameras, []string{"loopback"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := file(t, "plant.yaml", []byte(c.yaml))
			run(t, "check", "-c", path).wantSentence(t, 2, append(c.says, "plant.yaml")...)
		})
	}
	t.Run("all at once", func(t *testing.T) {
		t.Parallel()
		path := file(t, "plant.yaml", []byte(model+"cameras: [{id: a.b, source: 'foo://x', delivery: some, detect: [{model: nope, fps: -3, min_score: 7}]}]"))
		o := run(t, "check", "-c", path)
		if n := len(o.sentences()); o.code != 2 || n != 6 {
			t.Errorf("exit code %d, %d sentences; stderr:\n%s", o.code, n, o.stderr)
		}
	})
	t.Run("good", func(t *testing.T) {
		t.Parallel()
		o := run(t, "check", "-c", file(t, "plant.yaml", []byte(model+cameras)))
		if o.code != 0 || o.stderr != "" || !strings.Contains(o.stdout, "valid: 1 cameras, 1 models") {
			t.Errorf("exit code %d; stdout %s; stderr %s", o.code, o.stdout, o.stderr)
		}
	})
}

// The examples that the project ships are valid as they are.
func TestExamples(t *testing.T) {
	t.Parallel()
	examples, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(examples) < 2 {
		t.Fatalf("examples: %v, %v", examples, err)
	}
	for _, path := range examples {
		if o := run(t, "check", "-c", path); o.code != 0 {
			t.Errorf("%s: exit code %d; %s", path, o.code, o.stderr)
		}
	}
}
