// Package strictyaml reads YAML files into Go structs and reports everything
// that is wrong at once, each problem with its place in the file: unknown keys,
// keys given twice, values of the wrong type.
//
// Field names come from yaml tags; a field without one is not read. Besides
// structs, slices, maps with string keys, strings, booleans, integers and
// floats it knows types that implement [encoding.TextUnmarshaler], string types
// that list their values with [Enum], and interfaces, which take anything.
// Elements of lists start from what a SetDefaults method of theirs sets. It is the only package that
// imports the YAML library.
package strictyaml

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// The limits of a file; they bound what the parser can be made to do.
const (
	maxFile     = 1 << 20
	maxLine     = 1 << 14 // bytes in a line
	maxDepth    = 200
	maxNodes    = 1 << 18 // with aliases written out
	maxShown    = 50      // problems in an error's text
	maxProblems = 1000
)

// Enum is implemented by string types with a fixed set of values.
type Enum interface{ Values() []string }

// Problem is one thing that is wrong with a file. Line and Column count from
// 1 and are 0 when the problem has no place.
type Problem struct {
	File         string
	Line, Column int
	// Path is the key, as "cameras[2].detect[0].fps".
	Path string
	// Text says what is wrong and what is allowed.
	Text string
}

func (p Problem) Error() string {
	var parts []string
	if p.File != "" {
		at := p.File
		if p.Line > 0 {
			at += fmt.Sprintf(":%d:%d", p.Line, p.Column)
		}
		parts = append(parts, at)
	}
	if p.Path != "" {
		parts = append(parts, p.Path)
	}
	return strings.Join(append(parts, p.Text), ": ")
}

// Problems is everything that is wrong with a file, in the order of the file.
type Problems []Problem

func (p Problems) Error() string {
	var lines []string
	for i, one := range p {
		if i == maxShown {
			lines = append(lines, fmt.Sprintf("and %d more problems", len(p)-i))
			break
		}
		lines = append(lines, one.Error())
	}
	return strings.Join(lines, "\n")
}

// Doc is a file that was read: where its keys are and what else is wrong with
// it. The zero Doc is a file without keys, for values that come from nowhere.
type Doc struct {
	File     string
	problems Problems
	keys     map[string]place
	failed   map[string]bool // paths with problems
	broken   bool
}

// Broken reports whether the file could not be read as YAML at all, so that
// its only problem is that.
func (d *Doc) Broken() bool { return d.broken }

// Failed reports whether the value at path, or one around it, has a problem,
// so that what is in the struct may not come from it.
func (d *Doc) Failed(path string) bool {
	for path != "" {
		if d.failed[path] {
			return true
		}
		path = around(path)
	}
	return false
}

// around is the path of the value that holds the one at path.
func around(path string) string { return path[:max(strings.LastIndexAny(path, ".["), 0)] }

// record adds a problem; a hostile file does not get to pile them up.
func (d *Doc) record(p Problem) {
	p.File = d.File
	if len(d.problems) < maxProblems {
		d.problems = append(d.problems, p)
	}
	if p.Path != "" {
		if d.failed == nil {
			d.failed = map[string]bool{}
		}
		d.failed[p.Path] = true
	}
}

// place is a value in the file. raw is its text before expansion.
type place struct {
	line, column int
	raw          string
	scalar       bool
}

// Has reports whether the file gives the key at path a value.
func (d *Doc) Has(path string) bool {
	_, ok := d.keys[path]
	return ok
}

// Raw is the text of the value at path as the file has it, before expansion,
// so that an error can show it without showing a secret. ok is false when the
// value is not in the file or not a scalar.
func (d *Doc) Raw(path string) (raw string, ok bool) {
	p, ok := d.keys[path]
	return p.raw, ok && p.scalar
}

// Add records a problem with the value at path. A value that is not in the
// file is placed at the nearest key around it.
func (d *Doc) Add(path, format string, args ...any) {
	p := d.At(path)
	p.Text = fmt.Sprintf(format, args...)
	d.record(p)
}

// At is a problem with the value at path, without a text, which is not recorded.
func (d *Doc) At(path string) Problem {
	p := Problem{File: d.File, Path: path}
	for at := path; ; {
		if k, ok := d.keys[at]; ok {
			p.Line, p.Column = k.line, k.column
			break
		}
		if at == "" {
			break
		}
		at = around(at)
	}
	return p
}

// Err returns all problems as [Problems], or nil.
func (d *Doc) Err() error {
	if len(d.problems) == 0 {
		return nil
	}
	all := slices.Clone(d.problems)
	slices.SortStableFunc(all, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(all)
}

// Decode reads the one document in data over the struct to points to. Keys
// that are missing, or have no value, leave their fields as they are. expand,
// which may be nil, is applied to the text of every string value; its error
// becomes a problem. file is the name to use in problems. Decode never fails
// as a whole: ask [Doc.Err].
func Decode(file string, data []byte, to any, expand func(string) (string, error)) *Doc {
	d := &Doc{File: file, keys: map[string]place{}}
	root, err := parse(data)
	if err != nil {
		p := Problem{Text: err.Error()}
		var at yaml.Error
		if errors.As(err, &at) {
			p.Text = at.GetMessage()
			if t := at.GetToken(); t != nil && t.Position != nil {
				p.Line, p.Column = t.Position.Line, t.Position.Column
			}
		}
		d.record(p)
		d.broken = true
		return d
	}
	if root == nil {
		return d
	}
	b := binder{doc: d, expand: expand, anchors: map[string]ast.Node{}}
	b.bindRoot(root, to)
	return d
}

// parse returns the content of the only document; nil when it is empty.
func parse(data []byte) (root ast.Node, err error) {
	if err := checkSize(data); err != nil {
		return nil, err
	}
	defer func() {
		if r := recover(); r != nil { // a fault of the parser must not take the program down
			root, err = nil, fmt.Errorf("not YAML: the parser stumbled (%v)", r)
		}
	}()
	f, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, err
	}
	var docs []ast.Node
	for _, doc := range f.Docs {
		if doc.Body != nil {
			docs = append(docs, doc.Body)
		}
	}
	switch len(docs) {
	case 0:
		return nil, nil
	case 1:
		return docs[0], nil
	}
	return nil, errors.New("more than one YAML document in the file")
}

// checkSize refuses what would make the parser's recursion deep.
func checkSize(data []byte) error {
	if len(data) > maxFile {
		return fmt.Errorf("larger than %d MiB", maxFile>>20)
	}
	depth, line := 0, 0
	for i, c := range data {
		switch c {
		case '\n':
			line = 0
			continue
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(depth-1, 0)
		case 0:
			return fmt.Errorf("not a text file: byte %d is zero", i)
		}
		if line++; line > maxLine {
			return fmt.Errorf("a line is longer than %d bytes", maxLine)
		}
		if depth > maxDepth {
			return fmt.Errorf("brackets nested more than %d deep", maxDepth)
		}
	}
	return nil
}

func at(t *token.Token) (line, column int) {
	if t == nil || t.Position == nil {
		return 0, 0
	}
	return t.Position.Line, t.Position.Column
}

// Encode writes a value as YAML, by its yaml tags.
func Encode(v any) ([]byte, error) {
	return yaml.MarshalWithOptions(v, yaml.IndentSequence(true))
}

// Generic reads YAML without a struct, as encoding/json reads into an any.
func Generic(data []byte, to *any) error { return yaml.Unmarshal(data, to) }
