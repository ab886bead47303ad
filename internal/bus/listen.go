package bus

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"

	"github.com/vedette-io/vedette"
)

// options are those of the embedded server: its store, its users, and where it
// listens.
func (e *embedded) options(cfg Config, log *slog.Logger) (*server.Options, error) {
	t := table{vedette.Subjects{Prefix: cfg.Prefix}}
	if err := e.adopt(t.account()); err != nil {
		return nil, err
	}
	var err error
	if e.keys, err = makeKeys(filepath.Join(e.store, keysFolder)); err != nil {
		return nil, err
	}
	public, err := publicKeys(e.keys)
	if err != nil {
		return nil, err
	}
	opts := &server.Options{
		ServerName: cfg.serverName(), NoSigs: true,
		JetStream: true, StoreDir: e.store, JetStreamMaxStore: cmp.Or(cfg.MaxStore, noBound),
		MaxPayload: maxPayload, MaxPending: 64 << 20,
		DisableJetStreamBanner: true, AuthTimeout: connectTimeout.Seconds(),
	}
	cfg.syncOptions(opts)
	if err := opts.ProcessConfigString(Accounts(cfg.Prefix, func(r Role) string { return public[r] })); err != nil {
		return nil, fmt.Errorf("embedded NATS server: its accounts: %w", err)
	}
	if err := leafOptions(opts, cfg, t); err != nil {
		return nil, err
	}
	if cfg.Listen == "" {
		opts.DontListen = true
		return opts, nil
	}
	ip, port, err := freeAddress("listen", cfg.Listen)
	if err != nil {
		return nil, err
	}
	opts.Host, opts.Port = ip.String(), port
	if err := tlsOptions(opts, cfg); err != nil {
		return nil, err
	}
	switch {
	case ip.IsLoopback():
		// Who is on this machine may subscribe without a key.
		opts.NoAuthUser = public[Subscriber]
	case cfg.Cert == "":
		log.Warn("the bus can be reached from other machines without TLS: logins are safe, but whoever is on the network can read and change what is sent; give bus.cert and bus.key", "listen", cfg.Listen)
	}
	return opts, nil
}

// leafOptions make the server a leaf node of a hub, or a hub.
func leafOptions(opts *server.Options, cfg Config, t table) error {
	if cfg.Hub.URL != "" {
		var err error
		if opts.JetStreamDomain, err = cfg.host(); err != nil {
			return err
		}
		remote, err := t.remote(cfg.Hub)
		if err != nil {
			return err
		}
		opts.LeafNode.Remotes, opts.LeafNode.ReconnectInterval = []*server.RemoteLeafOpts{remote}, leafReconnect
		opts.PingInterval = leafPing
		// Each failure is told, to who asks how it stands with the hub.
		opts.ConnectErrorReports, opts.ReconnectErrorReports = 1, 1
	}
	if cfg.Leafs == "" {
		return nil
	}
	ip, port, err := freeAddress("leafs", cfg.Leafs)
	if err != nil {
		return err
	}
	opts.LeafNode.Host, opts.LeafNode.Port = ip.String(), port
	opts.JetStreamDomain, opts.PingInterval = cmp.Or(cfg.Hub.Domain, DefaultHubDomain), leafPing
	if cfg.Cert == "" {
		return nil
	}
	tls := new(server.Options)
	if err := tlsOptions(tls, cfg); err != nil {
		return err
	}
	opts.LeafNode.TLSConfig, opts.LeafNode.TLSTimeout = tls.TLSConfig, tls.TLSTimeout
	return nil
}

// freeAddress takes an address apart, and checks first that it is free, for a
// message that says what to do.
func freeAddress(key, addr string) (net.IP, int, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		if errors.Is(err, unix.EADDRINUSE) {
			return nil, 0, fmt.Errorf("%w: %s %s: the port is in use: stop what uses it (another vedette?) or choose another with bus.%s", ErrConfig, key, addr, key)
		}
		return nil, 0, fmt.Errorf("%w: %s %s: %w", ErrConfig, key, addr, err)
	}
	actual := l.Addr().(*net.TCPAddr)
	if err := l.Close(); err != nil {
		return nil, 0, err
	}
	if _, port, _ := net.SplitHostPort(addr); port == "0" {
		return actual.IP, server.RANDOM_PORT, nil // the one just tried may be taken by now
	}
	return actual.IP, actual.Port, nil
}

// tlsOptions give the server its certificate. With a certificate authority, a
// client has to show a certificate that it signed, besides its key.
func tlsOptions(opts *server.Options, cfg Config) error {
	if cfg.Cert == "" {
		return nil
	}
	for _, f := range []struct{ what, path string }{{"cert", cfg.Cert}, {"key", cfg.Key}, {"ca", cfg.CA}} {
		if err := readable(f.what, f.path); err != nil {
			return err
		}
	}
	tls, err := server.GenTLSConfig(&server.TLSConfigOpts{
		CertFile: cfg.Cert, KeyFile: cfg.Key, CaFile: cfg.CA, Verify: cfg.CA != "",
	})
	if err != nil {
		return fmt.Errorf("%w: the server's certificate %s, %s: %w", ErrConfig, cfg.Cert, cfg.Key, err)
	}
	opts.TLSConfig, opts.TLS, opts.TLSVerify, opts.TLSTimeout = tls, true, cfg.CA != "", connectTimeout.Seconds()
	return nil
}

// address is where clients on this machine connect, or empty.
func (e *embedded) address() string {
	a, ok := e.server.Addr().(*net.TCPAddr)
	if !ok || a == nil {
		return ""
	}
	if a.IP.IsUnspecified() {
		return fmt.Sprintf("nats://127.0.0.1:%d", a.Port)
	}
	return "nats://" + a.String()
}

// login is that of the pipeline itself.
func (e *embedded) login() (nats.Option, error) {
	pair := e.keys[Stage]
	public, err := pair.PublicKey()
	if err != nil {
		return nil, err
	}
	return nats.Nkey(public, pair.Sign), nil
}
