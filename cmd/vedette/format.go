package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/vedette-io/vedette"
)

// printer writes detections to stdout, one line each. It is safe for
// concurrent use.
type printer struct {
	mu    sync.Mutex
	w     *bufio.Writer
	jsonl bool
	lines uint64
}

func newPrinter(w io.Writer, format string) (*printer, error) {
	if err := oneOf("format", format, "text", "jsonl"); err != nil {
		return nil, err
	}
	return &printer{w: bufio.NewWriter(w), jsonl: format == "jsonl"}, nil
}

// print writes one detection. raw is its JSON as published, or nil.
func (p *printer) print(d *vedette.Detection, raw []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines++
	if p.jsonl {
		if raw == nil {
			var err error
			if raw, err = json.Marshal(d); err != nil {
				return err
			}
		}
		p.w.Write(raw)
		p.w.WriteByte('\n')
		return p.w.Flush()
	}
	p.w.WriteString(detectionLine(d))
	p.w.WriteByte('\n')
	// A line at a time: a reader of a pipe wants each result when it is known.
	return p.w.Flush()
}

// detectionLine is one detection for a person to read.
func detectionLine(d *vedette.Detection) string {
	var b strings.Builder
	where := d.Item
	if where == "" {
		where = fmt.Sprintf("%s %06d", d.Camera, d.Seq)
		if d.Clock == vedette.ClockFile {
			where += fmt.Sprintf(" %9.3fs", d.PTSMillis/1000)
		} else {
			where += " " + d.CaptureTime.Local().Format("15:04:05.000")
		}
	}
	fmt.Fprintf(&b, "%s ", where)
	switch {
	case d.Status != vedette.StatusOK:
		fmt.Fprintf(&b, " %s: %s", d.Status, d.Reason)
	case d.Classes != nil:
		for _, c := range *d.Classes {
			fmt.Fprintf(&b, " %s %.3f", c.Label, c.Score)
		}
	case d.Objects == nil || len(*d.Objects) == 0:
		b.WriteString(" -")
	default:
		for i, o := range *d.Objects {
			if i > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, " %s %.2f [%.0f %.0f %.0f %.0f]", o.Label, o.Score, o.Box[0], o.Box[1], o.Box[2], o.Box[3])
		}
	}
	return b.String()
}
