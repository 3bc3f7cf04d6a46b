package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
)

// mutant is one change that can be made.
type mutant struct {
	id     int // what the environment asks for it by; the first is 1
	file   string
	line   int
	column int
	what   string // "< becomes <="
	code   string // the line
}

// place is a line of a file.
type place struct {
	file string
	line int
}

// What becomes of operators.
var (
	opposite = map[token.Token]token.Token{token.EQL: token.NEQ, token.NEQ: token.EQL, token.LSS: token.GEQ, token.GEQ: token.LSS,
		token.GTR: token.LEQ, token.LEQ: token.GTR}
	neighbour = map[token.Token]token.Token{token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR}
	inverse   = map[token.Token]token.Token{token.ADD: token.SUB, token.SUB: token.ADD, token.MUL: token.QUO, token.QUO: token.MUL, token.REM: token.MUL}
	helperOf  = map[token.Token]string{token.ADD: "mutantAdd", token.SUB: "mutantSub", token.MUL: "mutantMul", token.QUO: "mutantQuo", token.REM: "mutantRem"}
)

// helper is the file that rewritten code needs. Operands are evaluated once and
// in order, as without it.
const helper = `package %s

import (
	mutantos "os"
	mutantstrconv "strconv"
)

type mutantInteger interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

type mutantNumber interface{ mutantInteger | ~float32 | ~float64 }

var mutantAsked, _ = mutantstrconv.Atoi(mutantos.Getenv("` + environment + `"))

func mutantIs(id int) bool { return id == mutantAsked }

func mutantOne(id int) int { if mutantIs(id) { return -1 }; return 1 }

func mutantAdd[T mutantNumber](id int, x, y T) T { if mutantIs(id) { return x - y }; return x + y }

func mutantSub[T mutantNumber](id int, x, y T) T { if mutantIs(id) { return x + y }; return x - y }

func mutantMul[T mutantNumber](id int, x, y T) T { if mutantIs(id) { return x / y }; return x * y }

func mutantQuo[T mutantNumber](id int, x, y T) T { if mutantIs(id) { return x * y }; return x / y }

func mutantRem[T mutantInteger](id int, x, y T) T { if mutantIs(id) { return x * y }; return x %% y }

func mutantNeg[T mutantNumber](id int, x T) T { if mutantIs(id) { return x }; return -x }
`

// environment is the variable that asks for a change.
const environment = "EVERGRANT_MUTANT"

// rewriter compiles every change of some files in.
type rewriter struct {
	spare   map[place]bool // lines that must stay as they are
	mutants []mutant
}

// file returns the source of a file with its changes in it, line for line.
func (r *rewriter) file(name string, src []byte) (string, error) {
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, name, src, 0)
	if err != nil {
		return "", err
	}
	f := &fileRewriter{rewriter: r, set: set, name: name, src: src, lines: strings.Split(string(src), "\n")}
	return string(src[:f.offset(parsed.Package)]) + f.text(parsed) + string(src[f.offset(parsed.End()):]), nil
}

type fileRewriter struct {
	*rewriter
	set   *token.FileSet
	name  string
	src   []byte
	lines []string
}

func (f *fileRewriter) offset(p token.Pos) int { return f.set.Position(p).Offset }

// mutable reports whether an operator may be changed.
func (f *fileRewriter) mutable(operator token.Pos) bool {
	return !f.spare[place{f.name, f.set.Position(operator).Line}]
}

// add takes in a change and returns its id.
func (f *fileRewriter) add(operator token.Pos, what string) int {
	at := f.set.Position(operator)
	id := len(f.mutants) + 1
	f.mutants = append(f.mutants, mutant{id, f.name, at.Line, at.Column, what, strings.TrimSpace(f.lines[at.Line-1])})
	return id
}

// edit replaces a part of the source.
type edit struct {
	from, to int
	with     string
}

// text returns the source of a node with the changes inside it.
func (f *fileRewriter) text(n ast.Node) string {
	if e, ok := n.(ast.Expr); ok {
		if s, ok := f.expression(e); ok {
			return s
		}
	}
	var edits []edit
	ast.Inspect(n, func(c ast.Node) bool {
		if c == nil || c == n {
			return true
		}
		switch c := c.(type) {
		case *ast.GenDecl:
			return c.Tok != token.CONST
		case *ast.ArrayType:
			return c.Len == nil
		case *ast.IncDecStmt:
			if f.mutable(c.TokPos) {
				edits = append(edits, f.count(c))
			}
			return false
		case ast.Expr:
			if s, ok := f.expression(c); ok {
				edits = append(edits, edit{f.offset(c.Pos()), f.offset(c.End()), s})
				return false
			}
		}
		return true
	})
	var out strings.Builder
	at := f.offset(n.Pos())
	for _, e := range edits {
		out.Write(f.src[at:e.from])
		out.WriteString(e.with)
		at = e.to
	}
	out.Write(f.src[at:f.offset(n.End())])
	return out.String()
}

// count has a count go the other way.
func (f *fileRewriter) count(c *ast.IncDecStmt) edit {
	sign, becomes := "+=", token.DEC
	if c.Tok == token.DEC {
		sign, becomes = "-=", token.INC
	}
	id := f.add(c.TokPos, fmt.Sprintf("%s becomes %s", c.Tok, becomes))
	return edit{f.offset(c.TokPos), f.offset(c.End()), fmt.Sprintf(" %s mutantOne(%d)", sign, id)}
}

// expression returns an expression that can be changed itself; ok is false for
// any other.
func (f *fileRewriter) expression(e ast.Expr) (s string, ok bool) {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		if !f.mutable(e.OpPos) {
			return "", false
		}
		if to, ok := opposite[e.Op]; ok {
			return f.comparison(e, to)
		}
		if to, ok := inverse[e.Op]; ok {
			id := f.add(e.OpPos, fmt.Sprintf("%s becomes %s", e.Op, to))
			return fmt.Sprintf("%s(%d, %s, %s)", helperOf[e.Op], id, f.text(e.X), f.text(e.Y)), true
		}
	case *ast.UnaryExpr:
		if e.Op == token.SUB && f.mutable(e.OpPos) {
			id := f.add(e.OpPos, "- is left out")
			return fmt.Sprintf("mutantNeg(%d, %s)", id, f.text(e.X)), true
		}
	}
	return "", false
}

// comparison spells out each form that a comparison can take. They are not
// function calls, because what is compared need not be of one type.
func (f *fileRewriter) comparison(e *ast.BinaryExpr, to token.Token) (string, bool) {
	if strings.ContainsAny(string(f.src[f.offset(e.Pos()):f.offset(e.End())]), "\n") {
		return "", false // repeated, its lines would move those below
	}
	forms := []struct {
		id int
		op token.Token
	}{{f.add(e.OpPos, fmt.Sprintf("%s becomes %s", e.Op, to)), to}}
	if to, ok := neighbour[e.Op]; ok {
		forms = append(forms, struct {
			id int
			op token.Token
		}{f.add(e.OpPos, fmt.Sprintf("%s becomes %s", e.Op, to)), to})
	}
	x, y := f.text(e.X), f.text(e.Y)
	var asked, none strings.Builder
	for _, form := range forms {
		fmt.Fprintf(&asked, "mutantIs(%d) && (%s %s %s) || ", form.id, x, form.op, y)
		fmt.Fprintf(&none, "!mutantIs(%d) && ", form.id)
	}
	return fmt.Sprintf("(%s%s(%s %s %s))", asked.String(), none.String(), x, e.Op, y), true
}
