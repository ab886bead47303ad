package testcam

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"image"
	"image/jpeg"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/vedette-io/vedette/internal/backoff"
	"github.com/vedette-io/vedette/internal/testcam/clip"
)

// MJPEGOptions of an MJPEG camera.
type MJPEGOptions struct {
	// Spec says what to paint: size, rate and painter; the rest is ignored.
	clip.Spec
	// Quality of the JPEGs, 1 to 100; 0 means 75.
	Quality int
	// User and Password are asked for (Basic) if User is set.
	User, Password string
}

// MJPEG is a camera that sends JPEG pictures over HTTP, multipart/x-mixed-
// replace, as old cameras do. A reader that is too slow misses frames. As
// with [Camera] the clock runs on while it is frozen or dead.
type MJPEG struct {
	opts   MJPEGOptions
	port   *port
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	server  *http.Server // nil while dead
	served  chan struct{}
	hole    *listener
	frozen  bool
	garbage int
	frame   []byte        // the newest JPEG
	newer   chan struct{} // closed when frame is replaced
}

// NewMJPEG starts one on a free port of 127.0.0.1.
func NewMJPEG(opts MJPEGOptions) (*MJPEG, error) {
	if opts.Width < 16 || opts.Height < 16 || opts.FPS < 1 {
		return nil, fmt.Errorf("size %dx%d at %d fps: at least 16x16 and 1 fps", opts.Width, opts.Height, opts.FPS)
	}
	if opts.Paint == nil {
		opts.Paint = clip.Numbered(0)
	}
	if opts.Quality == 0 {
		opts.Quality = jpeg.DefaultQuality
	}
	p, err := reserve()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &MJPEG{opts: opts, port: p, cancel: cancel, newer: make(chan struct{})}
	if err := m.Restart(); err != nil {
		cancel()
		p.release()
		return nil, err
	}
	m.wg.Go(func() { m.paint(ctx) })
	return m, nil
}

// URL is the stream's address, with user and password if it asks for them.
func (m *MJPEG) URL() string {
	u := url.URL{Scheme: "http", Host: m.port.addr, Path: "/stream.mjpg"}
	if m.opts.User != "" {
		u.User = url.UserPassword(m.opts.User, m.opts.Password)
	}
	return u.String()
}

// Freeze stops the pictures while the connections stay open.
func (m *MJPEG) Freeze() { m.set(func() { m.frozen = true }) }

// Resume ends [MJPEG.Freeze].
func (m *MJPEG) Resume() { m.set(func() { m.frozen = false }) }

// Garbage makes random bytes of the next frames.
func (m *MJPEG) Garbage(frames int) { m.set(func() { m.garbage = frames }) }

// Kill ends all connections and closes the port.
func (m *MJPEG) Kill() { m.set(m.kill) }

// NeverAnswer ends all connections; from then on the camera accepts new ones
// and says nothing.
func (m *MJPEG) NeverAnswer() (err error) {
	m.set(func() {
		if err = errClosed; m.closed {
			return
		}
		m.kill()
		m.hole, err = openHole(m.port)
	})
	return err
}

// Restart brings the camera back at the same address.
func (m *MJPEG) Restart() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errClosed
	}
	m.kill()
	ln, err := m.port.listen()
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stream.mjpg", m.serve)
	m.server, m.served = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}, make(chan struct{})
	go func(s *http.Server, served chan struct{}) {
		defer close(served)
		// It ends with ErrServerClosed, by kill.
		_ = s.Serve(ln)
	}(m.server, m.served)
	return nil
}

// Close ends the camera.
func (m *MJPEG) Close() {
	m.set(func() {
		m.closed = true
		m.kill()
	})
	m.cancel()
	m.wg.Wait()
	m.port.release()
}

func (m *MJPEG) set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

// kill needs m.mu.
func (m *MJPEG) kill() {
	if m.server != nil {
		// What fails to close is closed already.
		_ = m.server.Close()
		<-m.served
		m.server = nil
	}
	if m.hole != nil {
		m.hole.close()
		m.hole = nil
	}
}

// paint makes the pictures and tells the handlers.
func (m *MJPEG) paint(ctx context.Context) {
	w, h := m.opts.Width, m.opts.Height
	pic := clip.Picture{Pix: make([]byte, 3*w*h), Width: w, Height: h}
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	period := time.Second / time.Duration(m.opts.FPS)
	for i, due := 0, time.Now(); backoff.Sleep(ctx, time.Until(due)) == nil; i, due = i+1, due.Add(period) {
		m.opts.Paint(pic, i)
		for j := range w * h {
			img.Pix[4*j], img.Pix[4*j+1], img.Pix[4*j+2], img.Pix[4*j+3] = pic.Pix[3*j+2], pic.Pix[3*j+1], pic.Pix[3*j], 255
		}
		var buf bytes.Buffer
		// A buffer takes everything and the size is valid.
		_ = jpeg.Encode(&buf, img, &jpeg.Options{Quality: m.opts.Quality})
		m.publish(buf.Bytes())
	}
}

func (m *MJPEG) publish(frame []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.frozen {
		return
	}
	if m.garbage > 0 {
		m.garbage--
		// It never fails (crypto/rand).
		_, _ = rand.Read(frame)
	}
	m.frame = frame
	close(m.newer)
	m.newer = make(chan struct{})
}

func (m *MJPEG) serve(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	if m.opts.User != "" && (user != m.opts.User || password != m.opts.Password) {
		w.Header().Set("WWW-Authenticate", `Basic realm="camera"`)
		http.Error(w, "unauthorized", http.StatusUnauthorized)
		return
	}
	m.mu.Lock()
	newer, closed := m.newer, m.closed
	if !closed {
		m.wg.Add(1) // Close waits for it
	}
	m.mu.Unlock()
	if closed {
		return
	}
	defer m.wg.Done()
	const boundary = "frame"
	w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary="+boundary)
	flush := http.NewResponseController(w)
	for {
		select {
		case <-newer:
		case <-r.Context().Done():
			return
		}
		m.mu.Lock()
		frame := m.frame
		newer = m.newer
		m.mu.Unlock()
		_, err := fmt.Fprintf(w, "--%s\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n", boundary, len(frame), frame)
		if err != nil || flush.Flush() != nil {
			return
		}
	}
}
