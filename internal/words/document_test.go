package words_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/words"
)

var update = flag.Bool("update", false, "write docs/codes.md anew")

// TestTheDocumentHasTheWords: the page of codes is made of the table that the
// command line, the dashboard and the API take their words from.
func TestTheDocumentHasTheWords(t *testing.T) {
	const file = "../../docs/codes.md"
	want := document()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("docs/codes.md is not what the table says; go test ./internal/words -update writes it:\n%s", d)
	}
}

// document is docs/codes.md.
func document() string {
	var b strings.Builder
	b.WriteString(`# Codes

Every code that a state, a problem, a link or a warning may name, with its one sentence. The command line
(` + "`evergrant why`, `evergrant explain CODE`" + `), the dashboard and the API's problems say it in these words. This page is made of
the same table: ` + "`go test ./internal/words -update`" + `.
`)
	for _, part := range []struct {
		kind  words.Kind
		title string
	}{
		{words.Reason, "Reasons: why a connection is in its state"}, {words.Flag, "Flags: what a connection that works lacks"},
		{words.Problem, "Problems: what an answer of the API may be"}, {words.Link, "Links: what kept a merchant from finishing"},
		{words.Warning, "Warnings: beside a token, or in place of a refresh"},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n| code | who has to act | what it means | next |\n| --- | --- | --- | --- |\n", part.title)
		for _, e := range words.All() {
			if !slices.Contains(e.Kinds, part.kind) {
				continue
			}
			means := e.Means
			switch {
			case part.kind == words.Reason && e.Is != "":
				means = "The business " + e.Is + " " + means
			case part.kind == words.Problem:
				means = e.Title + ". " + means
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", e.Code, e.ActBy, cell(means), cell(e.Next))
		}
	}
	return b.String()
}

// cell makes a text fit for a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
