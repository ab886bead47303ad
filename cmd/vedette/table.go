package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// table is text in columns. The last one is broken into lines at ", " where a
// line would be wider than screenWidth.
type table struct {
	columns []column
	rows    [][]string
}

// column has a title; numbers stand on the right.
type column struct {
	title string
	right bool
}

// screenWidth is what fits on most screens.
const screenWidth = 100

// leastLast is the least width of the last column, whatever the others take.
const leastLast = 22

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) write(w io.Writer) error {
	widths := make([]int, len(t.columns))
	titles := make([]string, len(t.columns))
	for i, c := range t.columns {
		titles[i], widths[i] = c.title, utf8.RuneCountInString(c.title)
		for _, r := range t.rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(r[i]))
		}
	}
	last, before := len(widths)-1, 0
	for _, n := range widths[:last] {
		before += n + 2
	}
	room := max(screenWidth-before, leastLast)
	for _, r := range append([][]string{titles}, t.rows...) {
		lines := breakAt(r[last], room)
		for i, text := range lines {
			cells := r
			if i > 0 {
				cells = make([]string, len(r))
			}
			var b strings.Builder
			for j, n := range widths[:last] {
				b.WriteString(pad(cells[j], n, t.columns[j].right) + "  ")
			}
			if t.columns[last].right {
				text = pad(text, widths[last], true)
			}
			b.WriteString(text)
			if _, err := fmt.Fprintln(w, strings.TrimRight(b.String(), " ")); err != nil {
				return err
			}
		}
	}
	return nil
}

func pad(s string, width int, right bool) string {
	fill := strings.Repeat(" ", max(width-utf8.RuneCountInString(s), 0))
	if right {
		return fill + s
	}
	return s + fill
}

// breakAt breaks text behind commas into lines of at most room characters.
func breakAt(text string, room int) []string {
	var lines []string
	line := ""
	for i, part := range strings.Split(text, ", ") {
		switch {
		case i == 0:
			line = part
		case utf8.RuneCountInString(line)+2+utf8.RuneCountInString(part) <= room:
			line += ", " + part
		default:
			lines, line = append(lines, line+","), part
		}
	}
	return append(lines, line)
}
