package configs

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/vedette-io/vedette"
)

func (v validator) bus(b Bus) {
	unknown := v.failed("bus.url") // asked now: a problem of "bus" counts for all below it
	if !v.failed("bus.prefix") && vedette.CheckPrefix(b.Prefix) != nil {
		v.bad("bus.prefix", "must be an id of a-z, 0-9, _ and -, or several joined by dots%s", v.got("bus.prefix"))
	}
	v.size("bus.max_store", b.MaxStore, 1<<20)
	v.size("bus.spool", b.Spool, 16<<20)
	v.whole("bus.jpeg", b.JPEG, 0, 100)
	if (b.Cert == "") != (b.Key == "") {
		v.bad("bus.cert", "a certificate needs both bus.cert and bus.key")
	}
	if !v.failed("bus.sync") && (b.Sync < 0 || b.Sync > Sync(10*time.Minute)) {
		v.bad("bus.sync", "must be always, or up to 10m%s", v.got("bus.sync"))
	}
	if b.Domain != "" && !v.failed("bus.domain") && !domains.MatchString(b.Domain) {
		v.bad("bus.domain", "must be letters, digits, _ and -%s", v.got("bus.domain"))
	}
	if b.Inbox != "" && !v.failed("bus.inbox") && !inboxes.MatchString(b.Inbox) {
		v.bad("bus.inbox", "must be words of letters, digits, _ and -, joined by dots%s", v.got("bus.inbox"))
	}
	if b.Password != "" && b.User == "" && !v.failed("bus.user") {
		v.bad("bus.password", "needs bus.user")
	}
	logins := 0
	for _, given := range []string{b.User, b.NKey, b.Creds} {
		if given != "" {
			logins++
		}
	}
	if logins > 1 {
		v.bad("bus", "give one of user, nkey and creds, not several")
	}
	v.hub(b)
	v.leafs(b)
	if unknown {
		return
	}
	if b.URL == "" {
		v.embedded(b, logins > 0)
		return
	}
	for one := range strings.SplitSeq(b.URL, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || u.Hostname() == "" || (u.Scheme != "nats" && u.Scheme != "tls" && u.Scheme != "ws" && u.Scheme != "wss") {
			v.bad("bus.url", "must be like nats://host:4222 or tls://host:4222, several separated by commas")
		}
	}
}

// hub checks what is said of the plant's server.
func (v validator) hub(b Bus) {
	h, unknown := b.Hub, v.failed("bus.url")
	if h.URL != "" && !v.failed("bus.hub.url") {
		for one := range strings.SplitSeq(h.URL, ",") {
			u, err := url.Parse(strings.TrimSpace(one))
			if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats-leaf", "nats", "tls", "ws", "wss"}, u.Scheme) {
				v.bad("bus.hub.url", "must be like nats-leaf://host:7422 or tls://host:7422, several separated by commas")
				break
			}
		}
	}
	if h.Domain != "" && !v.failed("bus.hub.domain") && !domains.MatchString(h.Domain) {
		v.bad("bus.hub.domain", "must be letters, digits, _ and -%s", v.got("bus.hub.domain"))
	}
	if h.NKey != "" && h.Creds != "" {
		v.bad("bus.hub", "give one of nkey and creds, not both")
	}
	if (h.Cert == "") != (h.Key == "") {
		v.bad("bus.hub.cert", "a certificate needs both bus.hub.cert and bus.hub.key")
	}
	if h.URL == "" && h.NKey+h.Creds+h.CA+h.Cert != "" && !v.failed("bus.hub.url") {
		v.bad("bus.hub", "nkey, creds, ca, cert and key are for its url: set bus.hub.url")
	}
	if unknown {
		return
	}
	switch {
	case b.URL != "" && h.URL != "":
		v.bad("bus.hub.url", "is for the server inside the program; the one of bus.url connects to the hub by itself: give bus.hub.domain alone")
	case b.URL == "" && h.URL == "" && h.Domain != "" && b.Leafs == "":
		v.bad("bus.hub.domain", "needs bus.hub.url, or a server at bus.url that is a leaf node of the hub")
	case h.URL != "" && b.Store == "":
		v.bad("bus.store", "must be a folder where there is a hub: what waits for the hub is in there")
	}
}

// leafs checks what is said of the server inside the program as a hub.
func (v validator) leafs(b Bus) {
	v.address("bus.leafs", b.Leafs)
	switch {
	case b.Leafs == "", v.failed("bus.url"), v.failed("bus.leafs"):
	case b.URL != "":
		v.bad("bus.leafs", "is for the server inside the program: leave out bus.url")
	case b.Hub.URL != "":
		v.bad("bus.leafs", "makes this server a hub, and bus.hub.url makes it a leaf node: give one of them")
	case b.Store == "" || b.Listen == "":
		v.bad("bus.leafs", "needs bus.store, which has the keys that leaf nodes log in with, and bus.listen, for everybody else")
	}
}

var domains = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

var inboxes = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

// embedded checks what is for the server inside the program alone.
func (v validator) embedded(b Bus, login bool) {
	v.address("bus.listen", b.Listen)
	if login || b.Inbox+b.Domain != "" {
		v.bad("bus", "user, nkey, creds, inbox and domain are for an external server: set bus.url")
	}
	if b.CA != "" && b.Cert == "" {
		v.bad("bus.ca", "asks clients for a certificate, which needs that of the server, too: bus.cert and bus.key")
	}
	host, _, err := net.SplitHostPort(b.Listen)
	if err == nil && b.Store == "" && host != "localhost" && !net.ParseIP(host).IsLoopback() {
		v.bad("bus.store", "must be a folder when bus.listen is not on loopback: everybody needs a key then, and the keys are in there")
	}
}
