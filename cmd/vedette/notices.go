package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// notices is the log of a command that a person runs once and looks at: its
// records are lines like those of tell. The services keep the layout of slog,
// which tools read; JSON stays JSON in both.
type notices struct {
	w     io.Writer
	mu    *sync.Mutex // of w: a line is one write
	level slog.Level
	group string
	attrs []string
}

// notices is the logger of such a command.
func (g *globals) notices(w io.Writer) *slog.Logger {
	if g.logFormat == "json" {
		return g.log
	}
	return slog.New(&notices{w: w, mu: new(sync.Mutex), level: g.level})
}

func (n *notices) Enabled(_ context.Context, level slog.Level) bool { return level >= n.level }

func (n *notices) Handle(_ context.Context, r slog.Record) error {
	attrs := slices.Clone(n.attrs)
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, n.attr(a))
		return true
	})
	text := r.Message
	if len(attrs) > 0 {
		text += ": " + strings.Join(attrs, ", ")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	_, err := fmt.Fprintf(n.w, "%s vedette: %s\n", r.Time.Format(time.TimeOnly), text)
	return err
}

// attr is an attribute on one line, whatever is in it.
func (n *notices) attr(a slog.Attr) string {
	text := fmt.Sprint(a.Value.Resolve())
	if strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
		text = strconv.Quote(text)
	}
	return n.group + a.Key + " " + text
}

func (n *notices) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *n
	with.attrs = slices.Clone(n.attrs)
	for _, a := range attrs {
		with.attrs = append(with.attrs, n.attr(a))
	}
	return &with
}

func (n *notices) WithGroup(name string) slog.Handler {
	with := *n
	if name != "" {
		with.group += name + "."
	}
	return &with
}
