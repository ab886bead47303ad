package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vedette-io/vedette"
)

// Bus is a running connection to NATS. It is safe for concurrent use.
type Bus struct {
	log           *slog.Logger
	server        *embedded // nil with an external server
	frames        *nats.Conn
	tensors       *nats.Conn
	control       *nats.Conn
	js            jetstream.JetStream
	api           string   // what its questions begin with
	hub           *hubSide // nil: this host's server is the plant's
	pulls         *pulls   // nil: the server is not in this process, or has no hub
	subjects      vedette.Subjects
	counters      Counters
	denials       denials
	limits        atomic.Pointer[Limits] // of the stream of detections, once ensured
	apart         atomic.Bool            // it takes them on a subject of its own
	splits        bool                   // it has to
	gathering     sync.Mutex             // guards what follows
	gatherer      *gatherer
	stopGathering func()
	// How requests in flight learn that their connection was lost.
	tensorsAway, controlAway outage
	closing                  sync.Once
	local                    sync.Map  // subject: Handler in this process
	bodies                   sync.Pool // of *[]byte, for local requests

	mu      sync.Mutex
	senders map[*FrameSender]struct{}
}

// Counters of what went wrong on the bus.
type Counters struct {
	Disconnects, Reconnects, SlowConsumers, Errors atomic.Uint64
}

// Start starts or reaches the server and connects to it. ctx bounds the start.
func Start(ctx context.Context, cfg Config, log *slog.Logger) (*Bus, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	b := &Bus{log: log, subjects: vedette.Subjects{Prefix: cfg.Prefix}, splits: cfg.HasHub() || cfg.Leafs != "", senders: map[*FrameSender]struct{}{}}
	b.tensorsAway.reset()
	b.controlAway.reset()
	if cfg.URL == "" {
		var err error
		if b.server, err = startServer(ctx, cfg, log); err != nil {
			return nil, err
		}
	}
	err := b.connectAll(ctx, cfg)
	if err == nil && b.hub != nil && b.server != nil {
		err = b.answerPulls(ctx, cfg)
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *Bus) connectAll(ctx context.Context, cfg Config) error {
	var err error
	if b.frames, err = b.connect(ctx, cfg, "frames",
		// A frame that could not be sent at once is stale: nothing is buffered.
		nats.ReconnectBufSize(-1),
		nats.ReconnectHandler(func(*nats.Conn) { b.reconnected("frames"); b.resendFrames() }),
	); err != nil {
		return err
	}
	// Tensors are half a megabyte each: on the connection of detections they
	// would stand in their way.
	if b.tensors, err = b.connect(ctx, cfg, "tensors",
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { b.disconnected("tensors", err); b.tensorsAway.reset() }),
	); err != nil {
		return err
	}
	if b.control, err = b.connect(ctx, cfg, "control",
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { b.disconnected("control", err); b.controlAway.reset() }),
	); err != nil {
		return err
	}
	b.api = "$JS.API."
	if cfg.HasHub() {
		if err := b.reachHub(cfg); err != nil {
			return err
		}
	}
	if cfg.Domain == "" {
		b.js, err = jetstream.New(b.control)
		return err
	}
	b.api = "$JS." + cfg.Domain + ".API."
	b.js, err = jetstream.NewWithDomain(b.control, cfg.Domain)
	return err
}

func (b *Bus) disconnected(name string, err error) {
	if err != nil {
		b.counters.Disconnects.Add(1)
		b.log.Warn("bus connection lost; trying again", "connection", name, "error", err)
	}
}

func (b *Bus) reconnected(name string) {
	b.counters.Reconnects.Add(1)
	b.log.Info("bus connection is back", "connection", name)
}

// connect makes one connection that never gives up once it stood.
func (b *Bus) connect(ctx context.Context, cfg Config, name string, extra ...nats.Option) (*nats.Conn, error) {
	opts := append([]nats.Option{
		nats.Name("vedette " + name),
		nats.Timeout(connectTimeout),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // its keys may be put right
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 500*time.Millisecond),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { b.disconnected(name, err) }),
		nats.ReconnectHandler(func(*nats.Conn) { b.reconnected(name) }),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			switch {
			case errors.Is(err, nats.ErrSlowConsumer):
				b.counters.SlowConsumers.Add(1)
			case errors.Is(err, nats.ErrPermissionViolation):
				b.counters.Errors.Add(1)
				b.denials.note(b.log, name, err)
				return
			default:
				b.counters.Errors.Add(1)
			}
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			b.log.Warn("bus", "connection", name, "subject", subject, "error", err)
		}),
	}, extra...)
	if b.server != nil {
		login, err := b.server.login()
		if err != nil {
			return nil, err
		}
		return nats.Connect("", append(opts, nats.InProcessServer(b.server.server), nats.CustomInboxPrefix(Stage.Inbox()), login)...)
	}
	login, err := cfg.login()
	if err != nil {
		return nil, err
	}
	opts = append(opts, nats.CustomInboxPrefix(cfg.inbox()))
	// A server that accepts and says nothing must not hold up an interrupt.
	type result struct {
		nc  *nats.Conn
		err error
	}
	connected := make(chan result, 1)
	go func() {
		nc, err := nats.Connect(cfg.URL, append(opts, login...)...)
		connected <- result{nc, err}
	}()
	select {
	case r := <-connected:
		if r.err != nil {
			return nil, connectError(cfg.URL, r.err)
		}
		return r.nc, nil
	case <-ctx.Done():
		go func() {
			if r := <-connected; r.err == nil {
				r.nc.Close()
			}
		}()
		return nil, context.Cause(ctx)
	}
}

// connectError says what to check when a server cannot be used.
func connectError(rawURL string, err error) error {
	var urls []string
	for u := range strings.SplitSeq(rawURL, ",") {
		urls = append(urls, redactURL(u))
	}
	server := strings.Join(urls, ",")
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired):
		return &loginError{fmt.Sprintf("NATS server %s refused the login: check user, password, nkey or creds", server)}
	case errors.Is(err, nats.ErrNkeysNotSupported):
		return &loginError{fmt.Sprintf("NATS server %s knows no NKeys: log in without one", server)}
	case errors.Is(err, nats.ErrNoServers):
		return fmt.Errorf("NATS server %s cannot be reached: check the address and that it runs", server)
	}
	return fmt.Errorf("NATS server %s: %w", server, err)
}

// loginError is an [ErrLogin] with a sentence of its own.
type loginError struct{ text string }

func (e *loginError) Error() string        { return e.text }
func (e *loginError) Is(target error) bool { return target == ErrLogin }

// Subjects builds the subjects of this site.
func (b *Bus) Subjects() vedette.Subjects { return b.subjects }

// Counters of what went wrong so far.
func (b *Bus) Counters() *Counters { return &b.counters }

// Address is where other programs reach the embedded server; empty if they
// cannot.
func (b *Bus) Address() string {
	if b.server == nil {
		return b.control.ConnectedUrlRedacted()
	}
	return b.server.address()
}

// KeyFile is the file with a role's key for the embedded server; empty with an
// external one.
func (b *Bus) KeyFile(r Role) string {
	if b.server == nil {
		return ""
	}
	return KeyFile(b.server.store, r)
}

// Conn is the connection for control and detections, for what this package
// does not wrap (the micro services API, plain subscriptions).
func (b *Bus) Conn() *nats.Conn { return b.control }

// Close flushes and ends the connections and the embedded server. It is
// idempotent.
func (b *Bus) Close() error {
	var err error
	b.closing.Do(func() {
		if b.stopGathering != nil {
			b.stopGathering()
		}
		if b.pulls != nil {
			if last, lastErr := b.lastStored(context.Background()); lastErr == nil {
				err = b.pulls.closed(last)
			}
		}
		for _, nc := range []*nats.Conn{b.frames, b.tensors, b.control} {
			if nc == nil {
				continue
			}
			if nc.IsConnected() {
				_ = nc.FlushTimeout(flushTimeout) // what cannot be flushed is lost either way
			}
			nc.Close()
		}
		if b.server != nil {
			err = errors.Join(err, b.server.close())
		}
	})
	return err
}
