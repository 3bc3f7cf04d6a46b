package cli

import (
	"encoding/json"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/words"
)

type connectionExportCmd struct {
	App   string `placeholder:"NAME" help:"Only of this app."`
	State string `placeholder:"STATE" help:"Only in this state: pending, connected, degraded, needs_reauthorization, disconnected."`
}

// exported is a connection as import takes it. There is no token in it: they stay
// where they are sealed.
type exported struct {
	Ref               string            `json:"ref"`
	Name              string            `json:"name,omitempty"`
	Tags              map[string]string `json:"tags,omitempty"`
	RequiredLocations []string          `json:"required_locations,omitempty"`
}

// Run prints every connection as a line that import takes.
func (c *connectionExportCmd) Run(s *session) error {
	r, err := s.remote()
	if err != nil {
		return err
	}
	f := client.ConnectionFilter{App: c.App, Limit: mostPage}
	if c.State != "" {
		f.States = []string{c.State}
	}
	e, n := json.NewEncoder(s.stdout), 0
	e.SetEscapeHTML(false)
	for conn, err := range client.All(func(cursor string) (client.Page[client.Connection], error) {
		f.Cursor = cursor
		return r.Connections(s.ctx, f)
	}) {
		if err != nil {
			return r.failedRef("", err)
		}
		if err := e.Encode(exported{conn.Ref, conn.Name, conn.Tags, conn.RequiredLocations}); err != nil {
			return err
		}
		n++
	}
	if !s.root.JSON {
		s.say("%s; no tokens, which stay in the database.", words.Counted(n, "connection", "connections"))
	}
	return nil
}

type connectionEventsCmd struct {
	Ref   string   `arg:"" help:"Connection, like biz_42@k-series."`
	Type  []string `placeholder:"TYPE" help:"Only of this type, or of a family like 'grant.*'; may be repeated."`
	After string   `placeholder:"ID" help:"Only after this event."`
	Limit int      `placeholder:"N" help:"At most so many."`
}

// Run lists a connection's events, oldest first.
func (c *connectionEventsCmd) Run(s *session) error {
	r, err := s.remoteFor(c.Ref)
	if err != nil {
		return err
	}
	f := client.EventFilter{After: c.After, Types: c.Type}
	err = list(s, r, c.Limit, []string{"TIME", "EVENT", "REASON", "DATA"},
		func(e client.Event) []string { return []string{moment(e.Time), e.Type, e.Reason, facts(e.Data)} },
		func(limit int, cursor string) (client.Page[client.Event], error) {
			f.Limit, f.Cursor = limit, cursor
			return r.ConnectionEvents(s.ctx, evergrant.Ref(c.Ref), f)
		})
	return r.failedRef(c.Ref, err)
}
