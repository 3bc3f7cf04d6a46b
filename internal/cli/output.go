package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/evergrant/evergrant/internal/words"
)

// printJSON writes an answer of the API as it came, indented.
func (s *session) printJSON(b []byte) error {
	var out bytes.Buffer
	if err := json.Indent(&out, bytes.TrimSpace(b), "", "  "); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	out.WriteByte('\n')
	_, err := s.stdout.Write(out.Bytes())
	return err
}

// printValue writes a value of ours as JSON.
func (s *session) printValue(v any) error {
	e := json.NewEncoder(s.stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// table writes rows under a heading in columns.
func (s *session) table(heading []string, rows [][]string) error {
	w := tabwriter.NewWriter(s.stdout, 0, 4, 2, ' ', 0)
	for _, row := range append([][]string{heading}, rows...) {
		for i, cell := range row {
			if i > 0 {
				_, _ = io.WriteString(w, "\t")
			}
			_, _ = io.WriteString(w, words.Printable(cell))
		}
		_, _ = io.WriteString(w, "\n")
	}
	return w.Flush()
}

// when writes a moment for people.
func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2 Jan 2006 15:04 MST")
}

// printLine writes a value of ours as one line of JSON.
func (s *session) printLine(v any) error {
	e := json.NewEncoder(s.stdout)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
