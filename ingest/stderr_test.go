package ingest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
)

// relayed is the log of what a child of the source printed.
func relayed(t *testing.T, source, printed string) (*stderrRelay, string) {
	t.Helper()
	src, err := ParseSource(source)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s := newStderrRelay(r, slog.New(slog.NewTextHandler(&log, nil)), src)
	go s.run()
	if _, err := io.WriteString(w, printed); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	s.wait()
	return s, log.String()
}

func TestStderrRelay(t *testing.T) {
	s, log := relayed(t, "synthetic://bars", "cannot open rtsp://u:geheim@host/x\n"+strings.Repeat("noise\n", 1000)+
		strings.Repeat("x", 100_000)+"\npanic: boom\n\xff\xfe broken")
	if n := strings.Count(log, "\n"); n > 3*stderrBurst {
		t.Errorf("%d lines were logged", n)
	}
	if strings.Contains(log, "geheim") || !strings.Contains(log, "rtsp://***@host/***") {
		t.Error("the password was logged, or nothing")
	}
	if got := s.lastWords(nil); !strings.Contains(got, "panic: boom") {
		t.Errorf("last words: %s", got)
	}
}

// Half a secret is none that could be found: lines are redacted before they are
// cut, wherever the cut is.
func TestStderrCutsNoSecretInTwo(t *testing.T) {
	const secret = "Sup3rGeheimesKennwort"
	for _, filler := range []string{"x", "rtsp://host/aaaa/bbbb "} {
		for shift := 0; shift < 2*len(secret); shift += 3 {
			for _, at := range []int{stderrLine, stderrRead} {
				text := strings.Repeat(filler, at)[:at-shift] + secret
				if _, log := relayed(t, "rtsp://host/"+secret, text+text+"\n"); strings.Contains(log, secret[:8]) {
					t.Fatalf("cut at %d, %d before: the log has %q", at, shift, log)
				}
			}
		}
	}
}

func TestReadLine(t *testing.T) {
	r := bufio.NewReaderSize(strings.NewReader(strings.Repeat("x", 50_000)+"\nnext\nlast"), 4096)
	for i, want := range []int{4096, 4, 4} {
		if line, whole, err := readLine(r); len(line) != want || err != nil || whole != (i > 0) {
			t.Errorf("%d bytes, whole %v, %v, want %d", len(line), whole, err, want)
		}
	}
	if _, _, err := readLine(r); !errors.Is(err, io.EOF) {
		t.Errorf("%v, want EOF", err)
	}
}
