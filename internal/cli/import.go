package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/words"
)

type connectionImportCmd struct {
	File string `arg:"" help:"NDJSON, each line like the body of POST /v1/connections; - is standard input."`
}

// progressEvery is after how many lines the import says how far it is.
const progressEvery = 10_000

// Run imports connections. What failed is told line by line; the rest is done.
func (c *connectionImportCmd) Run(s *session) error {
	lines := io.Reader(s.stdin)
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return fmt.Errorf("import: %w", err)
		}
		defer f.Close()
		lines = f
	}
	r, err := s.remote()
	if err != nil {
		return err
	}
	counts := map[string]int{}
	last := 0
	err = r.Import(s.ctx, lines, func(a client.Imported) error {
		counts[a.Status]++
		if last = a.Line; last%progressEvery == 0 && !s.root.JSON {
			fmt.Fprintf(s.stderr, "%d lines done, %d failed\n", last, counts["failed"])
		}
		if s.root.JSON {
			return json.NewEncoder(s.stdout).Encode(a)
		}
		if a.Status == "failed" {
			_, err := fmt.Fprintf(s.stdout, "line %d  %s  %s\n", a.Line, words.Printable(a.Ref), words.Printable(a.Error))
			return err
		}
		return nil
	})
	if err != nil {
		return r.failedRef("", fmt.Errorf("%w; %d lines were done, run it again to go on: what was imported is not imported again", err, last))
	}
	if !s.root.JSON {
		fmt.Fprintf(s.stderr, "%d created, %d updated, %d failed\n", counts["created"], counts["updated"], counts["failed"])
	}
	if counts["failed"] > 0 {
		return errors.New("not everything was imported; correct the lines above and run it again")
	}
	return nil
}
