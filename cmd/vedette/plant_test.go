package main_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/testcam/drawn"
	"github.com/vedette-io/vedette/models"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// lines collects what a process says, for who waits for some of it.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// await waits for something that is looked for again and again.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("timed out waiting for %s", what)
}

// ownCamera is an owner, in this process, of one camera whose pictures are drawn
// as fast as they are answered. The model that it looks with is from the
// configuration's folder.
func ownCamera(t *testing.T, url, path string) (p *pipeline.Pipeline, stop func()) {
	t.Helper()
	m, err := models.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	src, err := ingest.ParseSource("rtsp://192.0.2.1/gate") // a name only
	if err != nil {
		t.Fatal(err)
	}
	cfg := pipeline.Config{
		Host: "here", Site: "plant-1", Bus: bus.Config{URL: url}, Stages: pipeline.Stages{Preprocess: true},
		Models: []pipeline.Model{{Loaded: m}},
		Cameras: []pipeline.Camera{{
			Ingest: ingest.Config{ID: "gate", Source: src, Delivery: ingest.Every},
			Owner:  preprocess.CameraConfig{ID: "gate", Delivery: preprocess.Every, Detect: []preprocess.DetectConfig{{Model: m.Manifest.Name}}},
		}},
	}
	p, err = pipeline.Start(t.Context(), cfg, pipeline.Deps{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	camera, err := drawn.New(p.Bus(), "here", "gate", true)
	if err != nil {
		t.Fatal(err)
	}
	filming := make(chan struct{})
	go func() {
		defer close(filming)
		_ = camera.Run(ctx, 1<<30, 2*time.Millisecond) // until the end
	}()
	// As the command does, it answers who has it read its configuration again.
	unsubscribe, err := p.Bus().AnswerAll(p.Bus().Subjects().Reload(), func([]byte) []byte { return []byte(`{"stage": "preprocess", "instance": "here-1"}`) })
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		cancel()
		<-filming
		for _, err := range []error{<-done, camera.Close(), unsubscribe(), p.Close()} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	t.Cleanup(stop)
	return p, stop
}

// startWorker starts vedette infer until the test ends.
func startWorker(t *testing.T, plant, cache string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(built, "infer", "-c", plant, "--host", "far", "--log-level", "info")
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+cache) // the model comes over the bus
	log := new(lines)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		quiet(t, log.String())
		if t.Failed() {
			t.Logf("a worker says\n%s", log)
		}
	})
	return cmd
}

// askWorkers has the commands look at a plant with an owner and a worker.
func askWorkers(t *testing.T, url string) {
	t.Helper()
	o := run(t, "status", "--server", url)
	for _, want := range []string{"site plant-1", "gate", "good", "gorgonia", "preprocess", "far", "VEDETTE_DETECTIONS"} {
		if o.code != 0 || !strings.Contains(o.stdout, want) {
			t.Errorf("status does not say %q:\n%s%s", want, o.stdout, o.stderr)
		}
	}
	var answer struct {
		Instances []struct{ Data pipeline.Status }
	}
	o = run(t, "status", "--server", url, "--format", "json")
	if err := json.Unmarshal([]byte(o.stdout), &answer); err != nil || len(answer.Instances) != 2 {
		t.Fatalf("%v: %s", err, o.stdout)
	}
	if m := answer.Instances[0].Data.Models; len(m) != 1 || m[0].Runs.Count == 0 || m[0].Engine != "gorgonia" {
		t.Errorf("the worker says %+v", m)
	}
	watching := exec.Command("sh", "-c", built+" watch --server "+url+" --camera gate --format jsonl | head -n 5")
	out, err := watching.Output()
	if err != nil || strings.Count(string(out), "\n") != 5 || !strings.Contains(string(out), `"camera":"gate"`) {
		t.Errorf("watch: %v\n%s", err, out)
	}
	o = run(t, "reload", "--server", url)
	if o.code != 0 || !strings.Contains(o.stdout, "infer far-") || strings.Count(o.stdout, "nothing changed") != 2 {
		t.Errorf("reload: exit code %d\n%s%s", o.code, o.stdout, o.stderr)
	}

	again := exec.Command(built, "status", "--server", url, "--watch", "100ms")
	shown := new(lines)
	again.Stdout = shown
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the status a second time", func() bool { return strings.Count(shown.String(), "site plant-1") > 1 })
	if err := again.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := again.Wait(); err != nil {
		t.Errorf("status --watch ends with %v", err)
	}
}

// Workers are processes of their own, without OpenCV: status shows them, watch
// what they see, reload asks them, one that is killed or stopped loses nothing.
func TestWorkersAsProcesses(t *testing.T) {
	t.Parallel()
	url := natsServer(t, server.Options{StoreDir: t.TempDir(), MaxPayload: 8 << 20})
	model := filepath.Join(checkFolder(t), "good.yaml")
	owner, stop := ownCamera(t, url, model)
	plant := textFile(t, "plant.yaml", "site: plant-1\nbus: {url: '"+url+"'}\nmodels: [{name: good, engine: gorgonia, workers: 1}]\n"+
		"cameras: [{id: gate, source: 'rtsp://192.0.2.1/gate', delivery: every}]\n")
	cache := t.TempDir()
	worker := func() *exec.Cmd { t.Helper(); return startWorker(t, plant, cache) }
	inferred := func() uint64 { return owner.Status().Cameras[0].Accounts["good"].Inferred }
	more := func(what string) {
		t.Helper()
		n := inferred()
		await(t, "results "+what, func() bool { return inferred() > n+20 })
	}
	first := worker()
	more("of the first worker")
	askWorkers(t, url)

	second := worker()
	await(t, "both workers", func() bool { return strings.Count(run(t, "status", "--server", url).stdout, " infer ") == 2 })
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	more("of the second worker")
	worker()
	if err := second.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := second.Wait(); err != nil {
		t.Errorf("a worker that was stopped: %v", err)
	}
	more("of the third worker")
	if a := owner.Status().Cameras[0].Accounts["good"]; a.Failed > 0 || len(a.Dropped) > 0 || a.Balance() != 0 {
		t.Errorf("account %+v", a)
	}
	stop() // before the workers
}
