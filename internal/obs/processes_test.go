package obs_test

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/internal/obs"
)

// TestAllProcesses shows the metrics of several processes together: each series
// says whose it is, a process that does not answer is left out.
func TestAllProcesses(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	sources := map[string]string{"gone": closedPort(t)}
	for _, name := range []string{"infer-1", "infer-2", "preprocess"} {
		m, mux := obs.New("v1"), http.NewServeMux()
		m.Captured("gate", "persons", 3)
		obs.Register(mux, m, nil, log)
		srv := httptest.NewServer(mux)
		t.Cleanup(srv.Close)
		sources[name] = strings.TrimPrefix(srv.URL, "http://")
	}
	m, mux := obs.New("v1"), http.NewServeMux()
	p := obs.NewProcesses(m)
	p.Process("infer-1", true, 0)
	p.Process("infer-1", false, 1)
	p.Process("infer-1", true, 3)
	p.Process("preprocess", false, 0)
	obs.RegisterAll(mux, m, func() map[string]string { return sources }, nil, log)
	srv := httptest.NewServer(mux)
	defer srv.Close()
	resp, err := http.Get(srv.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v\n%s", resp.Status, err, body)
	}
	for _, want := range []string{
		`vedette_process_up{process="infer-1"} 1`, `vedette_process_restarts_total{process="infer-1"} 3`, `vedette_process_up{process="preprocess"} 0`,
		`vedette_frames_captured_total{camera="gate",model="persons",process="infer-1"} 3`,
		`vedette_frames_captured_total{camera="gate",model="persons",process="infer-2"} 3`,
		`vedette_frames_captured_total{camera="gate",model="persons",process="preprocess"} 3`,
		`process="infer-2",revision=`,
	} {
		if !strings.Contains(string(body), want) {
			t.Errorf("there is no %s", want)
		}
	}
	if n := strings.Count(string(body), "# HELP vedette_frames_captured_total "); n != 1 {
		t.Errorf("the help text is there %d times", n)
	}
	if strings.Contains(string(body), `process="gone"`) {
		t.Error("what is gone is there")
	}
}

// closedPort is an address at which nobody listens.
func closedPort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}
