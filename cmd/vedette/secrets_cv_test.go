//go:build cv && linux

package main_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/testcam"
	"github.com/vedette-io/vedette/internal/testcam/camtest"
	"github.com/vedette-io/vedette/internal/testcam/clip"
)

// The secrets of the cameras: in the user part, the query and the path of a URL,
// of cameras that answer, refuse and are not there.
const (
	userSecret   = "us3r-s3cr3t-one"
	querySecret  = "qu3ry-s3cr3t-two"
	pathSecret   = "p4th-s3cr3t-three"
	rtspSecret   = "rtsp-s3cr3t-four"
	wrongSecret  = "wr0ng-s3cr3t-five"
	deadSecret   = "d3ad-s3cr3t-six"
	envSecret    = "3nv-s3cr3t-seven"
	secretCamera = "GATE_PASSWORD" // the variable with the last one
)

func secrets() []string {
	return []string{userSecret, querySecret, pathSecret, rtspSecret, wrongSecret, deadSecret, envSecret}
}

// evidence is everything that came out of a run, by where.
type evidence struct {
	mu  sync.Mutex
	all map[string]*bytes.Buffer
	n   int // messages
}

func (e *evidence) add(where string, data []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.all[where] == nil {
		e.all[where] = new(bytes.Buffer)
	}
	e.all[where].Write(data)
	e.all[where].WriteByte('\n')
}

// search looks for the secrets, as they are and as a message may wrap them.
func (e *evidence) search(t *testing.T) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	for where, data := range e.all {
		for _, s := range secrets() {
			for _, form := range []string{s, base64.StdEncoding.EncodeToString([]byte(s)), fmt.Sprintf("%x", s)} {
				if i := bytes.Index(data.Bytes(), []byte(form)); i >= 0 {
					t.Errorf("%s has %s: …%q", where, s, data.Bytes()[max(0, i-120):i])
				}
			}
		}
	}
}

// TestSecretsAreNowhere runs a plant whose cameras have secrets everywhere in
// their URLs, and looks for them in everything that comes out: the log, the
// messages, the metrics, what status and reload say, the process list, the
// children's environment and the store.
func TestSecretsAreNowhere(t *testing.T) {
	mjpeg := camtest.MJPEG(t, testcam.MJPEGOptions{Spec: clip.Spec{Width: 320, Height: 180, FPS: 10}, User: "viewer", Password: userSecret})
	byEnv := camtest.MJPEG(t, testcam.MJPEGOptions{Spec: clip.Spec{Width: 320, Height: 180, FPS: 10}, User: "viewer", Password: envSecret})
	rtsp := camtest.RTSP(t, testcam.Options{User: "viewer", Password: rtspSecret, Video: testcam.Video{Live: &clip.Spec{Width: 320, Height: 180, FPS: 10, GOP: 5}}})
	sources := map[string]string{
		"http":  elsewhere(t, mjpeg.URL(), "/password="+pathSecret+"/stream.mjpg?token="+querySecret),
		"env":   strings.Replace(byEnv.URL(), envSecret, "${"+secretCamera+"}", 1),
		"rtsp":  rtsp.URL(),
		"wrong": rtsp.URLFor("viewer", wrongSecret),
		"dead":  "rtsp://viewer:" + deadSecret + "@127.0.0.1:1/live?pwd=" + querySecret,
	}
	t.Run("embedded", func(t *testing.T) { testSecrets(t, sources, "") })
	t.Run("external", func(t *testing.T) {
		store := t.TempDir()
		s, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, JetStream: true, StoreDir: store, NoSigs: true, NoLog: true, MaxPayload: 8 << 20})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		if !s.ReadyForConnections(10 * time.Second) {
			t.Fatal("the NATS server is not ready")
		}
		testSecrets(t, sources, s.ClientURL())
	})
}

// elsewhere is a camera that is reached with another path and query.
func elsewhere(t *testing.T, camera, path string) string {
	t.Helper()
	to, err := url.Parse(camera)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		if r.In.URL.RequestURI() == path {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.URL.Path, r.Out.URL.RawQuery = "http", to.Host, to.Path, ""
		}
	}})
	t.Cleanup(proxy.Close)
	return strings.Replace(proxy.URL, "://", "://"+to.User.String()+"@", 1) + path
}

// testSecrets runs the plant: on the server inside the program, or on one that
// shows every message.
func testSecrets(t *testing.T, sources map[string]string, server string) {
	dir := t.TempDir()
	store := filepath.Join(dir, "store")
	yaml := fmt.Sprintf("site: test\nbus: {listen: '127.0.0.1:0', store: %q, url: %q}\nhttp: {listen: '127.0.0.1:0'}\n"+
		"models: [{name: bars, file: barcode-reader, engine: gorgonia}]\ncameras:\n", store, server)
	for id, source := range sources {
		yaml += fmt.Sprintf("  - {id: %s, source: %q}\n", id, source)
	}
	plant := file(t, "plant.yaml", []byte(yaml))
	e := &evidence{all: map[string]*bytes.Buffer{}}
	inside := server == ""
	if !inside {
		e.tap(t, server, ">")
	}
	t.Setenv(secretCamera, envSecret)
	s := startReading(t, "run", "-c", plant, "--log-level", "debug")
	web := s.await(t, `metrics and health on (http://\S+)`)
	server = s.await(t, `NATS on (nats://\S+?);`)
	flags := []string{"--server", server}
	if inside {
		flags = append(flags, "--nkey", bus.KeyFile(store, bus.Operator))
		e.tap(t, server, "vedette.>", nkeyOption(t, bus.KeyFile(store, bus.Operator)))
	}
	for _, id := range []string{"http", "env", "rtsp"} {
		s.await(t, `camera "?`+id+` is (online)`)
	}
	for _, id := range []string{"wrong", "dead"} {
		s.await(t, `camera "?`+id+` is (offline)`)
	}
	// Until then every camera has said something, and three have published.
	wait(t, "messages", func() bool { e.mu.Lock(); defer e.mu.Unlock(); return e.n > 50 })
	e.processes(t, s.started)
	for _, path := range []string{"/metrics", "/readyz", "/healthz", "/"} {
		e.add(path, get(t, web+path))
	}
	for _, args := range [][]string{{"status"}, {"status", "--format", "json"}, {"reload"}} {
		o := run(t, append(args, flags...)...)
		if o.code != 0 {
			t.Errorf("%v: %s", args, o.stderr)
		}
		e.add("vedette "+args[0], []byte(o.stdout+o.stderr))
	}
	o := run(t, "check", "-c", plant)
	e.add("vedette check", []byte(o.stdout+o.stderr))
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	s.ended(t)
	e.add("log", []byte(s.log.String()))
	e.files(t, store)
	if e.all["messages"].Len() < 10000 || e.all["log"].Len() < 1000 || (inside && e.all["store"].Len() < 10000) {
		t.Errorf("too little came out for a test: %d bytes of messages, %d of log", e.all["messages"].Len(), e.all["log"].Len())
	}
	if strings.Contains(s.log.String(), "ermission") || strings.Contains(s.log.String(), "may not do that") {
		t.Errorf("something was refused:\n%s", s.log.String())
	}
	e.search(t)
}

func nkeyOption(t *testing.T, file string) nats.Option {
	t.Helper()
	o, err := nats.NkeyOptionFromSeed(file)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// tap listens to everything.
func (e *evidence) tap(t *testing.T, server, subject string, options ...nats.Option) {
	t.Helper()
	nc, err := nats.Connect(server, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if _, err := nc.Subscribe(subject, func(m *nats.Msg) {
		head, _ := json.Marshal(m.Header)
		e.add("messages", bytes.Join([][]byte{[]byte(m.Subject), []byte(m.Reply), head, m.Data}, []byte(" ")))
		e.mu.Lock()
		e.n++
		e.mu.Unlock()
	}); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

// processes reads the process list, and the environment of the children.
func (e *evidence) processes(t *testing.T, s *started) {
	t.Helper()
	lists, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range lists {
		if line, err := os.ReadFile(path); err == nil { // else it has ended
			e.add("process list", line)
		}
	}
	children := 0
	for _, pid := range s.processes(t) {
		if pid == s.cmd.Process.Pid {
			continue // it has what its user gave it
		}
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err == nil {
			children++
			e.add("environment of children", env)
		}
	}
	if children < 3 {
		t.Errorf("%d children, want one for each camera that shows something", children)
	}
}

// files reads a folder with all that is in it.
func (e *evidence) files(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		e.add("store", append([]byte(path+" "), data...))
		return err
	})
	if err != nil && !os.IsNotExist(err) { // with an external server there is none
		t.Fatal(err)
	}
}

func get(t *testing.T, page string) []byte {
	t.Helper()
	r, err := http.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// reading is a program that runs, and what it has said so far.
type reading struct {
	*started
	log *syncLog
}

type syncLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *syncLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *syncLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func startReading(t *testing.T, args ...string) *reading {
	t.Helper()
	r := &reading{log: new(syncLog)}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(r.log, read) // until the last process is gone
	}()
	t.Cleanup(func() {
		<-done
		read.Close()
		if t.Failed() {
			t.Logf("log:\n%s", r.log)
		}
	})
	r.started = startOn(t, write, args...)
	write.Close()
	return r
}

// await waits for a line, and returns what the expression's group matched.
func (r *reading) await(t *testing.T, expression string) (found string) {
	t.Helper()
	re := regexp.MustCompile(expression)
	wait(t, expression, func() bool {
		m := re.FindStringSubmatch(r.log.String())
		if m == nil {
			return false
		}
		found = m[1]
		return true
	})
	return found
}

func (r *reading) ended(t *testing.T) {
	t.Helper()
	err := r.cmd.Wait()
	var exit *exec.ExitError
	if err != nil {
		t.Errorf("%v %v", err, exit)
	}
}

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for began := time.Now(); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("no %s within %v", what, patience)
		}
	}
}
