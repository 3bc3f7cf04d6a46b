package client

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"

	"github.com/evergrant/evergrant"
)

// Imported is what became of one line of an import.
type Imported struct {
	Line   int    `json:"line"` // counted from 1
	Ref    string `json:"ref"`
	Status string `json:"status"` // created, updated or failed
	Error  string `json:"error,omitempty"`
}

// maxLine bounds one line of an import and of its answer.
const maxLine = 1 << 20

// Import makes or updates a connection of every line, each the JSON of a
// [NewConnection] of at most 1 MiB, and calls each with what became of it, in
// order and while more lines are read. An error of each ends the import. After
// any error the import may be made again, from the first line that was not
// answered or from the start: tokens that were adopted already are not adopted
// again.
func (c *Client) Import(ctx context.Context, lines io.Reader, each func(Imported) error) error {
	err := c.imports(ctx, lines, each)
	if c.keeper != nil && err != nil {
		c.keeper.dropAll() // lines that were not answered may have been about any connection
	}
	return err
}

// imports is Import, which drops the tokens of what was answered alone.
func (c *Client) imports(ctx context.Context, lines io.Reader, each func(Imported) error) error {
	r := request{op: "import", method: http.MethodPost, path: []string{"connections", "import"}}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // or the rest of the lines would be sent
	req, err := http.NewRequestWithContext(ctx, r.method, c.url(r), lines)
	if err != nil {
		return r.fail("invalid_request", err.Error(), evergrant.ErrInvalid)
	}
	c.sign(req)
	req.Header.Set("Content-Type", "application/x-ndjson")
	res, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(r, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		answer, err := io.ReadAll(io.LimitReader(res.Body, maxLine))
		if err != nil {
			return c.unreachable(r, err)
		}
		return c.problem(r, res, answer)
	}
	answers := bufio.NewScanner(res.Body)
	answers.Buffer(nil, 2*maxLine)
	for answers.Scan() {
		var a Imported
		if json.Unmarshal(answers.Bytes(), &a) != nil {
			return c.foreign(r, res)
		}
		if c.keeper != nil && a.Ref != "" {
			c.keeper.drop(evergrant.Ref(a.Ref), "") // it may have changed, even if it failed
		}
		if err := each(a); err != nil {
			return err
		}
	}
	if err := answers.Err(); err != nil {
		return c.unreachable(r, err)
	}
	return nil
}
