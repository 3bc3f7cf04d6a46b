package store

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"github.com/evergrant/evergrant/internal/grant"
)

func TestEveryReasonIsKnown(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../grant/state.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "Reason" {
			return true
		}
		reason, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		found++
		if !slices.Contains(knownReasons, grant.Reason(reason)) {
			t.Errorf("knownReasons lacks %s", reason)
		}
		return true
	})
	if found == 0 || found != len(knownReasons) {
		t.Errorf("the domain has %d reasons, knownReasons %d", found, len(knownReasons))
	}
}
