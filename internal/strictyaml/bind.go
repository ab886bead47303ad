package strictyaml

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// binder writes a syntax tree into Go values.
type binder struct {
	doc     *Doc
	expand  func(string) (string, error)
	anchors map[string]ast.Node
	nodes   int
}

// bad records a problem at a node.
func (b *binder) bad(n ast.Node, path, format string, args ...any) {
	line, column := start(n)
	b.doc.record(Problem{Line: line, Column: column, Path: mask(path), Text: fmt.Sprintf(format, args...)})
}

// start is where a node begins; the token of a mapping is its first colon.
func start(n ast.Node) (line, column int) {
	if m, ok := n.(ast.MapNode); ok {
		if it := m.MapRange(); it.Next() {
			return at(it.Key().GetToken())
		}
	}
	return at(n.GetToken())
}

func (b *binder) bindRoot(root ast.Node, to any) {
	b.collect(root, 0)
	if b.nodes > maxNodes {
		b.bad(root, "", "more than %d values", maxNodes)
		b.doc.broken = true
		return
	}
	b.nodes = 0
	if _, ok := root.(ast.MapNode); !ok {
		b.doc.broken = true
	}
	b.bind(root, "", reflect.ValueOf(to).Elem(), 0)
}

// collect finds the anchors, which may be used only below their place.
func (b *binder) collect(n ast.Node, depth int) {
	if b.nodes++; n == nil || depth > maxDepth || b.nodes > maxNodes {
		return
	}
	switch n := n.(type) {
	case *ast.AnchorNode:
		b.anchors[n.Name.GetToken().Value] = n.Value
		b.collect(n.Value, depth+1)
	case *ast.TagNode:
		b.collect(n.Value, depth+1)
	case ast.MapNode:
		for it := n.MapRange(); it.Next(); {
			b.collect(it.Value(), depth+1)
		}
	case *ast.SequenceNode:
		for _, v := range n.Values {
			b.collect(v, depth+1)
		}
	}
}

// resolve follows anchors and aliases; nil when a problem was recorded.
func (b *binder) resolve(n ast.Node, path string) ast.Node {
	for range maxDepth {
		switch a := n.(type) {
		case *ast.AnchorNode:
			n = a.Value
		case *ast.AliasNode:
			to, ok := b.anchors[a.Value.GetToken().Value]
			if !ok {
				b.bad(n, path, "there is no anchor &%s", a.Value.GetToken().Value)
				return nil
			}
			n = to
		case *ast.TagNode:
			b.bad(n, path, "tags such as %s are not supported", a.GetToken().Value)
			return nil
		default:
			return n
		}
	}
	b.bad(n, path, "refers to itself")
	return nil
}

func (b *binder) bind(n ast.Node, path string, to reflect.Value, depth int) {
	if b.nodes++; b.nodes > maxNodes || depth > maxDepth {
		if b.nodes == maxNodes+1 || depth == maxDepth+1 {
			b.bad(n, path, "aliases make the file too large")
		}
		return
	}
	line, column := start(n)
	if n = b.resolve(n, path); n == nil {
		return
	}
	place := place{line: line, column: column}
	if s, ok := n.(ast.ScalarNode); ok {
		place.raw, place.scalar = text(s), true
	}
	if _, null := n.(*ast.NullNode); null {
		if kind := to.Kind(); kind != reflect.Slice && kind != reflect.Struct && kind != reflect.Map {
			b.bad(n, path, "has no value")
		}
		return
	}
	b.doc.keys[path] = place
	if u, ok := to.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if s, ok := b.scalar(n, path, "a value"); ok {
			if err := u.UnmarshalText([]byte(s)); err != nil {
				b.bad(n, path, "%v%s", err, b.got(n))
			}
		}
		return
	}
	switch to.Kind() {
	case reflect.Struct:
		b.structure(n, path, to, depth)
	case reflect.Slice:
		b.slice(n, path, to, depth)
	case reflect.Map:
		b.mapping(n, path, to, depth)
	case reflect.Interface: // anything: only that it is there counts
		to.Set(reflect.ValueOf(struct{}{}))
	case reflect.Pointer:
		v := reflect.New(to.Type().Elem())
		b.bind(n, path, v.Elem(), depth+1)
		to.Set(v)
	default:
		b.basic(n, path, to)
	}
}

// pair is one key of a mapping with merge keys (<<) written out.
type pair struct {
	name   string
	key    ast.Node
	value  ast.Node
	merged bool
}

func (b *binder) pairs(n ast.Node, path string, depth int) (ps []pair, ok bool) {
	m, ok := n.(ast.MapNode)
	if !ok {
		b.bad(n, path, "must have keys (key: value)%s", b.got(n))
		return nil, false
	}
	for it := m.MapRange(); it.Next(); {
		if b.nodes++; b.nodes > maxNodes {
			b.bad(n, path, "aliases make the file too large")
			return nil, false
		}
		key, value := it.Key(), it.Value()
		if key.IsMergeKey() {
			from := b.resolve(value, path)
			if from == nil || depth > maxDepth {
				continue
			}
			merged, ok := b.pairs(from, path, depth+1)
			for i := range merged {
				merged[i].merged = true
			}
			if ok {
				ps = append(ps, merged...)
			}
			continue
		}
		ps = append(ps, pair{name: key.GetToken().Value, key: key, value: value})
	}
	return b.override(ps, path), true
}

// override lets a mapping's own keys win over merged ones and reports keys
// that are there twice.
func (b *binder) override(ps []pair, path string) []pair {
	seen := map[string]int{}
	var out []pair
	for _, p := range ps {
		i, twice := seen[p.name]
		switch {
		case !twice:
			seen[p.name] = len(out)
			out = append(out, p)
		case out[i].merged:
			out[i] = p
		case !p.merged:
			line, _ := at(out[i].key.GetToken())
			b.bad(p.key, join(path, p.name), "is given twice, first in line %d", line)
		}
	}
	return out
}

func (b *binder) structure(n ast.Node, path string, to reflect.Value, depth int) {
	ps, ok := b.pairs(n, path, depth)
	if !ok {
		return
	}
	fields := fieldsOf(to.Type())
	for _, p := range ps {
		i := slices.IndexFunc(fields, func(f structField) bool { return f.name == p.name })
		if i < 0 {
			names := make([]string, len(fields))
			for i, f := range fields {
				names[i] = f.name
			}
			b.bad(p.key, join(path, p.name), "unknown key%s; allowed: %s", DidYouMean(p.name, names), strings.Join(names, ", "))
			continue
		}
		b.bind(p.value, join(path, p.name), to.Field(fields[i].index), depth+1)
	}
}

type structField struct {
	name  string
	index int
}

func fieldsOf(t reflect.Type) []structField {
	var fields []structField
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name != "" && name != "-" {
			fields = append(fields, structField{name, i})
		}
	}
	return fields
}

func (b *binder) mapping(n ast.Node, path string, to reflect.Value, depth int) {
	ps, ok := b.pairs(n, path, depth)
	if !ok {
		return
	}
	m := reflect.MakeMap(to.Type())
	for _, p := range ps {
		v := reflect.New(to.Type().Elem()).Elem()
		b.bind(p.value, join(path, p.name), v, depth+1)
		m.SetMapIndex(reflect.ValueOf(p.name), v)
	}
	to.Set(m)
}

func (b *binder) slice(n ast.Node, path string, to reflect.Value, depth int) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		b.bad(n, path, "must be a list%s", b.got(n))
		return
	}
	out := reflect.MakeSlice(to.Type(), 0, len(s.Values))
	for i, v := range s.Values {
		e := reflect.New(to.Type().Elem()).Elem()
		if d, ok := e.Addr().Interface().(interface{ SetDefaults() }); ok {
			d.SetDefaults()
		}
		b.bind(v, fmt.Sprintf("%s[%d]", path, i), e, depth+1)
		out = reflect.Append(out, e)
	}
	to.Set(out)
}

// text is a scalar as the file has it.
func text(n ast.ScalarNode) string {
	if l, ok := n.(*ast.LiteralNode); ok {
		return l.Value.Value
	}
	return n.GetToken().Value
}

// scalar returns the text of a scalar, expanded.
func (b *binder) scalar(n ast.Node, path, what string) (string, bool) {
	s, ok := n.(ast.ScalarNode)
	if !ok {
		b.bad(n, path, "must be %s%s", what, b.got(n))
		return "", false
	}
	if b.expand == nil {
		return text(s), true
	}
	v, err := b.expand(text(s))
	if err != nil {
		b.bad(n, path, "%v", err)
		return "", false
	}
	return v, true
}

func (b *binder) basic(n ast.Node, path string, to reflect.Value) {
	what := map[reflect.Kind]string{
		reflect.String: "text", reflect.Bool: "true or false", reflect.Int: "a whole number", reflect.Float64: "a number",
	}[to.Kind()]
	s, ok := b.scalar(n, path, what)
	if !ok {
		return
	}
	wrong := func() { b.bad(n, path, "must be %s%s", what, b.got(n)) }
	switch to.Kind() {
	case reflect.String:
		if e, ok := to.Interface().(Enum); ok && !slices.Contains(e.Values(), s) {
			b.bad(n, path, "must be %s%s%s", OneOf(e.Values()), b.got(n), DidYouMean(s, e.Values()))
			return
		}
		to.SetString(s)
	case reflect.Bool:
		if s != "true" && s != "false" {
			wrong()
			return
		}
		to.SetBool(s == "true")
	case reflect.Int:
		v, err := strconv.Atoi(s)
		if err != nil {
			wrong()
			return
		}
		to.SetInt(int64(v))
	case reflect.Float64:
		v, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			wrong()
			return
		}
		to.SetFloat(v)
	default:
		b.bad(n, path, "is of a type (%s) that cannot be read", to.Type()) // a fault of the struct, found by its first test
	}
}

// got describes a value in the words of the file, never the expanded text.
func (b *binder) got(n ast.Node) string {
	switch n := n.(type) {
	case ast.ScalarNode:
		return " (got " + Quote(text(n)) + ")"
	case *ast.SequenceNode:
		return " (got a list)"
	default:
		return " (got keys)"
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
