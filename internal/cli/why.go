package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
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
	a := s.account(r, conn)
	if s.root.JSON {
		a.when = calendar{time.UTC} // like every other time in JSON
		var told []byte
		if told, err = withStory(raw, a.tell()); err == nil {
			err = s.printJSON(told)
		}
	} else {
		_, err = fmt.Fprint(s.stdout, a.text())
	}
	if err != nil {
		return err
	}
	if conn.ActBy == "merchant" {
		return exit(exitReauthorize)
	}
	return nil
}

// account is everything a connection's story is told from.
type account struct {
	conn client.Connection
	app  client.App // as it is now, if the key may see it
	// events are the connection's, and the incidents of its app, oldest first.
	events []client.Event
	// cut is set if the log holds older ones that were not read.
	cut  bool
	link *client.Link // the newest, nil if there is none
	now  time.Time
	when calendar
}

// How much of the log is read: every renewal of the week it is kept, and days of
// trouble.
const (
	whyPages     = 5
	whyIncidents = 200
)

// account gathers what is known. Events and links may be out of the key's reach;
// the story is told without them then.
func (s *session) account(r *remote, conn client.Connection) account {
	a := account{conn: conn, when: calendar{time.Local}}
	ref := evergrant.Ref(conn.Ref)
	f := client.EventFilter{NewestFirst: true, Limit: mostPage}
	for page := 0; ; page++ {
		events, err := r.ConnectionEvents(s.ctx, ref, f)
		if err != nil {
			break
		}
		a.events = append(a.events, events.Data...)
		if f.Cursor = events.NextCursor; f.Cursor == "" {
			break
		}
		if page+1 == whyPages {
			a.cut = true
			break
		}
	}
	incidents, err := r.Events(s.ctx, client.EventFilter{Types: []string{"app.*"}, NewestFirst: true, Limit: whyIncidents})
	if err == nil {
		for _, e := range incidents.Data {
			if e.App == conn.App && !e.Time.Before(conn.CreatedAt) {
				a.events = append(a.events, e)
			}
		}
	}
	if app, err := r.App(s.ctx, conn.App); err == nil {
		a.app = app
	}
	slices.SortStableFunc(a.events, func(x, y client.Event) int { return strings.Compare(x.ID, y.ID) })
	if links, err := r.Links(s.ctx, client.LinkFilter{Ref: ref, Limit: 1}); err == nil && len(links.Data) > 0 {
		a.link = &links.Data[0]
	}
	// The server's clock counts where it is ahead of ours, as in a demo whose clock
	// was advanced.
	a.now = time.Now()
	for _, at := range append(times(a.events), conn.Since) {
		if at.After(a.now) {
			a.now = at
		}
	}
	return a
}

func times(events []client.Event) []time.Time {
	out := make([]time.Time, len(events))
	for i, e := range events {
		out[i] = e.Time
	}
	return out
}

// withStory adds the story to the API's answer about a connection.
func withStory(answer []byte, story []chapter) ([]byte, error) {
	head, ok := bytes.CutSuffix(bytes.TrimSpace(answer), []byte("}"))
	if !ok {
		return nil, fmt.Errorf("print JSON: the server's answer is not an object")
	}
	if story == nil {
		story = []chapter{}
	}
	told, err := json.Marshal(story)
	if err != nil {
		return nil, fmt.Errorf("print JSON: %w", err)
	}
	return slices.Concat(head, []byte(`,"story":`), told, []byte("}")), nil
}
