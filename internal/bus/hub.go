package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vedette-io/vedette"
)

// DefaultHubDomain is the JetStream domain of a hub unless told otherwise.
const DefaultHubDomain = "hub"

// Hub is the plant's server, to which this host's server connects as a leaf
// node. What cannot wait for it stays on the host: frames, the spool, and
// detections, which the hub collects ([Bus.EnsureDetections]).
type Hub struct {
	// URL of its listener for leaf nodes ("nats-leaf://hub:7422", "tls://hub:7422",
	// several separated by commas; user:password@ works). Empty where [Config].URL
	// is that of a leaf node that connects by itself (docs/nats/host.conf).
	URL string
	// NKey (file with the seed) or Creds (file) log in there.
	NKey, Creds string
	// TLS files: CA, and Cert with Key for a client certificate.
	CA, Cert, Key string
	// Domain is its JetStream domain; empty: [DefaultHubDomain] with a URL, and no
	// hub without.
	Domain string
}

// HasHub reports whether this host's server is a leaf node of another.
func (c Config) HasHub() bool { return c.Hub.domain() != "" && c.Leafs == "" }

// domain is the hub's; empty: there is none.
func (h Hub) domain() string {
	if h.URL != "" {
		return cmp.Or(h.Domain, DefaultHubDomain)
	}
	return h.Domain
}

// Times of the connection between the servers.
const (
	// leafReconnect is how often a host's server tries to reach the hub.
	leafReconnect = time.Second
	// leafPing is how often the servers look whether the other one is still there:
	// a cable that was pulled is noticed after two of them.
	leafPing = 5 * time.Second
)

// check reports what is wrong with the configuration of a hub.
func (c Config) checkHub(bad func(format string, args ...any)) {
	h := c.Hub
	if h.NKey != "" && h.Creds != "" {
		bad("hub: give one of nkey and creds, not both")
	}
	if (h.Cert == "") != (h.Key == "") {
		bad("hub: a certificate needs both cert and key")
	}
	if h.URL == "" && (h.NKey+h.Creds+h.CA+h.Cert != "") {
		bad("hub: a login or certificate is for the hub's url, which is missing")
	}
	if h.URL != "" && c.URL == "" {
		if _, err := leafURLs(h.URL); err != nil {
			bad("%w", err)
		}
		if c.Store == "" {
			bad("hub: what waits for the hub is kept in the store: set bus.store")
		}
	}
	if d := h.domain(); d != "" && d == c.Host {
		bad("hub: its JetStream domain is %q, which is also the id of this host: give the host another id (--host)", d)
	}
	if c.Leafs == "" {
		return
	}
	switch {
	case c.URL != "":
		bad("leafs: only the server inside the program listens for leaf nodes: leave out url")
	case h.URL != "":
		bad("leafs: a hub's server is not itself a leaf node: give one of leafs and hub")
	case c.Listen == "":
		bad("leafs: a hub has clients, too: set listen")
	case c.Store == "":
		bad("leafs: leaf nodes log in with a key, and the keys are in the store: set bus.store")
	}
	if err := checkAddress("leafs", c.Leafs); err != nil {
		bad("%w", err)
	}
}

// leafURLs are the addresses of a hub.
func leafURLs(list string) (urls []*url.URL, err error) {
	for one := range strings.SplitSeq(list, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		switch {
		case err != nil, u.Hostname() == "", u.Path != "" && u.Path != "/":
			return nil, fmt.Errorf("hub: url %q: want nats-leaf://host:7422 or tls://host:7422", redactURL(one))
		case u.Scheme != "nats-leaf" && u.Scheme != "nats" && u.Scheme != "tls" && u.Scheme != "ws" && u.Scheme != "wss":
			return nil, fmt.Errorf("hub: url %q: want nats-leaf://, tls://, ws:// or wss://", redactURL(one))
		}
		if u.Port() == "" {
			u.Host += ":7422"
		}
		urls = append(urls, u)
	}
	return urls, nil
}

// remote is the connection of the embedded server to the hub: what goes over
// it, and how it logs in.
func (t table) remote(h Hub) (*server.RemoteLeafOpts, error) {
	urls, err := leafURLs(h.URL)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	r := &server.RemoteLeafOpts{
		URLs: urls, LocalAccount: t.account(), DenyExports: t.stays(), DenyImports: t.stays(),
		// What the hub says of itself may not be reachable from here.
		IgnoreDiscoveredServers: true,
	}
	if h.NKey != "" {
		pair, err := readKey(h.NKey)
		if err != nil {
			return nil, err
		}
		seed, err := pair.Seed()
		if err != nil {
			return nil, keyError(h.NKey, err)
		}
		r.Nkey = string(seed)
	}
	if h.Creds != "" {
		if err := readable("creds", h.Creds); err != nil {
			return nil, err
		}
		r.Credentials = h.Creds
	}
	tls := strings.HasPrefix(h.URL, "tls://") || strings.HasPrefix(h.URL, "wss://")
	if h.CA == "" && h.Cert == "" {
		r.TLS = tls
		return r, nil
	}
	if err := errors.Join(readable("ca", h.CA), readable("cert", h.Cert), readable("key", h.Key)); err != nil {
		return nil, err
	}
	r.TLS = true
	r.TLSConfig, err = server.GenTLSConfig(&server.TLSConfigOpts{CertFile: h.Cert, KeyFile: h.Key, CaFile: h.CA})
	if err != nil {
		return nil, fmt.Errorf("%w: hub: certificate %s, authority %s: %w", ErrConfig, h.Cert, h.CA, err)
	}
	r.TLSConfig.RootCAs, r.TLSConfig.ClientCAs = r.TLSConfig.ClientCAs, nil // as whoever connects has it
	r.TLSTimeout = connectTimeout.Seconds()
	return r, nil
}

// stays is what does not leave a host whose server is a leaf node: references to
// pictures in its memory, what is on its disk, and what is on its way there.
func (t table) stays() []string {
	return []string{t.s.Frame("*", ">"), t.s.Work("*", "*", "*"), t.s.StoreDetection("*", "*")}
}

// plant is the JetStream of what the whole plant shares: models, configuration,
// who has which camera. It is the hub's, where there is one.
func (b *Bus) plant() jetstream.JetStream {
	if b.hub != nil {
		return b.hub.js
	}
	return b.js
}

// hubSide is how a host's stages reach the hub, over the leaf node.
type hubSide struct {
	domain string
	api    string // what questions to it begin with
	js     jetstream.JetStream
	pull   string // at which it asks this host's server; empty: by its domain
	served bool   // another process of this host, its server, looks after that
}

func (b *Bus) reachHub(cfg Config) error {
	domain := cfg.Hub.domain()
	js, err := jetstream.NewWithDomain(b.control, domain)
	if err != nil {
		return err
	}
	b.hub = &hubSide{domain: domain, api: "$JS." + domain + ".API.", js: js, served: cfg.URL != "" && cfg.Hub.URL != ""}
	return nil
}

// Domain is the JetStream domain of the server that this host's stages store
// with; empty: it has none.
func (b *Bus) Domain(ctx context.Context) (string, error) {
	info, err := b.js.AccountInfo(ctx)
	if err != nil {
		return "", storeError(err)
	}
	return info.Domain, nil
}

// serverName tells the embedded servers of a plant apart: a hub takes one leaf
// node of each name.
func (c Config) serverName() string {
	if c.Hub.URL == "" || c.Host == "" {
		return "vedette"
	}
	return "vedette-" + c.Host
}

// host is the id of this host, which is the JetStream domain of its server where
// that is a leaf node.
func (c Config) host() (string, error) {
	if err := vedette.CheckID(c.Host); err != nil {
		return "", fmt.Errorf("%w: hub: the id of this host is the name of its JetStream domain: %w", ErrConfig, err)
	}
	return c.Host, nil
}
