// Package bus is the pipeline's connection to NATS: an embedded server with
// JetStream, or an external one; the hops between the stages; and the one
// writer of detections.
//
// Frame references travel on a connection of their own, so that a flood of
// frames cannot cut off detections and control.
package bus

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

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
	// MaxStore bounds the store in bytes; 0 leaves it to the server.
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

// redactURL hides the password of a server's URL.
func redactURL(s string) string {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil {
		return "(not a URL)"
	}
	return u.Redacted()
}
