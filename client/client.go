// Package client is for Go programs that use what vedette publishes. It speaks
// to any NATS server, the embedded one of vedette or another, and depends on
// nothing of the pipeline. Programs in other languages find the same in
// schema/asyncapi.yaml.
package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vedette-io/vedette"
)

// DefaultURL is where vedette's embedded server listens unless told otherwise.
const DefaultURL = "nats://127.0.0.1:4222"

// reconnectWait is the pause between attempts while the server is away.
const reconnectWait = 500 * time.Millisecond

// flushTimeout bounds how long the server may take to refuse a subscription.
const flushTimeout = 5 * time.Second

// Errors of this package, wrapped in a sentence that says more.
var (
	ErrUnreachable = errors.New("NATS server not reachable")
	ErrLogin       = errors.New("NATS server refused the login")
	// ErrNoStream says that no detections are stored on this bus, under this
	// prefix, or that this user may not read what is stored.
	ErrNoStream = errors.New("no stored detections on this bus")
	// ErrDenied says that this user may not see what it asked for, under this
	// prefix.
	ErrDenied = errors.New("the NATS server does not let this user at it")
)

// errSilent says that the server does not answer about a stream.
var errSilent = errors.New("the NATS server does not answer about its streams: is it short of servers that run?")

// Client is a connection to a bus that vedette publishes on. Once connected, it
// reconnects by itself for ever. It is safe for concurrent use.
type Client struct {
	nc       *nats.Conn
	js       jetstream.JetStream
	subjects vedette.Subjects
	log      *slog.Logger
	refusals refusals
}

// Option changes how [Connect] connects.
type Option func(*settings)

type settings struct {
	nats   []nats.Option
	prefix string
	log    *slog.Logger
}

// User logs in with a name and a password. They may be in the URL instead.
func User(name, password string) Option { return add(nats.UserInfo(name, password)) }

// Credentials logs in with a .creds file, which has a JWT and an NKey seed.
func Credentials(file string) Option { return add(nats.UserCredentials(file)) }

// NKey logs in with the NKey whose seed is in a file.
func NKey(file string) Option {
	return add(func(o *nats.Options) error {
		option, err := nats.NkeyOptionFromSeed(file)
		if err != nil {
			return fmt.Errorf("nkey file %s: %w", file, err)
		}
		return option(o)
	})
}

// InboxPrefix is where replies go, for a user that may not use _INBOX, as every
// NATS client does unless told otherwise: that of vedette's operators is
// _INBOX_operator.
func InboxPrefix(prefix string) Option { return add(nats.CustomInboxPrefix(prefix)) }

// CA checks the server's certificate with the authorities of a PEM file.
func CA(file string) Option { return add(nats.RootCAs(file)) }

// Certificate identifies this program with a certificate and its key, PEM
// files.
func Certificate(cert, key string) Option { return add(nats.ClientCert(cert, key)) }

// TLS connects with TLS as config says.
func TLS(config *tls.Config) Option { return add(nats.Secure(config)) }

// Name is shown in the server's list of connections.
func Name(name string) Option { return add(nats.Name(name)) }

// Timeout bounds the attempt to connect. The default is two seconds.
func Timeout(d time.Duration) Option { return add(nats.Timeout(d)) }

// Prefix is the site's subject prefix, where it is not "vedette".
func Prefix(prefix string) Option { return func(s *settings) { s.prefix = prefix } }

// Log receives what happens to the connection; without it, nothing does.
func Log(log *slog.Logger) Option { return func(s *settings) { s.log = log } }

func add(o nats.Option) Option { return func(s *settings) { s.nats = append(s.nats, o) } }

// Connect connects to a server ("nats://host:4222", "tls://…"), or to the first
// that answers of several separated by commas. Errors wrap [ErrUnreachable] or
// [ErrLogin] and never hold a password.
func Connect(server string, options ...Option) (*Client, error) {
	s := settings{log: slog.New(slog.DiscardHandler), nats: []nats.Option{nats.Name("vedette client")}}
	for _, o := range options {
		o(&s)
	}
	if s.prefix != "" {
		if err := vedette.CheckPrefix(s.prefix); err != nil {
			return nil, err
		}
	}
	c := &Client{subjects: vedette.Subjects{Prefix: s.prefix}, log: s.log}
	opts := append([]nats.Option{
		nats.MaxReconnects(-1), nats.ReconnectWait(reconnectWait), nats.IgnoreAuthErrorAbort(),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				c.log.Warn("connection to the bus lost; trying again", "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { c.log.Info("connected to the bus again") }),
		nats.PermissionErrOnSubscribe(true),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if !c.refusals.note(err) {
				c.log.Warn("bus", "error", err)
			}
		}),
	}, s.nats...)
	var err error
	if c.nc, err = nats.Connect(server, opts...); err != nil {
		return nil, connectError(redact(server), err)
	}
	if c.js, err = jetstream.New(c.nc); err != nil {
		c.nc.Close()
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	return c, nil
}

func connectError(server string, err error) error {
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked):
		return fmt.Errorf("%w: %s: check the user and password, NKey or credentials", ErrLogin, server)
	case errors.Is(err, nats.ErrNkeysNotSupported):
		return fmt.Errorf("%w: %s: it knows no NKeys: connect without one", ErrLogin, server)
	case errors.Is(err, nats.ErrNoServers), errors.Is(err, nats.ErrTimeout):
		return fmt.Errorf("%w: %s: check the address and that the server runs", ErrUnreachable, server)
	}
	var u *url.Error
	if errors.As(err, &u) { // it repeats the URL with its password
		err = u.Err
	}
	return fmt.Errorf("connect to %s: %w", server, err)
}

// redact removes what is secret from a list of URLs: the password, and a lone
// user, which is a token.
func redact(server string) string {
	parts := strings.Split(server, ",")
	for i, p := range parts {
		u, err := url.Parse(strings.TrimSpace(p))
		switch {
		case err != nil, u.Host == "" && strings.Contains(p, "@"):
			parts[i] = "(unreadable URL)"
		case u.User != nil:
			if _, ok := u.User.Password(); ok {
				parts[i] = u.Redacted()
			} else {
				u.User = url.User("xxxxx")
				parts[i] = u.String()
			}
		}
	}
	return strings.Join(parts, ",")
}

// Close ends the connection, and with it every [Client.Detections].
func (c *Client) Close() { c.nc.Close() }

// streamError says what a stream that cannot be read means.
func (c *Client) streamError(ctx context.Context, stream string, err error) error {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, ErrDenied):
		return fmt.Errorf("%w: stream %s: %w: check the prefix and the login", ErrNoStream, stream, cause)
	case cause != nil:
		return cause
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("%w: the stream %s does not exist: check the prefix, and that vedette publishes on this server", ErrNoStream, stream)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%w: the server has no JetStream, or this user may not use it", ErrNoStream)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %s: try again", errSilent, stream)
	}
	return fmt.Errorf("read stream %s: %w", stream, err)
}
