// Package bus is the pipeline's connection to NATS: an embedded server with
// JetStream, or an external one; the hops between the stages; and the one
// writer of detections.
//
// Frame references, tensors, and detections with control travel on a connection
// each, so that a flood of one cannot hold up or cut off the others.
package bus

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/fileerr"
)

// Errors that callers tell apart.
var (
	// ErrConfig is wrapped when the configuration cannot work as it stands.
	ErrConfig = errors.New("bus configuration")
	// ErrNoResponders says that nobody serves the subject of a request.
	ErrNoResponders = errors.New("nobody serves the subject")
	// ErrTimeout says that an answer did not come in time.
	ErrTimeout = errors.New("no answer in time")
	// ErrLogin says that the server refused the login.
	ErrLogin = errors.New("login refused")
	// ErrDenied says that the role that is logged in may not do this.
	ErrDenied = errors.New("this login may not do that")
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
	// Role is what the login is for; empty: [Stage]. It decides where replies go
	// ([Role.Inbox]).
	Role Role
	// Inbox replaces the role's prefix of reply subjects, for a server that has
	// permissions of its own.
	Inbox string
	// Domain is the JetStream domain of the server that has the streams, where it
	// is not the one that is connected to.
	Domain string
	// TLS files. For an external server: CA, and Cert with Key for a client
	// certificate. For the embedded one: its own certificate, and CA if clients
	// have to show one, too.
	CA, Cert, Key string
	// Pin is the certificate that an external server on this machine has to show,
	// in place of CA ([PinTLS]).
	Pin string

	// Listen is host:port of the embedded server for other programs; empty:
	// nobody can connect from outside. Port 0 picks one. On loopback whoever
	// connects without a key is a subscriber; elsewhere everybody needs one.
	Listen string
	// Store is the embedded server's folder, which also has the keys of the
	// roles ([KeyFile]); empty: a temporary one, removed by Close.
	Store string
	// SyncAlways has the embedded server force each message to the disk before it
	// says that it is stored; else that is done every SyncInterval (0: the
	// server's own, two minutes), and a power cut can take what came since.
	SyncAlways   bool
	SyncInterval time.Duration
	// MaxStore bounds the store in bytes; 0: the limits of the streams do.
	MaxStore int64
	// Host is the id of this host; needed with a Hub.
	Host string
	// Hub is the plant's server, where this host's is a leaf node of it.
	Hub Hub
	// Leafs is host:port at which the embedded server, a hub itself, takes leaf
	// nodes; empty: none. They log in with the key of [Leaf].
	Leafs string
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
		bad("a certificate needs both cert and key")
	}
	c.checkHub(bad)
	if !slices.Contains(append(Roles(), ""), c.Role) {
		bad("role %q: want %s", c.Role, Roles())
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
	if c.SyncInterval < 0 {
		bad("sync: must not be negative (got %s)", c.SyncInterval)
	}
	if c.CA != "" && c.Cert == "" {
		bad("ca asks clients for a certificate, which needs cert and key of the server, too")
	}
	if err := c.checkListen(); err != nil {
		bad("%w", err)
	}
	return errors.Join(errs...)
}

// checkListen checks the address of the embedded server.
func (c Config) checkListen() error {
	if c.Listen == "" {
		return nil
	}
	if err := checkAddress("listen", c.Listen); err != nil {
		return err
	}
	if c.Store == "" && c.Exposed() {
		return fmt.Errorf("listen %q: beyond this machine everybody needs a key, and the keys are in the store: set bus.store", c.Listen)
	}
	return nil
}

func checkAddress(key, address string) error {
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || (ip == nil && host != "localhost" && host != "") {
		return fmt.Errorf("%s %q: want address:port, for example 127.0.0.1:4222", key, address)
	}
	return nil
}

// role is whose login it is.
func (c Config) role() Role { return cmp.Or(c.Role, Stage) }

// inbox is where replies go.
func (c Config) inbox() string { return cmp.Or(c.Inbox, c.role().Inbox()) }

// syncOptions say how often the embedded server forces what it stored to the
// disk.
func (c Config) syncOptions(opts *server.Options) {
	opts.SyncAlways, opts.SyncInterval = c.SyncAlways, c.SyncInterval
}

// readable reports a file that is named and cannot be read.
func readable(what, file string) error {
	if file == "" {
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("%w: %s file %s: %w", ErrConfig, what, file, fileerr.Cause(err))
	}
	return f.Close()
}

// CheckFiles reads the keys and certificates that the configuration names, and
// starts nothing.
func (c Config) CheckFiles() error {
	if err := c.Validate(); err != nil {
		return err
	}
	if c.URL != "" {
		_, err := c.login()
		return err
	}
	if err := tlsOptions(new(server.Options), c); err != nil {
		return err
	}
	if c.Hub.URL != "" {
		if _, err := (table{vedette.Subjects{Prefix: c.Prefix}}).remote(c.Hub); err != nil {
			return err
		}
	}
	keys := filepath.Join(c.Store, keysFolder)
	if _, err := os.Stat(keys); c.Store == "" || errors.Is(err, fs.ErrNotExist) {
		return nil // they are made at the start
	}
	if err := private(keys, 0o700); err != nil {
		return err
	}
	for _, r := range Roles() {
		file := keyFile(keys, r)
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := private(file, 0o600); err != nil {
			return err
		}
		if _, err := readKey(file); err != nil {
			return err
		}
	}
	return nil
}

// Exposed reports whether the embedded server can be reached from other
// machines, so that everybody needs a key.
func (c Config) Exposed() bool {
	host, _, err := net.SplitHostPort(c.Listen)
	return c.URL == "" && err == nil && host != "localhost" && !net.ParseIP(host).IsLoopback()
}

// login turns the files and names of the configuration into options. Files that
// cannot be read are the configuration's fault, not the server's.
func (c Config) login() ([]nats.Option, error) {
	var opts []nats.Option
	switch {
	case c.User != "":
		opts = append(opts, nats.UserInfo(c.User, c.Password))
	case c.NKey != "":
		pair, err := readKey(c.NKey)
		if err != nil {
			return nil, err
		}
		public, err := pair.PublicKey()
		if err != nil {
			return nil, keyError(c.NKey, err)
		}
		opts = append(opts, nats.Nkey(public, pair.Sign))
	case c.Creds != "":
		if err := readable("creds", c.Creds); err != nil {
			return nil, err
		}
		opts = append(opts, nats.UserCredentials(c.Creds))
	}
	if c.Pin != "" {
		pinned, err := PinTLS(c.Pin)
		if err != nil {
			return nil, err
		}
		opts = append(opts, nats.Secure(pinned))
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
