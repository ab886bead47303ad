package bus_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/testkit"
)

// lines keeps a log.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// startLogged is start with the log to look at.
func startLogged(t *testing.T, cfg bus.Config) (*bus.Bus, *lines) {
	t.Helper()
	log := new(lines)
	b, err := bus.Start(context.Background(), cfg, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b, log
}

// Beyond this machine nobody comes in without a key.
func TestListensBeyondLoopback(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", ":0"} {
		b, log := startLogged(t, bus.Config{Listen: listen, Store: t.TempDir()})
		if !strings.HasPrefix(b.Address(), "nats://127.0.0.1:") {
			t.Errorf("%s: its address here is %s", listen, b.Address())
		}
		if nc, err := nats.Connect(b.Address()); err == nil || !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: who has no key: %v", listen, err)
			nc.Close()
		}
		for _, r := range bus.Roles() {
			as(t, b, r)
		}
		mustWrite(t, writer(t, as(t, b, bus.Stage)), "gate", 0)
		if !strings.Contains(log.String(), "bus.cert") {
			t.Errorf("%s: no word about TLS: %s", listen, log)
		}
	}
}

func TestListensWithTLS(t *testing.T) {
	ca, other := testkit.NewAuthority(t), testkit.NewAuthority(t)
	cert, key := ca.Issue("server")
	clientCert, clientKey := ca.Issue("client")
	b, log := startLogged(t, bus.Config{Listen: "0.0.0.0:0", Store: t.TempDir(), Cert: cert, Key: key})
	mustWrite(t, writer(t, b), "gate", 0) // the pipeline itself
	if strings.Contains(log.String(), "TLS") {
		t.Errorf("it warns: %s", log)
	}
	login := bus.Config{URL: b.Address(), NKey: b.KeyFile(bus.Stage)}
	for _, tc := range []struct {
		name string
		ca   string
		pin  string
		want string // empty: it is let in
	}{
		{"who knows the authority", ca.File, "", ""},
		{"who knows the certificate", "", cert, ""},
		{"who knows another authority", other.File, "", "certificate"},
		{"who knows another certificate", "", clientCert, "certificate"},
		{"who knows none", "", "", "certificate"},
	} {
		cfg := login
		cfg.CA, cfg.Pin = tc.ca, tc.pin
		if tc.want == "" {
			start(t, cfg)
		} else if err := refused(t, cfg); !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	if nc, err := nats.Connect(b.Address(), nats.RootCAs(ca.File)); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("who has no key: %v", err)
		nc.Close()
	}

	// With an authority of its own it asks clients for a certificate, too.
	strict, _ := startLogged(t, bus.Config{Listen: "127.0.0.1:0", Store: t.TempDir(), Cert: cert, Key: key, CA: ca.File})
	login = bus.Config{URL: strict.Address(), NKey: strict.KeyFile(bus.Stage), CA: ca.File}
	if err := refused(t, login); !strings.Contains(err.Error(), "tls") {
		t.Error(err)
	}
	login.Cert, login.Key = clientCert, clientKey
	mustWrite(t, writer(t, start(t, login)), "gate", 0)
}

func TestCertificatesThatCannotBeUsed(t *testing.T) {
	ca := testkit.NewAuthority(t)
	cert, key := ca.Issue("server")
	_, otherKey := ca.Issue("other")
	for _, tc := range []struct {
		name string
		cfg  bus.Config
		says []string
	}{
		{"no such file", bus.Config{Cert: "/nonexistent.pem", Key: key}, []string{"cert file /nonexistent.pem", "no such file"}},
		{"not a certificate", bus.Config{Cert: key, Key: key}, []string{"the server's certificate", key}},
		{"another's key", bus.Config{Cert: cert, Key: otherKey}, []string{"the server's certificate", otherKey}},
		{"no key", bus.Config{Cert: cert}, []string{"needs both cert and key"}},
		{"only an authority", bus.Config{CA: ca.File}, []string{"needs cert and key"}},
		{"an authority that is none", bus.Config{Cert: cert, Key: key, CA: key}, []string{"the server's certificate"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.cfg.Listen, tc.cfg.Store = "127.0.0.1:0", t.TempDir()
			err := refused(t, tc.cfg)
			for _, want := range tc.says {
				if !errors.Is(err, bus.ErrConfig) || !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
	for _, file := range []string{"/nonexistent.pem", key} {
		if _, err := bus.PinTLS(file); !errors.Is(err, bus.ErrConfig) || !strings.Contains(err.Error(), file) {
			t.Errorf("pin %s: %v", file, err)
		}
	}
}
