// Package bus is the pipeline's connection to NATS: an embedded server with
// JetStream, or an external one; the hops between the stages; and the one
// writer of detections.
//
// Frame references, tensors, and detections with control travel on a connection
// each, so that a flood of one cannot hold up or cut off the others.
package bus

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/vedette-io/vedette"
)

// Errors that callers tell apart.
var (
	// ErrConfig is wrapped when the configuration cannot work as it stands.
	ErrConfig = errors.New("bus configuration")
	// ErrNoResponders says that nobody serves the subject of a request.
	ErrNoResponders = errors.New("nobody serves the subject")
	// ErrTimeout says that an answer did not come in time.
	ErrTimeout = errors.New("no answer in time")
	// ErrSecondWriter says that somebody else writes this camera's detections.
	ErrSecondWriter = errors.New("another writer publishes this camera's detections")
)

// Limits of the embedded server.
const (
	// maxPayload lets a model-sized tensor travel in one message.
	maxPayload = 8 << 20
	// connectTimeout bounds each attempt to reach a server.
	connectTimeout = 5 * time.Second
	// flushTimeout bounds what Close waits for each connection.
	flushTimeout = time.Second
)

// Config chooses the server. The zero value is an embedded server that nobody
// else can reach, with its store in a temporary folder.
type Config struct {
	// URL of an external server ("nats://host:4222", several separated by
	// commas); empty starts an embedded one.
	URL string
	// User and Password, or NKey (file with the seed), or Creds (file) log in
	// to an external server. A user and password in URL work, too.
	User, Password, NKey, Creds string
	// TLS files for an external server: CA, and Cert with Key for a client
	// certificate.
	CA, Cert, Key string

	// Listen is host:port of the embedded server for other programs; empty:
	// nobody can connect from outside. Port 0 picks one.
	Listen string
	// Store is the embedded server's folder; empty: a temporary one, removed
	// by Close.
	Store string
	// MaxStore bounds the store in bytes; 0: the limits of the streams do.
	MaxStore int64
	// Prefix of all subjects; empty: [vedette.DefaultPrefix].
	Prefix string
}

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: %w", ErrConfig, fmt.Errorf(format, args...)))
	}
	if c.Prefix != "" {
		if err := vedette.CheckPrefix(c.Prefix); err != nil {
			bad("%w", err)
		}
	}
	if (c.Cert == "") != (c.Key == "") {
		bad("a client certificate needs both cert and key")
	}
	logins := 0
	for _, set := range []bool{c.User != "", c.NKey != "", c.Creds != ""} {
		if set {
			logins++
		}
	}
	if logins > 1 {
		bad("give one of user, nkey and creds, not several")
	}
	if c.URL != "" {
		for u := range strings.SplitSeq(c.URL, ",") {
			p, err := url.Parse(strings.TrimSpace(u))
			if err != nil || p.Host == "" {
				bad("url %q: want nats://host:port or tls://host:port", redactURL(u))
			}
		}
		return errors.Join(errs...)
	}
	if c.MaxStore < 0 {
		bad("max_store: must not be negative (got %d)", c.MaxStore)
	}
	if c.Listen != "" {
		host, _, err := net.SplitHostPort(c.Listen)
		ip := net.ParseIP(host)
		switch {
		case err != nil:
			bad("listen %q: want host:port, for example 127.0.0.1:4222", c.Listen)
		case host != "localhost" && (ip == nil || !ip.IsLoopback()):
			// Everybody who reaches the listener may publish detections.
			bad("listen %q: the embedded server has no users, so it listens on loopback only; for other machines run a NATS server with users and set bus.url", c.Listen)
		}
	}
	return errors.Join(errs...)
}

// login turns the files and names of the configuration into options. Files that
// cannot be read are the configuration's fault, not the server's.
func (c Config) login() ([]nats.Option, error) {
	var opts []nats.Option
	readable := func(what, file string) error {
		f, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("%w: %s file %s: %w", ErrConfig, what, file, cause(err))
		}
		return f.Close()
	}
	switch {
	case c.User != "":
		opts = append(opts, nats.UserInfo(c.User, c.Password))
	case c.NKey != "":
		if err := readable("nkey", c.NKey); err != nil {
			return nil, err
		}
		o, err := nats.NkeyOptionFromSeed(c.NKey)
		if err != nil {
			return nil, fmt.Errorf("%w: nkey file %s: no NKey seed (a line that begins with SU) in it", ErrConfig, c.NKey)
		}
		opts = append(opts, o)
	case c.Creds != "":
		if err := readable("creds", c.Creds); err != nil {
			return nil, err
		}
		opts = append(opts, nats.UserCredentials(c.Creds))
	}
	if c.CA != "" {
		if err := readable("ca", c.CA); err != nil {
			return nil, err
		}
		opts = append(opts, nats.RootCAs(c.CA))
	}
	if c.Cert != "" {
		if err := errors.Join(readable("cert", c.Cert), readable("key", c.Key)); err != nil {
			return nil, err
		}
		opts = append(opts, nats.ClientCert(c.Cert, c.Key))
	}
	return opts, nil
}

// redactURL hides the password of a server's URL.
func redactURL(s string) string {
	s = strings.TrimSpace(s)
	u, err := url.Parse(s)
	if err != nil || (u.Host == "" && strings.Contains(s, "@")) {
		return "(not a URL)" // it may well hold a password
	}
	return u.Redacted()
}
