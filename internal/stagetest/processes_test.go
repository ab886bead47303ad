//go:build cv

package stagetest_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/proc"
	"github.com/vedette-io/vedette/internal/testkit"
)

// house is a plant whose server is inside "vedette run --processes".
type house struct {
	*plant
	sup *process
}

// newHouse starts one with a configuration that has no bus, and waits until it can
// be reached.
func newHouse(t *testing.T, rest string, args ...string) *house {
	t.Helper()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &house{plant: &plant{t: t, bin: bin, dir: t.TempDir(), store: t.TempDir(), port: l.Addr().(*net.TCPAddr).Port}}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	h.write(rest)
	h.open(args...)
	h.await("the server", func() bool { return strings.Contains(h.sup.log.String(), "NATS on") })
	h.connect()
	return h
}

func (h *house) file() string { return filepath.Join(h.dir, "house.yaml") }

func (h *house) write(rest string) {
	h.t.Helper()
	text := fmt.Sprintf("bus: {listen: %q, store: %q}\nhttp: {listen: '127.0.0.1:0'}\n%s", fmt.Sprintf("127.0.0.1:%d", h.port), h.store, rest)
	if err := os.WriteFile(h.file(), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// open starts the supervisor.
func (h *house) open(args ...string) {
	h.t.Helper()
	h.sup = h.start("run", h.file(), append([]string{"--processes"}, args...)...)
}

// member waits for a stage and returns its process.
func (h *house) member(stage string) (pid int) {
	h.t.Helper()
	h.await(stage, func() bool {
		for _, p := range testkit.Children(h.t, h.sup.cmd.Process.Pid) {
			line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p))
			if args := strings.Split(string(line), "\x00"); len(args) > 2 && args[1] == stage && args[2] == "--supervised" {
				pid = p
				return true
			}
		}
		return false
	})
	return pid
}

// kill kills a stage and waits for the one after it.
func (h *house) kill(stage string) {
	h.t.Helper()
	pid := h.member(stage)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		h.t.Fatal(err)
	}
	h.await("the end of "+stage, func() bool {
		return strings.Contains(h.sup.log.String(), fmt.Sprintf("%s (process %d) ended: signal: killed; it is started again in", stage, pid))
	})
	h.member(stage)
}

// all are the processes of the plant, by identity.
func (h *house) all() (ids []string) {
	var gather func(pid int)
	gather = func(pid int) {
		for _, p := range testkit.Children(h.t, pid) {
			ids = append(ids, proc.Of(p))
			gather(p)
		}
	}
	gather(h.sup.cmd.Process.Pid)
	return slices.DeleteFunc(ids, func(id string) bool { return id == "" })
}

func (h *house) operator(command string, args ...string) (string, error) {
	out, err := exec.Command(h.bin, append([]string{command, "--server", h.url(), "--nkey", bus.KeyFile(h.store, bus.Operator)}, args...)...).CombinedOutput()
	return string(out), err
}

const live = `synthetic://bars?width=160&height=90&fps=10`

// two are a file of which every frame counts, and a camera that goes on.
func two(file string) string {
	return fmt.Sprintf("models: [{name: barcode-reader, engine: gorgonia, workers: 1}]\ncameras: [{id: cam, source: %q, delivery: every}, {id: live, source: %q}]\n", file, live)
}

// TestProcessesKilled kills each stage of a supervised plant: it is started again,
// and each frame of a file has one result.
func TestProcessesKilled(t *testing.T) {
	const frames = 400
	clip := (&plant{t: t, dir: t.TempDir()}).clipOf(frames)
	h := newHouse(t, two(clip), "--infer-processes", "1")
	for i, stage := range []string{"infer", "preprocess", "ingest"} {
		h.await("results", func() bool { return h.storedCount("cam") >= (i+1)*frames/5 })
		h.kill(stage)
	}
	h.await("the whole file", func() bool { return h.storedCount("cam") == frames })
	h.checkWhole("cam", frames)
	h.checkOrder("cam")
	n := h.of("live")
	h.await("the camera", func() bool { return h.of("live") > n+5 })
	out, err := h.operator("status")
	for _, stage := range []string{"infer", "preprocess", "ingest"} {
		if err != nil || !strings.Contains(out, stage+" (restarted once, last: signal: killed)") {
			t.Errorf("status: %v\n%s", err, out)
		}
	}
	h.checkPages()
	all := h.all()
	if len(all) < 4 { // the stages, and what captures
		t.Errorf("it has the processes %q", all)
	}
	h.stopped(all, 0)
}

// checkPages looks at the pages of the supervisor, which has each stage's metrics.
func (h *house) checkPages() {
	h.t.Helper()
	_, rest, _ := strings.Cut(h.sup.log.String(), "metrics and health of all processes on ")
	address, _, _ := strings.Cut(rest, "\n")
	page := func(path string) string {
		resp, err := http.Get(address + path)
		if err != nil {
			h.t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			h.t.Fatal(err)
		}
		return string(body)
	}
	if text := page("/readyz"); text != "ready\n" {
		h.t.Errorf("it is %s", text)
	}
	metrics := page("/metrics")
	for _, want := range []string{
		`vedette_process_restarts_total{process="ingest"} 1`, `vedette_process_up{process="infer"} 1`, `vedette_camera_up{camera="live",process="ingest"} 1`,
		`vedette_frames_captured_total{camera="live",model="barcode-reader",process="preprocess"} `, `process="infer"} `,
	} {
		if !strings.Contains(metrics, want) {
			h.t.Errorf("the metrics lack %s", want)
		}
	}
}

// stopped stops the plant as Ctrl-C does.
func (h *house) stopped(all []string, code int) {
	h.t.Helper()
	if err := h.sup.cmd.Process.Signal(syscall.SIGINT); err != nil {
		h.t.Fatal(err)
	}
	select {
	case <-h.sup.done:
	case <-time.After(20 * time.Second):
		h.t.Fatal("it does not stop")
	}
	if got := h.sup.cmd.ProcessState.ExitCode(); got != code {
		h.t.Errorf("exit code %d, want %d", got, code)
	}
	for _, id := range all {
		h.await("the end of "+id, func() bool { return proc.Gone(id) })
	}
	if log := h.sup.log.String(); strings.Contains(log, "does not stop") || strings.Contains(log, "without a word") {
		h.t.Error("it was not stopped in order")
	}
}

// TestProcessesEnd has sources that come to their end: so does the plant. Every
// process takes a path as seen from the configuration's folder.
func TestProcessesEnd(t *testing.T) {
	const frames = 100
	p := newPlant(t)
	if err := os.Mkdir(filepath.Join(p.dir, "etc"), 0o700); err != nil {
		t.Fatal(err)
	}
	source := filepath.Join("..", filepath.Base(p.clipOf(frames)))
	sup := p.start("run", p.config("etc/plant.yaml", "http: {listen: ''}\n"+one(source)), "--processes", "--infer-processes", "2")
	finished(t, sup)
	if code := sup.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	p.checkWhole("cam", frames)
	if !strings.Contains(sup.log.String(), fmt.Sprintf("captured %d = inferred %d", frames, frames)) {
		t.Error("it has no account")
	}
}

// TestSupervisorKilled kills the supervisor, with the server inside it: no process
// outlives it, and the next one goes on with the file.
func TestSupervisorKilled(t *testing.T) {
	const frames = 300
	clip := (&plant{t: t, dir: t.TempDir()}).clipOf(frames)
	h := newHouse(t, two(clip))
	for _, mark := range []int{60, 150} {
		h.await("results", func() bool { return h.storedCount("cam") >= mark })
		all := h.all()
		h.sup.kill()
		for _, id := range all {
			h.await("the end of "+id, func() bool { return proc.Gone(id) })
		}
		h.open()
	}
	h.await("the whole file", func() bool { return h.storedCount("cam") == frames })
	h.checkWhole("cam", frames)
}

// TestProcessesReload adds a camera by SIGHUP, and by the command. A file that is
// wrong changes nothing, also not for a stage that is started again meanwhile.
func TestProcessesReload(t *testing.T) {
	text := func(ids ...string) string {
		s := "models: [{name: barcode-reader, engine: gorgonia, workers: 1}]\ncameras:\n"
		for _, id := range ids {
			s += fmt.Sprintf("  - {id: %s, source: %q}\n", id, live)
		}
		return s
	}
	h := newHouse(t, text("a"))
	more := func(camera string) {
		t.Helper()
		n := h.of(camera)
		h.await("results of "+camera, func() bool { return h.of(camera) > n+3 })
	}
	more("a")
	h.write(text("a", "b"))
	if err := h.sup.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	more("b")
	h.write(text("a", "b", "c"))
	if out, err := h.operator("reload"); err != nil || strings.Count(out, "added c") != 3 || !strings.Contains(out, "supervisor ") {
		t.Errorf("reload: %v\n%s", err, out)
	}
	more("c")
	h.write("models: [{name: barcode-reader}]\ncameras: [{id: Bad Name, source: x}]\n")
	if err := h.sup.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	h.await("the refusal", func() bool { return strings.Contains(h.sup.log.String(), "house.yaml:4:16: cameras[0].id") })
	if out, err := h.operator("reload"); err == nil || strings.Count(out, "cameras[0].id") < 4 {
		t.Errorf("a wrong file was taken: %v\n%s", err, out)
	}
	for _, stage := range []string{"infer", "preprocess", "ingest"} {
		h.kill(stage)
		more("a")
		more("c")
	}
}

// TestStageFails takes a model's file away and kills the worker: what is started
// again cannot work. It is told of a few times and then in a sentence, tried again
// and again, and works when the file is back.
func TestStageFails(t *testing.T) {
	model := filepath.Join(t.TempDir(), "slow.onnx")
	if err := os.Rename(slowModel(t), model); err != nil {
		t.Fatal(err)
	}
	manifest := "task: classify\ninput: {color: rgb, resize: letterbox, scale: 0.00392157}\noutput: {decoder: classify, softmax: true}\n"
	if err := os.WriteFile(strings.TrimSuffix(model, "onnx")+"yaml", []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, fmt.Sprintf("models: [{name: slow, file: %q, engine: gorgonia, workers: 1}]\ncameras: [{id: cam, source: %q}]\n", model, live))
	h.await("results", func() bool { return h.of("cam") > 3 })
	if err := os.Rename(model, model+".away"); err != nil {
		t.Fatal(err)
	}
	h.kill("infer")
	h.await("a sentence", func() bool { return strings.Contains(h.sup.log.String(), "the plant is degraded") })
	log := h.sup.log.String()
	if n := strings.Count(log, "it is started again"); n != 4 || strings.Count(log, model+": no such file") != 4 {
		t.Errorf("it was told of %d times:\n%s", n, log)
	}
	if out, err := h.operator("status"); err != nil || !strings.Contains(out, "infer DEGRADED: is failing for") {
		t.Errorf("status: %v\n%s", err, out)
	}
	if err := os.Rename(model+".away", model); err != nil {
		t.Fatal(err)
	}
	n := h.of("cam")
	h.await("results again", func() bool { return h.of("cam") > n+3 })
	h.stopped(h.all(), 0)
}

// TestProcessesRefused has what cannot work from the start: one sentence, and exit
// code 2.
func TestProcessesRefused(t *testing.T) {
	p := newPlant(t)
	path := filepath.Join(p.dir, "broken.onnx")
	if err := os.WriteFile(path, []byte("no network"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.refusedProcesses(p.config("model.yaml", fmt.Sprintf("models: [{name: m, file: %q}]\ncameras: [{id: cam, source: %q}]\n", path, live)), "models[0].file")
	owned := p.config("plant.yaml", one(live))
	p.start("preprocess", owned)
	p.await("the owner", func() bool {
		out, err := exec.Command(p.bin, "status", "--server", p.url()).CombinedOutput()
		return err == nil && strings.Contains(string(out), "cam ")
	})
	p.refusedProcesses(p.config("second.yaml", "http: {listen: ''}\n"+one(live)), "camera cam is owned already", "on the host here")
}

func (p *plant) refusedProcesses(config string, says ...string) {
	p.t.Helper()
	p.refused("run", config, says...)
	cmd := exec.Command(p.bin, "run", "--processes", "-c", config, "--host", "there")
	cmd.Dir = p.dir
	out, _ := cmd.CombinedOutput()
	text := string(out)
	if cmd.ProcessState.ExitCode() != 2 || strings.Count(text, "vedette: ") != strings.Count(text, " vedette: ")+1 {
		p.t.Errorf("exit code %d\n%s", cmd.ProcessState.ExitCode(), text)
	}
	for _, want := range says {
		if strings.Count(text, want) != 1 {
			p.t.Errorf("it does not say %q once:\n%s", want, text)
		}
	}
}
