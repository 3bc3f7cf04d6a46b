package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/why"
)

type whyCmd struct {
	Ref string `arg:"" help:"Connection, like biz_42@k-series."`
}

// Run tells a connection's story. It exits with 5 if the merchant must act.
func (c *whyCmd) Run(s *session) error {
	r, err := s.remoteFor(c.Ref)
	if err != nil {
		return err
	}
	conn, err := r.Connection(s.ctx, evergrant.Ref(c.Ref))
	if err != nil {
		return r.failedRef(c.Ref, err)
	}
	raw := r.answers.last
	if s.root.JSON {
		var told []byte
		// Its times are in UTC, like every other time in JSON.
		if told, err = withStory(raw, why.Read(s.ctx, r.Client, conn, time.UTC).Story()); err == nil {
			err = s.printJSON(told)
		}
	} else {
		_, err = fmt.Fprint(s.stdout, why.Read(s.ctx, r.Client, conn, time.Local).Text())
	}
	if err != nil {
		return err
	}
	if conn.ActBy == "merchant" {
		return exit(exitReauthorize)
	}
	return nil
}

// withStory adds the story to the API's answer about a connection.
func withStory(answer []byte, story []why.Chapter) ([]byte, error) {
	head, ok := bytes.CutSuffix(bytes.TrimSpace(answer), []byte("}"))
	if !ok {
		return nil, fmt.Errorf("print JSON: the server's answer is not an object")
	}
	if story == nil {
		story = []why.Chapter{}
	}
	told, err := json.Marshal(story)
	if err != nil {
		return nil, fmt.Errorf("print JSON: %w", err)
	}
	return slices.Concat(head, []byte(`,"story":`), told, []byte("}")), nil
}
