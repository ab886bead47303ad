package bus

import (
	"cmp"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// serverLog passes the embedded server's warnings on, and notices the two
// things that it only ever logs: that it cannot start, and that a stream is no
// longer written.
type serverLog struct {
	log    *slog.Logger
	fatal  chan string   // the first reason
	frozen chan struct{} // at least one stream since it was last read
	// solicits says that the server connects to a hub.
	solicits bool

	mu   sync.Mutex
	said map[string]refusals // by what was refused
	leaf leafTrouble         // with the hub
}

// refusals are logins and messages that the server did not take. Whoever can
// reach it can cause as many as there is time for, so that a second has a line.
type refusals struct {
	last   time.Time
	unsaid int
}

func newServerLog(log *slog.Logger) *serverLog {
	return &serverLog{log: log, fatal: make(chan string, 1), frozen: make(chan struct{}, 1), said: map[string]refusals{}}
}

// Noticef implements [server.Logger]. What goes well is not worth a line.
func (*serverLog) Noticef(string, ...any) {}

// Debugf implements [server.Logger].
func (*serverLog) Debugf(string, ...any) {}

// Tracef implements [server.Logger].
func (*serverLog) Tracef(string, ...any) {}

// Warnf implements [server.Logger].
func (l *serverLog) Warnf(format string, v ...any) {
	l.log.Warn("embedded NATS server", "message", fmt.Sprintf(format, v...))
}

// Errorf implements [server.Logger].
func (l *serverLog) Errorf(format string, v ...any) {
	message := fmt.Sprintf(format, v...)
	if strings.Contains(strings.ToLower(message), "critical write error") {
		select {
		case l.frozen <- struct{}{}:
		default:
		}
	}
	// One line per refused message would fill what is left of the disk.
	if strings.HasPrefix(format, "JetStream failed to store a msg") {
		l.log.Debug("embedded NATS server", "message", message)
		return
	}
	if l.solicits && (strings.Contains(strings.ToLower(message), "leafnode") || strings.Contains(message, " - lid:")) && l.troubled(message) {
		return
	}
	for _, kind := range []string{"Violation - ", "authentication error", "TLS handshake error"} {
		if strings.Contains(message, kind) {
			l.refused(kind, message)
			return
		}
	}
	l.log.Error("embedded NATS server", "message", message)
}

func (l *serverLog) refused(kind, message string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.said[kind]
	if time.Since(r.last) < time.Second {
		r.unsaid++
	} else {
		l.log.Warn("bus: refused", "message", message, "more_before", r.unsaid)
		r = refusals{last: time.Now()}
	}
	l.said[kind] = r
}

// leafTrouble is what keeps this server from its hub.
type leafTrouble struct {
	at  time.Time
	why string
}

// troubled keeps what the server says of a connection to the hub that failed, for
// who tells of the hub; false: it is about something else.
func (l *serverLog) troubled(message string) bool {
	why := ""
	switch {
	case strings.Contains(message, "Authorization Violation"), strings.Contains(message, "Authentication Timeout"):
		why = "it refuses the login: check bus.hub.nkey, creds or the user in its url"
	case strings.Contains(message, "Duplicate Remote LeafNode"):
		why = "it has a leaf node of this name already: give each host an id of its own (--host)"
	case strings.Contains(message, "Error trying to connect as leafnode"):
		_, reason, _ := strings.Cut(message, "): ")
		why = "it cannot be reached: " + reason
	case strings.Contains(message, server.ErrConnectedToWrongPort.Error()):
		why = "at that address it does not take leaf nodes: its listener for them is another one (7422 unless it says otherwise)"
	case strings.Contains(message, server.ErrLeafNodeMinVersionRejected.Error()):
		why = "it wants a newer NATS server here: update vedette on this host"
	case strings.Contains(message, "TLS"), strings.Contains(message, "tls: "), strings.Contains(message, "x509: "):
		_, reason, _ := strings.Cut(message, "error: ")
		why = "no TLS with it: " + cmp.Or(reason, message)
	default:
		return false
	}
	l.mu.Lock()
	l.leaf = leafTrouble{time.Now(), why}
	l.mu.Unlock()
	l.log.Debug("embedded NATS server", "message", message)
	return true
}

// whyAway is what kept the server from its hub since a time; empty: nothing did,
// or it did not say.
func (l *serverLog) whyAway(since time.Time) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leaf.at.Before(since) {
		return ""
	}
	return l.leaf.why
}

// Fatalf implements [server.Logger]. Unlike the server's own, it does not end
// the process.
func (l *serverLog) Fatalf(format string, v ...any) {
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
	}
}
