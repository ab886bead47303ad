//go:build cv && linux

package main_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/client"
	"github.com/vedette-io/vedette/internal/strictyaml"
)

// withOtherPorts writes a configuration again, with ports that other programs do not
// use; everything else stays.
func withOtherPorts(t *testing.T, path string) (copied string, cameras []string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var content any
	if err := strictyaml.Generic(data, &content); err != nil {
		t.Fatal(err)
	}
	plant := content.(map[string]interface{})
	bus, _ := plant["bus"].(map[string]interface{})
	if bus == nil {
		bus = map[string]interface{}{}
	}
	bus["listen"] = "127.0.0.1:0"
	plant["bus"], plant["http"] = bus, map[string]string{"listen": ""}
	for _, c := range plant["cameras"].([]interface{}) {
		cameras = append(cameras, c.(map[string]interface{})["id"].(string))
	}
	text, err := strictyaml.Encode(plant)
	if err != nil {
		t.Fatal(err)
	}
	return file(t, filepath.Base(path), text), cameras
}

// The examples that the project ships, and the least that a configuration can
// have, start as they are and see something on every camera.
func TestExamplesRun(t *testing.T) {
	examples, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(examples) < 2 {
		t.Fatalf("examples: %v, %v", examples, err)
	}
	examples = append(examples, file(t, "least.yaml", []byte("cameras: [{id: gate, source: 'synthetic://line?fps=5'}]\n")))
	for _, path := range examples {
		t.Run(filepath.Base(path), func(t *testing.T) {
			plant, cameras := withOtherPorts(t, path)
			cmd := exec.Command(built, "run", "-c", plant)
			cmd.Dir = t.TempDir() // where the store goes
			stderr, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(stderr)
			var said strings.Builder
			server := ""
			for server == "" && lines.Scan() {
				said.WriteString(lines.Text() + "\n")
				_, server, _ = strings.Cut(lines.Text(), "vedette watch --server ")
			}
			if server == "" {
				t.Fatalf("it does not start: %v\n%s", cmd.Wait(), &said)
			}
			go func() { // so that it is never held up by its own notes
				for lines.Scan() {
				}
			}()
			for _, camera := range cameras {
				see(t, server, camera)
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// see waits for a good detection of a camera.
func see(t *testing.T, server, camera string) {
	t.Helper()
	c, err := client.Connect(server)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	enough := errors.New("enough")
	err = c.Detections(ctx, client.Filter{Camera: camera}, func(m client.Message) error {
		if m.Status != vedette.StatusOK {
			return fmt.Errorf("%s %s", m.Status, m.Reason)
		}
		return enough
	})
	if !errors.Is(err, enough) {
		t.Errorf("camera %s: %v", camera, err)
	}
}

// A run of files ends with the account of each camera and model.
func TestRunEndsWithASummary(t *testing.T) {
	t.Parallel()
	plant := file(t, "plant.yaml", []byte("bus: {listen: '', store: "+t.TempDir()+"}\nhttp: {listen: ''}\n"+
		"models: [{name: barcode-reader, engine: gorgonia}]\ncameras:\n"+
		"  - {id: clip, source: "+file(t, "clip.mp4", video(t))+", delivery: every, detect: [{fps: 5}]}\n"+
		"  - {id: bars, source: 'synthetic://bars?frames=7', delivery: every}\n"))
	o := run(t, "run", "-c", plant)
	if o.code != 0 || o.stdout != "" {
		t.Errorf("exit code %d; stdout %s; stderr %s", o.code, o.stdout, o.stderr)
	}
	for _, want := range []string{
		`camera clip, model barcode-reader: captured 50 = inferred 10 \+ sampled 40; \d+\.\d s, \d+\.\d frames/s\n`,
		`camera bars, model barcode-reader: captured 7 = inferred 7; \d+\.\d s, \d+\.\d frames/s\n`,
	} {
		if !regexp.MustCompile(want).MatchString(o.stderr) {
			t.Errorf("no %s in\n%s", want, o.stderr)
		}
	}
}
