package decode

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ultralytics is the metadata that the Ultralytics exporter writes into an
// ONNX file.
type ultralytics struct {
	task          string
	names         []string // by class number
	stride        int
	width, height int  // 0 when not said
	end2end       bool // no suppression needed
}

// maxClasses bounds class numbers in metadata.
const maxClasses = 1 << 16

func parseUltralytics(meta map[string]string) (ultralytics, error) {
	u := ultralytics{task: meta["task"], end2end: meta["end2end"] == "True"}
	if s, ok := meta["stride"]; ok {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n < 1 {
			return u, fmt.Errorf("stride %q is not a positive number", s)
		}
		u.stride = n
	}
	if s, ok := meta["imgsz"]; ok {
		if _, err := fmt.Sscanf(s, "[%d, %d]", &u.height, &u.width); err != nil || u.width < 1 || u.height < 1 {
			return u, fmt.Errorf("imgsz %q is not [height, width]", s)
		}
	}
	if s, ok := meta["names"]; ok {
		names, err := parseNames(s)
		if err != nil {
			return u, fmt.Errorf("names: %w", err)
		}
		u.names = names
	}
	return u, nil
}

// parseNames reads the class names of Ultralytics metadata, a Python literal:
// a dict {0: 'person', 1: "driver's seat"} or a list ['a', 'b']. The numbers
// must be 0..n-1, in any order.
func parseNames(s string) ([]string, error) {
	p := pyScanner{s: s}
	var names map[int]string
	var err error
	switch {
	case p.accept('{'):
		names, err = p.dict()
	case p.accept('['):
		names, err = p.list()
	default:
		return nil, errors.New("neither a dict nor a list")
	}
	if err != nil {
		return nil, fmt.Errorf("at byte %d: %w", p.at, err)
	}
	if p.space(); p.at != len(s) {
		return nil, fmt.Errorf("at byte %d: text behind the end", p.at)
	}
	out := make([]string, len(names))
	for i := range out {
		name, ok := names[i]
		if !ok {
			return nil, fmt.Errorf("%d names but none for class %d", len(names), i)
		}
		out[i] = name
	}
	return out, nil
}

// pyScanner reads the little of Python's literal syntax that names need.
type pyScanner struct {
	s  string
	at int
}

func (p *pyScanner) space() {
	for p.at < len(p.s) && strings.IndexByte(" \t\r\n", p.s[p.at]) >= 0 {
		p.at++
	}
}

// accept skips white space and then c, if it is there.
func (p *pyScanner) accept(c byte) bool {
	p.space()
	if p.at < len(p.s) && p.s[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *pyScanner) dict() (map[int]string, error) {
	names := map[int]string{}
	for !p.accept('}') {
		if len(names) > 0 {
			if !p.accept(',') {
				return nil, errors.New("expected , or }")
			}
			if p.accept('}') {
				break
			}
		}
		id, err := p.number()
		if err != nil {
			return nil, err
		}
		if _, twice := names[id]; twice {
			return nil, fmt.Errorf("class %d twice", id)
		}
		if !p.accept(':') {
			return nil, errors.New("a colon is missing")
		}
		if names[id], err = p.str(); err != nil {
			return nil, err
		}
	}
	return names, nil
}

func (p *pyScanner) list() (map[int]string, error) {
	names := map[int]string{}
	for !p.accept(']') {
		if len(names) > 0 {
			if !p.accept(',') {
				return nil, errors.New("expected , or ]")
			}
			if p.accept(']') {
				break
			}
		}
		name, err := p.str()
		if err != nil {
			return nil, err
		}
		if len(names) >= maxClasses {
			return nil, fmt.Errorf("more than %d names", maxClasses)
		}
		names[len(names)] = name
	}
	return names, nil
}

func (p *pyScanner) number() (int, error) {
	p.space()
	start := p.at
	for p.at < len(p.s) && p.s[p.at] >= '0' && p.s[p.at] <= '9' {
		p.at++
	}
	n, err := strconv.Atoi(p.s[start:p.at])
	if err != nil || n >= maxClasses {
		return 0, fmt.Errorf("expected a class number below %d", maxClasses)
	}
	return n, nil
}

// str reads a string in single or double quotes with Python's escapes.
func (p *pyScanner) str() (string, error) {
	p.space()
	if p.at >= len(p.s) || (p.s[p.at] != '\'' && p.s[p.at] != '"') {
		return "", errors.New("expected a quoted name")
	}
	quote := p.s[p.at]
	p.at++
	var b strings.Builder
	for p.at < len(p.s) {
		c := p.s[p.at]
		p.at++
		switch c {
		case quote:
			if !utf8.ValidString(b.String()) {
				return "", errors.New("a name is not UTF-8")
			}
			return b.String(), nil
		case '\\':
			if err := p.escape(&b); err != nil {
				return "", err
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", errors.New("a name has no end")
}

// escape reads what follows a backslash.
func (p *pyScanner) escape(b *strings.Builder) error {
	if p.at >= len(p.s) {
		return errors.New("a name has no end")
	}
	c := p.s[p.at]
	p.at++
	digits := 0
	switch c {
	case '\\', '\'', '"':
		b.WriteByte(c)
	case 'n':
		b.WriteByte('\n')
	case 'r':
		b.WriteByte('\r')
	case 't':
		b.WriteByte('\t')
	case 'x':
		digits = 2
	case 'u':
		digits = 4
	case 'U':
		digits = 8
	default: // Python keeps the backslash of an escape it does not know
		b.WriteByte('\\')
		b.WriteByte(c)
	}
	if digits == 0 {
		return nil
	}
	if p.at+digits > len(p.s) {
		return errors.New("a name has no end")
	}
	r, err := strconv.ParseUint(p.s[p.at:p.at+digits], 16, 32)
	if err != nil || !utf8.ValidRune(rune(r)) {
		return fmt.Errorf("\\%c is not followed by a character's number", c)
	}
	p.at += digits
	b.WriteRune(rune(r))
	return nil
}
