package main_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/testcam"
	"github.com/vedette-io/vedette/internal/testcam/camtest"
	"github.com/vedette-io/vedette/internal/testkit"
)

// natsServer starts a server and returns its URL.
func natsServer(t *testing.T, opts server.Options) string {
	t.Helper()
	opts.Host, opts.Port, opts.NoSigs, opts.NoLog = "127.0.0.1", server.RANDOM_PORT, true, true
	opts.JetStream = opts.StoreDir != ""
	s, err := server.NewServer(&opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server is not ready")
	}
	return s.ClientURL()
}

// lines of doctor's answer: how, what, text.
var doctorLine = regexp.MustCompile(`^(ok  |warn|bad ) {2}(\S.{13})  (\S.*)\n$`)

// examine runs doctor on a configuration and checks what holds for all answers.
func examine(t *testing.T, plant string, bad bool) string {
	t.Helper()
	o := program{args: []string{"doctor", "-c", plant, "--log-level", "error"}}.run(t)
	found := false
	for line := range strings.Lines(o.stdout) {
		if !doctorLine.MatchString(line) {
			t.Errorf("line %q", line)
		}
		found = found || strings.HasPrefix(line, "bad ")
	}
	if found != bad || (o.code == 1) != bad || o.code > 1 || o.stderr != "" {
		t.Errorf("exit code %d, want something bad: %v; stderr %s\n%s", o.code, bad, o.stderr, o.stdout)
	}
	return o.stdout
}

const doctorPlant = "models: [{name: barcode-reader, engine: gorgonia}]\nhttp: {listen: ''}\ncameras: [{id: gate, source: 'synthetic://bars?fps=50'}]\n"

// TestDoctorsStore has stores that are there or not, in use, too small, and
// where none can be.
func TestDoctorsStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	used := filepath.Join(dir, "used")
	b, err := bus.Start(t.Context(), bus.Config{Store: used, Listen: "127.0.0.1:0"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	taken := strings.TrimPrefix(b.Address(), "nats://")
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		bus  string
		more string
		bad  bool
		says []string
	}{
		"new":       {"store: " + dir + "/new, listen: '127.0.0.1:0'", "", false, []string{"ok    store           " + dir + "/new is not there yet and can be made", "ok    bus             127.0.0.1:0 is free"}},
		"in use":    {"store: " + used + ", listen: '" + taken + "'", "", false, []string{"warn  store           " + used + " is in use by the process " + fmt.Sprint(os.Getpid()), "warn  bus             " + taken + " is in use"}},
		"a file":    {"store: " + file + ", listen: ''", "", true, []string{"bad   store           " + file + " cannot be used: it is a file, not a folder: choose another bus.store\n"}},
		"no place":  {"store: /proc/nosuch/store, listen: ''", "", true, []string{"bad   store           /proc/nosuch/store cannot be used: it cannot be made in /proc: no such file or directory: choose another bus.store\n"}},
		"temporary": {"store: '', listen: ''", "", false, []string{"warn  store           a temporary one", "set bus.store"}},
		"large":     {"store: " + dir + "/new, listen: '', max_store: 900TB", "retention: {detections: {bytes: 800TB}}\n", false, []string{"warn  space", "lower retention or bus.max_store"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := examine(t, textFile(t, "plant.yaml", "bus: {"+c.bus+"}\n"+doctorPlant+c.more), c.bad)
			for _, want := range append(c.says, "ok    model           barcode-reader runs with gorgonia on cpu", "configuration") {
				if !strings.Contains(out, want) {
					t.Errorf("it does not say %q:\n%s", want, out)
				}
			}
		})
	}
}

// TestDoctorsFullStore has disks that cannot be written, and says what to do
// before it is said to choose another place.
func TestDoctorsFullStore(t *testing.T) {
	full, readOnly := testkit.Disk(t, "size=64k"), testkit.Disk(t, "ro")
	if err := os.WriteFile(filepath.Join(full, "ballast"), make([]byte, 128<<10), 0o600); err == nil {
		t.Fatal("it is not full")
	}
	for store, says := range map[string]string{
		full:                full + " cannot be used: no space left on device: make room there, or choose another bus.store\n",
		readOnly:            readOnly + " cannot be used: read-only file system: mount it for writing, or choose another bus.store\n",
		readOnly + "/store": "/store cannot be used: it cannot be made in " + readOnly + ": read-only file system: mount it for writing, or choose",
	} {
		if out := examine(t, textFile(t, "plant.yaml", "bus: {store: "+store+", listen: ''}\n"+doctorPlant), true); !strings.Contains(out, says) {
			t.Errorf("it does not say %q:\n%s", says, out)
		}
	}
}

// TestDoctorsServer has NATS servers that are away, refuse the login, lack
// JetStream, take too small messages, and one that is right.
func TestDoctorsServer(t *testing.T) {
	t.Parallel()
	with := func(store string, maxPayload int32) string {
		return natsServer(t, server.Options{Username: "plant", Password: "right", StoreDir: store, MaxPayload: maxPayload})
	}
	right, bare, small := with(t.TempDir(), 8<<20), with("", 8<<20), with(t.TempDir(), 40<<10)
	for name, c := range map[string]struct {
		bus  string
		bad  bool
		says []string
	}{
		"away":       {"url: 'nats://127.0.0.1:1'", true, []string{"bad   bus             NATS server nats://127.0.0.1:1 cannot be reached: check the address"}},
		"login":      {"url: '" + right + "', user: plant, password: wrong", true, []string{"bad   bus             NATS server " + right + " refused the login: check user, password"}},
		"JetStream":  {"url: '" + bare + "', user: plant, password: right", true, []string{"ok    bus             " + bare, "bad   JetStream       the NATS server has no JetStream for this login: enable it"}},
		"small":      {"url: '" + small + "', user: plant, password: right", true, []string{"bad   bus             the server takes messages of 40 KiB, and a picture for the model barcode-reader has 52 KiB: raise max_payload"}},
		"everything": {"url: '" + right + "', user: plant, password: right", false, []string{"ok    bus             " + right + " is there and takes the login", "ok    JetStream", "warn  plant           nobody is there yet"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := examine(t, textFile(t, "plant.yaml", "bus: {"+c.bus+"}\n"+doctorPlant), c.bad)
			for _, want := range c.says {
				if !strings.Contains(out, want) {
					t.Errorf("it does not say %q:\n%s", want, out)
				}
			}
			if strings.Contains(out, "wrong\n") || strings.Contains(out, "password: right") {
				t.Errorf("a secret is shown:\n%s", out)
			}
		})
	}
}

// What a camera refuses is said with what to do, once.
func TestDoctorsCamera(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	cam := camtest.Script(t, func(testcam.Request) string { return "404 Not Found" })
	at := web.Listener.Addr().String()
	for addr, says := range map[string]string{
		at:         "what answers at " + at + " does not speak RTSP (it said \"HTTP/1.1 400 Bad Request\"): check the port\n",
		cam.Addr(): "the camera has no such stream: check the path of the URL: the camera's manual has it\n",
	} {
		o := run(t, "doctor", "rtsp://u:hidden@"+addr+"/geheim")
		if want := "bad   pictures        rtsp://***@" + addr + "/***: " + says; o.code != 1 || !strings.HasSuffix(o.stdout, want) || strings.Contains(o.stdout+o.stderr, "hidden") {
			t.Errorf("exit code %d; want … %s; stderr %s\n%s", o.code, want, o.stderr, o.stdout)
		}
	}
}

// What is wrong in the file is said as check says it.
func TestDoctorsConfiguration(t *testing.T) {
	t.Parallel()
	out := examine(t, textFile(t, "plant.yaml", "sitee: x\nmodels: [{name: gone, file: nosuch.onnx}]\ncameras: [{id: a, source: 'foo://x'}]\n"), true)
	for _, want := range []string{":1:1: sitee: unknown key", ":2:29: models[0].file: ", ":3:27: cameras[0].source: "} {
		if !regexp.MustCompile(`bad   configuration   \S*plant\.yaml` + regexp.QuoteMeta(want)).MatchString(out) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	run(t, "doctor", "-c", "nosuch.yaml").wantSentence(t, 2, "nosuch.yaml: no such file")
	run(t, "doctor", "synthetic://bars", "-c", "x.yaml").wantSentence(t, 2, "not both")
	run(t, "doctor", "synthetic://bars", "--transport", "tls").wantSentence(t, 2, "--transport: must be tcp or udp")
}

func textFile(t *testing.T, name, text string) string {
	t.Helper()
	return file(t, name, []byte(text))
}
