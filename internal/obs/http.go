package obs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Register adds the pages of this package to mux: GET /, which lists the others;
// /metrics; /healthz, 200 while the process answers at all; and /readyz, 200
// while ready returns nil, else 503 with the error's text. ready must be quick,
// must not show secrets, and may be nil: always ready.
func Register(mux *http.ServeMux, m *Metrics, ready func() error, log *slog.Logger) {
	register(mux, m.registry, ready, log)
}

// index is what GET / answers.
const index = `vedette
/metrics  what is counted and timed, for Prometheus; each name has its meaning beside it
/healthz  200 while the process answers
/readyz   200 while it does its work and what it finds can be stored, else 503 and why;
          cameras that are away do not matter to it: see vedette_camera_up, or vedette status`

func register(mux *http.ServeMux, metrics prometheus.Gatherer, ready func() error, log *slog.Logger) {
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: 4,
	}))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, index)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if ready != nil {
			if err := ready(); err != nil {
				answer(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
				return
			}
		}
		answer(w, http.StatusOK, "ready")
	})
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // the client may have gone
}

// Server is an HTTP listener that is open, and serves once [Server.Run] is
// called.
type Server struct {
	listener net.Listener
	http     *http.Server
	log      *slog.Logger
}

// Listen opens addr ("host:port"; port 0: any) for handler. The error says
// what to do when the port is in use, or not allowed.
func Listen(addr string, handler http.Handler, log *slog.Logger) (*Server, error) {
	l, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("http.listen: %s is in use by another program; stop it, or choose another port (or port 0 for any)", addr)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("http.listen: %s may not be opened by this user; choose a port above 1023", addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("http.listen: %s is not an address of this machine", addr)
	case err != nil:
		return nil, fmt.Errorf("http.listen: open %s: %w", addr, err)
	}
	return &Server{listener: l, log: log, http: &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}, nil
}

// Addr is the address that is listened on, with the port that was chosen.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// shutdownTime is how long requests under way may take when the program ends.
const shutdownTime = time.Second

// Run serves until ctx ends, then lets requests under way finish for a second.
// It returns nil unless serving failed by itself. Call it once.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1) // one: the goroutine must end though nobody reads
	go func() { served <- s.http.Serve(s.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve http on %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if err := s.http.Shutdown(wait); err != nil {
		s.log.Debug("cut off http requests that took too long", "error", err)
		_ = s.http.Close() // the listener is closed already; only connections are left
	}
	<-served
	return nil
}

// Close closes a server that is not to run after all.
func (s *Server) Close() error { return s.listener.Close() }
