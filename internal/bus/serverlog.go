package bus

import (
	"fmt"
	"log/slog"
	"strings"
)

// serverLog passes the embedded server's warnings on, and notices the two
// things that it only ever logs: that it cannot start, and that a stream is no
// longer written.
type serverLog struct {
	log    *slog.Logger
	fatal  chan string   // the first reason
	frozen chan struct{} // at least one stream since it was last read
}

func newServerLog(log *slog.Logger) *serverLog {
	return &serverLog{log: log, fatal: make(chan string, 1), frozen: make(chan struct{}, 1)}
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
	l.log.Error("embedded NATS server", "message", message)
}

// Fatalf implements [server.Logger]. Unlike the server's own, it does not end
// the process.
func (l *serverLog) Fatalf(format string, v ...any) {
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
	}
}
