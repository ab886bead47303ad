package main_test

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	t.Parallel()
	synthetic := "synthetic://bars?frames=1"
	madeSet := "../../internal/eval/testdata/coco_made/gt.json"
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
		{"check -c nosuch.yaml", "nosuch.yaml: no such file"},
		{"run -c x --infer-processes 2", "--infer-processes needs --processes"},
		{"run -c x --processes --infer-processes 0", "want 1 to 64"},
		{"run -c /nosuch.yaml --processes", "/nosuch.yaml: no such file"},
		{"infer -c x --server nats://h", "--server is for -c nats:"},
		{"infer -c nats: --server garbage", "want nats://host:port"},
		{"reload /nosuch.yaml", "/nosuch.yaml: no such file"},
		{"infer --supervised", "--supervised is for vedette run --processes"},
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
		{"eval --data " + madeSet + "@groupA --detections x", "only a DeepPCB list has groups"},
		{"eval --data " + madeSet + " --detections x --templates", "only boards of a DeepPCB list have templates"},
		{"watch --since yesterday", `--since "yesterday"`},
		{"watch --camera Gate.1", `--camera: invalid id "Gate.1"`},
		{"watch --format xml", "want text or jsonl"},
		{"status --format xml", "want text or json"},
		{"status --watch 1ms", "want at least 100ms"},
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
