package obs_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/goleak"

	"github.com/vedette-io/vedette/internal/obs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// busy has one value of every metric for each camera.
func busy(cameras ...string) *obs.Metrics {
	m := obs.New("1.2.3")
	for _, c := range cameras {
		m.Captured(c, "yolox", 5)
		m.Frames(c, "yolox", "inferred", "", 3)
		m.Frames(c, "yolox", "dropped", "stale", 2)
		m.SourceGap(c, 1)
		m.Unstored(c, "yolox")
		m.StageDuration("infer", c, "yolox", 4*time.Millisecond)
		m.DetectionLatency(c, "yolox", 60*time.Millisecond)
		m.CameraUp(c, true)
		m.CameraReconnected(c)
		m.CameraReplaced(c)
		m.QueueDepth("mailbox", c, "yolox", 1)
	}
	m.EngineRun("yolox", "onnxruntime", "cuda:0", -time.Second)
	m.EngineFallback("yolox")
	m.EngineFailure("yolox", "timeout")
	m.Batch("yolox", 3, 4)
	m.ModelUp("yolox", false)
	m.ModelReloaded("yolox", 2)
	return m
}

func TestMetrics(t *testing.T) {
	m := busy("gate", "yard")
	m.RemoveCamera("yard")
	page := scrape(t, m)
	for _, line := range []string{
		`vedette_build_info{go_version="go1.`,
		`vedette_engine_run_seconds_bucket{device="cuda:0",engine="onnxruntime",model="yolox",le="0.001"} 1`,
		`vedette_stage_duration_seconds_bucket{camera="gate",model="yolox",stage="infer",le="0.002"} 0`,
		`vedette_stage_duration_seconds_bucket{camera="gate",model="yolox",stage="infer",le="0.005"} 1`,
		`vedette_detection_latency_seconds_bucket{camera="gate",model="yolox",le="5"} 1`,
		`vedette_camera_reconnects_total{camera="gate"} 1`,
		`vedette_camera_up{camera="gate"} 1`,
		`vedette_engine_fallback_total{model="yolox"} 1`,
		`vedette_engine_failures_total{model="yolox",reason="timeout"} 1`,
		`vedette_batch_pictures_total{model="yolox"} 3`,
		`vedette_batch_places_total{model="yolox"} 4`,
		`vedette_model_up{model="yolox"} 0`,
		`vedette_model_reloads_total{model="yolox"} 2`,
		`vedette_frames_captured_total{camera="gate",model="yolox"} 5`,
		`vedette_frames_in_flight{camera="gate",model="yolox"} 0`,
		`vedette_frames_total{camera="gate",model="yolox",reason="",result="inferred"} 3`,
		`vedette_frames_total{camera="gate",model="yolox",reason="stale",result="dropped"} 2`,
		`vedette_queue_depth{camera="gate",model="yolox",queue="mailbox"} 1`,
		`vedette_source_gap_frames_total{camera="gate"} 1`,
		`vedette_results_unstored_total{camera="gate",model="yolox"} 1`,
		`go_goroutines`, `process_resident_memory_bytes`,
	} {
		if !strings.Contains(page, "\n"+line) {
			t.Errorf("/metrics has no %s", line)
		}
	}
	if strings.Contains(page, `"yard"`) {
		t.Error("a removed camera is still there")
	}
}

// What is configured no more leaves the page; its cameras stay.
func TestRemoveModel(t *testing.T) {
	m := busy("gate")
	m.EngineRun("yolox", "gorgonia", "cpu", time.Second)
	m.RemoveEngine("yolox", "onnxruntime", "cuda:0")
	if page := scrape(t, m); strings.Contains(page, "cuda") || !strings.Contains(page, `engine="gorgonia"`) {
		t.Error("of two engines, the one that is no more used should be gone")
	}
	m.RemoveModel("yolox")
	page := scrape(t, m)
	if strings.Contains(page, "yolox") {
		t.Errorf("a removed model is still there:\n%s", page)
	}
	if !strings.Contains(page, `vedette_camera_up{camera="gate"} 1`) {
		t.Error("its camera is gone, too")
	}
	if s := m.Stages(); len(s) != 0 || m.Runs("yolox").Count != 0 || m.Latency("gate", "yolox").Count != 0 {
		t.Errorf("timings of a removed model: %+v", s)
	}
}

func TestLint(t *testing.T) {
	families, err := busy("gate").Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestLabelsAreBounded(t *testing.T) {
	m := obs.New("x")
	for i := range 500 {
		m.Frames("gate", "yolox", "failed", "r"+strings.Repeat("x", i%50)+string(rune('a'+i%26)), 1)
		m.Frames("gate", "yolox", "failed", "open /dev/video: no such file "+strings.Repeat("y", i), 1)
		m.Frames("gate", "yolox", "failed", "\xff\xfe", 1)
		m.Frames("gate", "yolox", "failed", strings.Repeat("z", 65+i), 1)
	}
	page := scrape(t, m)
	if n := strings.Count(page, "\nvedette_frames_total{"); n != 64 { // "other" is one of the reasons that are let through
		t.Errorf("%d series", n)
	}
	if !strings.Contains(page, `vedette_frames_total{camera="gate",model="yolox",reason="other",result="failed"} 1`) {
		t.Error("what was too much is not counted as other")
	}
}

// start serves m until the test ends.
func start(t *testing.T, m *obs.Metrics, ready func() error) (url string) {
	t.Helper()
	mux := http.NewServeMux()
	obs.Register(mux, m, ready, quiet())
	s, err := obs.Listen("127.0.0.1:0", mux, quiet())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return "http://" + s.Addr()
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

func scrape(t *testing.T, m *obs.Metrics) string {
	t.Helper()
	status, page := get(t, start(t, m, nil)+"/metrics")
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, page)
	}
	return "\n" + page
}

func TestHealth(t *testing.T) {
	var notYet error = errors.New("model yolox is loading")
	url := start(t, obs.New("x"), func() error { return notYet })
	for _, tc := range []struct {
		path   string
		status int
		text   string
	}{
		{"/healthz", 200, "ok\n"}, {"/healthz/x", 404, "404 page not found\n"}, {"/readyz", 503, "not ready: model yolox is loading\n"}, {"/other", 404, "404 page not found\n"},
	} {
		if status, text := get(t, url+tc.path); status != tc.status || text != tc.text {
			t.Errorf("%s: %d %q", tc.path, status, text)
		}
	}
	status, text := get(t, url+"/")
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		if status != 200 || !strings.Contains(text, "\n"+path+" ") {
			t.Errorf("/ does not list %s: %d %q", path, status, text)
		}
	}
	notYet = nil
	if status, text := get(t, url+"/readyz"); status != 200 || text != "ready\n" {
		t.Errorf("/readyz: %d %q", status, text)
	}
	r, err := http.Post(url+"/healthz", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", r.StatusCode)
	}
}

func TestListenErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for addr, want := range map[string]string{
		taken.Addr().String(): taken.Addr().String() + " is in use by another program; stop it, or choose another port",
		"192.0.2.1:80":        "192.0.2.1:80 is not an address of this machine",
		"127.0.0.1":           "missing port",
		"127.0.0.1:99999":     "invalid port",
	} {
		s, err := obs.Listen(addr, http.NewServeMux(), quiet())
		if err == nil {
			s.Close()
			t.Errorf("%s was opened", addr)
			continue
		}
		if !strings.HasPrefix(err.Error(), "http.listen: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want …%s…", addr, err, want)
		}
	}
}

// A request that never ends must not keep the program.
func TestRunEndsWithRequestUnderWay(t *testing.T) {
	mux := http.NewServeMux()
	begun := make(chan struct{})
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
	})
	s, err := obs.Listen("127.0.0.1:0", mux, quiet())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		if r, err := http.Get("http://" + s.Addr() + "/slow"); err == nil {
			r.Body.Close()
		}
	}()
	go func() {
		<-begun
		cancel()
	}()
	if err := s.Run(ctx); err != nil {
		t.Error(err)
	}
	<-asked
	http.DefaultClient.CloseIdleConnections()
}

func BenchmarkFrame(b *testing.B) {
	m := obs.New("x")
	b.ReportAllocs()
	for b.Loop() {
		m.Captured("gate", "yolox", 1)
		m.Frames("gate", "yolox", "inferred", "", 1)
		m.StageDuration("infer", "gate", "yolox", 4*time.Millisecond)
		m.DetectionLatency("gate", "yolox", 60*time.Millisecond)
	}
}
