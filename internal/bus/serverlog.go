package bus

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// serverLog passes the embedded server's warnings on, and notices the two
// things that it only ever logs: that it cannot start, and that a stream is no
// longer written.
type serverLog struct {
	log    *slog.Logger
	fatal  chan string   // the first reason
	frozen chan struct{} // at least one stream since it was last read

	mu   sync.Mutex
	said map[string]refusals // by what was refused
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

// Fatalf implements [server.Logger]. Unlike the server's own, it does not end
// the process.
func (l *serverLog) Fatalf(format string, v ...any) {
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
	}
}
