//go:build cv

package stagetest_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/testcam"
	"github.com/vedette-io/vedette/internal/testcam/camtest"
	"github.com/vedette-io/vedette/internal/testcam/clip"
)

// office is where the operator's files are, of which the plant's hosts have none.
type office struct {
	*plant
	dir string
}

// newOffice makes a plant with roles, and a model that is in the office alone.
func newOffice(t *testing.T) *office {
	t.Helper()
	keys := filepath.Join(t.TempDir(), "keys")
	if _, err := bus.MakeKeys(keys, ""); err != nil {
		t.Fatal(err)
	}
	o := &office{newPlantWith(t, keys), t.TempDir()}
	writeReader(t, o.dir, 128)
	return o
}

// text is a configuration with cameras, each a line of YAML.
func (o *office) text(cameras ...string) string {
	return "http: {listen: ''}\nmodels: [{name: own, file: ./reader.onnx, engine: gorgonia, workers: 1}]\ncameras:\n  - " + strings.Join(cameras, "\n  - ") + "\n"
}

// reload gives the plant a configuration, as the operator.
func (o *office) reload(text string) (out string, err error) {
	o.t.Helper()
	if err := os.WriteFile(filepath.Join(o.dir, "plant.yaml"), []byte(text), 0o600); err != nil {
		o.t.Fatal(err)
	}
	cmd := exec.Command(o.bin, "reload", "plant.yaml", "--server", o.url(), "--nkey", o.key(bus.Operator))
	cmd.Dir = o.dir
	b, err := cmd.CombinedOutput()
	return string(b), err
}

// bucket opens the bucket of configurations, as the operator.
func (o *office) bucket() jetstream.KeyValue {
	o.t.Helper()
	login, err := nats.NkeyOptionFromSeed(o.key(bus.Operator))
	if err != nil {
		o.t.Fatal(err)
	}
	nc, err := nats.Connect(o.url(), login, nats.CustomInboxPrefix(bus.Operator.Inbox()))
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		o.t.Fatal(err)
	}
	kv, err := js.KeyValue(o.t.Context(), "vedette_config")
	if err != nil {
		o.t.Fatal(err)
	}
	return kv
}

// revision is that of the configuration which counts.
func (o *office) revision() uint64 {
	o.t.Helper()
	e, err := o.bucket().Get(o.t.Context(), "current")
	if err != nil {
		o.t.Fatal(err)
	}
	return e.Revision()
}

// take starts a stage that takes its configuration from the bus.
func (o *office) take(stage string, r bus.Role, args ...string) *process {
	o.t.Helper()
	return o.start(stage, "nats:", append([]string{"--server", o.url(), "--nkey", o.key(r)}, args...)...)
}

func says(stages []*process, text string) func() bool {
	return func() bool {
		for _, s := range stages {
			if !strings.Contains(s.log.String(), text) {
				return false
			}
		}
		return true
	}
}

// TestConfigurationOnTheBus starts the stages before there is a configuration: an
// operator puts it on the bus, with a model that no other host has and a password
// that is nowhere but in the environment of those who need it. It is changed by the
// command, and by writing to the bucket; what is wrong is refused.
func TestConfigurationOnTheBus(t *testing.T) {
	const password = "sw0rdf1sh-of-the-gate"
	o := newOffice(t)
	cam := camtest.MJPEG(t, testcam.MJPEGOptions{Spec: clip.Spec{Width: 320, Height: 180, FPS: 10}, User: "viewer", Password: password})
	gate := fmt.Sprintf("{id: gate, source: %q}", strings.Replace(cam.URL(), "viewer:"+password, "viewer:${GATE_PASSWORD}", 1))
	if !strings.Contains(gate, "${GATE_PASSWORD}@") {
		t.Fatal(gate)
	}
	other := func(id string) string { return fmt.Sprintf("{id: %s, source: %q}", id, live) }

	infer := o.take("infer", bus.Worker) // which has no variable of a camera
	o.env = []string{"GATE_PASSWORD=" + password}
	stages := []*process{infer, o.take("preprocess", bus.Stage), o.take("ingest", bus.Stage)}
	o.await("their word", says(stages, "there is no configuration on "+o.url()+" yet (nats:vedette_config/current): waiting until somebody gives one"))
	if out, err := o.reload(o.text(gate)); err != nil || !strings.Contains(out, "plant.yaml is on the bus, as revision 1") || strings.Contains(out, "note:") {
		t.Fatalf("reload: %v\n%s", err, out)
	}
	o.more("gate")
	if n := strings.Count(infer.log.String(), "there is no configuration"); n != 1 {
		t.Errorf("it was said %d times that there is none", n)
	}

	if out, err := o.reload(o.text(gate, other("second"))); err != nil || strings.Count(out, "added second") != 3 || strings.Contains(out, "not the bus") {
		t.Errorf("reload: %v\n%s", err, out)
	}
	o.more("second")

	writeReader(t, o.dir, 256) // the text is the same
	if out, err := o.reload(o.text(gate, other("second"))); err != nil || !strings.Contains(out, "changed model own") {
		t.Errorf("reload with another model: %v\n%s", err, out)
	}
	o.await("results of the other model", func() bool { return len(o.sums("gate")) == 2 && len(o.sums("second")) == 2 })

	for bad, says := range map[string]string{
		o.text(gate, "{id: Bad Name, source: x}"):                                 "plant.yaml:5:10: cameras[1].id",
		o.text(gate, "{id: clear, source: 'rtsp://viewer:"+password+"@h/x'}"):     "plant.yaml:5:25: cameras[1].source: a password in clear does not belong on the bus",
		"bus: {url: 'nats://h', user: u, password: hidden}\n" + o.text(gate):      "plant.yaml:1:43: bus.password: a password in clear",
		"bus: {hub: {url: 'nats-leaf://u:hidden@h'}}\n" + o.text(gate):            "plant.yaml:1:18: bus.hub.url: a password in clear",
		strings.Replace(o.text(gate), "models:", "model:", 1):                     "plant.yaml:2:1:",
		o.text(gate, "{id: c, source: '${GATE_PASSWORD}', detect: [{model: x}]}"): "cameras[1].detect[0].model",
	} {
		out, err := o.reload(bad)
		if err == nil || !strings.Contains(out, says) || strings.Contains(out, password) || strings.Contains(out, "GATE_PASSWORD is not set") {
			t.Errorf("reload of what is wrong: %v, want %s\n%s", err, says, out)
		}
	}
	if n := o.revision(); n != 3 {
		t.Errorf("what was refused is revision %d", n)
	}

	kv := o.bucket()
	put := func(text string) {
		t.Helper()
		if _, err := kv.PutString(t.Context(), "current", text); err != nil {
			t.Fatal(err)
		}
	}
	put(o.text(gate, other("second"), "{id: third, source: 'synthetic://bars', fps: many}"))
	o.await("the refusal", says(stages, "nats:vedette_config/current:6:"))
	o.more("gate")
	o.more("second")
	put(o.text(gate, other("third")))
	o.more("third")
	o.await("the end of the second", says(stages[1:], "removed second"))
	o.more("gate")

	stages[2].kill() // another one begins with what is there now
	o.take("ingest", bus.Stage)
	o.more("third")
	o.stopNATS()
	o.noSecret(password)
}

// noSecret looks for a password in all files of the server.
func (o *office) noSecret(password string) {
	o.t.Helper()
	read, found := 0, false
	err := filepath.WalkDir(o.store, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		read += len(data)
		found = found || bytes.Contains(data, []byte("${GATE_PASSWORD}"))
		if bytes.Contains(data, []byte(password)) {
			o.t.Errorf("%s has the password", path)
		}
		return err
	})
	if err != nil || !found {
		o.t.Errorf("%d bytes were read, the reference to the password found: %v, %v", read, found, err)
	}
	o.startNATS() // the stages end in order
}

// TestRunFromTheBus runs a whole pipeline, and one as processes, from a
// configuration on the bus.
func TestRunFromTheBus(t *testing.T) {
	for name, args := range map[string][]string{"one process": nil, "processes": {"--processes"}} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t)
			other := func(id string) string { return fmt.Sprintf("{id: %s, source: %q}", id, live) }
			if out, err := o.reload(o.text(other("a"))); err != nil || !strings.Contains(out, "nobody is there to take it yet") {
				t.Fatalf("reload: %v\n%s", err, out)
			}
			run := o.take("run", bus.Stage, args...)
			o.more("a")
			if out, err := o.reload(o.text(other("a"), other("b"))); err != nil || !strings.Contains(out, "added b") {
				t.Errorf("reload: %v\n%s", err, out)
			}
			o.more("b")
			if _, err := o.bucket().PutString(t.Context(), "current", o.text(other("b"), other("c"))); err != nil {
				t.Fatal(err)
			}
			o.more("c")
			run.stop()
			if code := run.cmd.ProcessState.ExitCode(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// TestFileBesideTheBus: who reads a file of its own is told apart.
func TestFileBesideTheBus(t *testing.T) {
	o := newOffice(t)
	cfg := o.config("own.yaml", one(live))
	o.start("preprocess", cfg)
	o.await("the stage", func() bool {
		out, err := exec.Command(o.bin, "status", "--server", o.url(), "--nkey", o.key(bus.Operator)).CombinedOutput()
		return err == nil && strings.Contains(string(out), "preprocess")
	})
	if out, err := o.reload(o.text("{id: a, source: 'synthetic://bars'}")); err != nil || !strings.Contains(out, "nothing changed (it reads "+cfg+", not the bus)") {
		t.Errorf("reload: %v\n%s", err, out)
	}
}

// TestConfigurationWithTheWrongKey: who may not read it says so and ends.
func TestConfigurationWithTheWrongKey(t *testing.T) {
	o := newOffice(t)
	for _, stage := range []string{"run", "ingest", "infer"} {
		cmd := exec.Command(o.bin, stage, "-c", "nats:", "--server", o.url(), "--nkey", o.key(bus.Subscriber))
		cmd.Dir = o.dir
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != 2 || strings.Count(string(out), "vedette: ") != 1 || !strings.Contains(string(out), "needs the ") {
			t.Errorf("%s: exit code %d\n%s", stage, cmd.ProcessState.ExitCode(), out)
		}
	}
}
