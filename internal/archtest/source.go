package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
)

// The longest file and function body, in lines. Generated files may be longer.
const (
	MaxFileLines = 400
	MaxFuncLines = 80
)

// Source is what one file contributes to the check of its package.
type Source struct {
	// Problems are sentences that begin with file:line.
	Problems []string
	// Documented says that the package clause has a doc comment.
	Documented bool
}

// CheckSource checks one non-test file of the package importPath. src may be
// nil: then the file is read.
func CheckSource(importPath, file string, src []byte) Source {
	fset := token.NewFileSet()
	var content any
	if src != nil {
		content = src
	}
	tree, err := parser.ParseFile(fset, file, content, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return Source{Problems: []string{err.Error()}}
	}
	out := Source{Documented: tree.Doc != nil}
	report := func(at token.Pos, format string, args ...any) {
		p := fset.Position(at)
		out.Problems = append(out.Problems, fmt.Sprintf("%s:%d: %s", p.Filename, p.Line, fmt.Sprintf(format, args...)))
	}
	for _, spec := range tree.Imports {
		to, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			report(spec.Pos(), "import %s: %v", spec.Path.Value, err)
			continue
		}
		if why := WrongImport(importPath, to); why != "" {
			report(spec.Pos(), "%s must not import %s: %s", importPath, to, why)
		}
	}
	lines := fset.File(tree.FileStart).Position(tree.FileEnd).Line
	if lines > MaxFileLines && !ast.IsGenerated(tree) {
		report(tree.Package, "the file has %d lines, more than %d: split it by topic", lines, MaxFileLines)
	}
	for _, decl := range tree.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if f.Recv == nil && f.Name.Name == "init" {
			report(f.Pos(), "init functions are not used here: make it a call of the one who needs it")
		}
		if f.Body == nil {
			continue
		}
		body := fset.Position(f.Body.Rbrace).Line - fset.Position(f.Body.Lbrace).Line - 1
		if body > MaxFuncLines && !ast.IsGenerated(tree) {
			report(f.Pos(), "function %s has %d lines, more than %d", f.Name.Name, body, MaxFuncLines)
		}
	}
	return out
}
