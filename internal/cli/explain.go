package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/evergrant/evergrant/internal/words"
)

type explainCmd struct {
	Code string `arg:"" optional:"" help:"Reason, flag, warning or problem code, like rotation_lost; all of them if there is none."`
}

// explanation is an entry as --json prints it.
type explanation struct {
	Code  string       `json:"code"`
	Kinds []words.Kind `json:"kinds"`
	Title string       `json:"title,omitempty"`
	Means string       `json:"means"`
	Cause string       `json:"cause,omitempty"`
	ActBy string       `json:"act_by"`
	Next  string       `json:"next"`
}

func explained(e words.Entry) explanation {
	return explanation{e.Code, e.Kinds, e.Title, e.Means, e.Cause, e.ActBy, e.Next}
}

// Run says what a code means, who has to act and what the next step is. It asks
// no server.
func (c *explainCmd) Run(s *session) error {
	if c.Code == "" {
		return s.explainAll()
	}
	// Codes are copied from everywhere, with the type of a problem around them too.
	code := strings.ToLower(strings.TrimPrefix(strings.TrimSpace(c.Code), "urn:evergrant:problem:"))
	code = strings.ReplaceAll(code, "-", "_")
	e, ok := words.Of(code)
	if !ok {
		return &failure{code: exitNotFound, err: fmt.Errorf("there is no code %s%s; next: evergrant explain", words.Printable(c.Code), meant(code))}
	}
	if s.root.JSON {
		return s.printValue(explained(e))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)\n", e.Code, kindsOf(e))
	words.Hang(&b, "  ", e.Means, "")
	rows := [][2]string{{"problem", e.Title}, {"probably", e.Cause}, {"act by", e.ActBy}, {"next", e.Next}}
	if e.Is != "" {
		rows = slices.Insert(rows, 0, [2]string{"why says", "It " + e.Is})
	}
	for _, row := range rows {
		if row[1] != "" {
			words.Hang(&b, fmt.Sprintf("  %-9s ", row[0]), row[1], "")
		}
	}
	_, err := fmt.Fprint(s.stdout, b.String())
	return err
}

// explainAll lists every code.
func (s *session) explainAll() error {
	var all []explanation
	var rows [][]string
	for _, e := range words.All() {
		all = append(all, explained(e))
		rows = append(rows, []string{e.Code, kindsOf(e), e.ActBy, e.Next})
	}
	if s.root.JSON {
		return s.printValue(map[string]any{"data": all})
	}
	return s.table([]string{"CODE", "IS A", "ACT BY", "NEXT"}, rows)
}

// kindsOf says where a code occurs.
func kindsOf(e words.Entry) string {
	names := make([]string, len(e.Kinds))
	for i, k := range e.Kinds {
		names[i] = string(k)
	}
	return strings.Join(names, ", ")
}

// meant suggests a code that contains what was asked for, or that it contains.
func meant(code string) string {
	for _, e := range words.All() {
		if len(code) > 2 && (strings.Contains(e.Code, code) || strings.Contains(code, e.Code) && len(e.Code) > 2) {
			return "; did you mean " + e.Code + "?"
		}
	}
	return ""
}
