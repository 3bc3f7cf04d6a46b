package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

type eventCmd struct {
	List eventListCmd `cmd:"" help:"List events, oldest first."`
	Tail eventTailCmd `cmd:"" help:"Print events as they happen."`
}

// eventFilter selects events.
type eventFilter struct {
	After string   `placeholder:"ID" help:"Only after this event."`
	Type  []string `placeholder:"TYPE" help:"Only of this type, or of a family like 'connection.*'; may be repeated."`
	Ref   string   `placeholder:"REF" help:"Only of this connection."`
}

func (f eventFilter) query() url.Values {
	q := url.Values{}
	if f.After != "" {
		q.Set("after", f.After)
	}
	if f.Ref != "" {
		q.Set("ref", f.Ref)
	}
	for _, t := range f.Type {
		q.Add("type", t)
	}
	return q
}

type eventListCmd struct {
	eventFilter
	Limit int `placeholder:"N" help:"At most so many."`
}

// Run lists events.
func (c *eventListCmd) Run(s *session) error {
	r, err := s.remote()
	if err != nil {
		return err
	}
	items, err := listAll(s.ctx, r, "/v1/events", c.query(), c.Limit)
	if err != nil {
		return about(c.Ref, err)
	}
	return printList(s, items, []string{"TIME", "EVENT", "REF", "REASON", "DATA"}, func(e event) []string {
		return []string{moment(e.Time), e.Type, text(e.Ref), text(e.Reason), facts(e.Data)}
	})
}

type eventTailCmd struct{ eventFilter }

// tailWait is how long one long poll waits, and tailPause how long tail waits
// after a server that went away.
const (
	tailWait  = "30s"
	tailPause = 2 * time.Second
)

// Run prints events until it is interrupted. A server that restarts is waited
// for: the log is followed by id, so nothing is missed.
func (c *eventTailCmd) Run(s *session) error {
	r, err := s.remote()
	if err != nil {
		return err
	}
	after := c.After
	if after == "" {
		if after, err = lastEvent(s, r); err != nil {
			return about(c.Ref, err)
		}
	}
	s.say("Waiting for events; Ctrl-C ends it.")
	for gone := false; ; {
		q := c.query()
		q.Set("wait", tailWait)
		if after != "" {
			q.Set("after", after)
		}
		p, _, err := fetch[page[json.RawMessage]](s.ctx, r, http.MethodGet, "/v1/events?"+q.Encode(), nil)
		var f *failure
		switch {
		case s.ctx.Err() != nil:
			return nil // that is how tail ends
		case errors.As(err, &f) && f.code == exitTemporary:
			if !gone {
				s.say("%v", err)
			}
			gone = true
			select {
			case <-s.ctx.Done():
			case <-time.After(tailPause):
			}
			continue
		case err != nil:
			return about(c.Ref, err)
		}
		gone = false
		for _, raw := range p.Data {
			if after, err = s.printEvent(raw); err != nil {
				return err
			}
		}
	}
}

// lastEvent returns the id of the newest event, "" if there is none.
func lastEvent(s *session, r *remote) (string, error) {
	p, _, err := fetch[page[event]](s.ctx, r, http.MethodGet, "/v1/events?order=desc&limit=1", nil)
	if err != nil || len(p.Data) == 0 {
		return "", err
	}
	return p.Data[0].ID, nil
}

// printEvent writes one event as a line and returns its id.
func (s *session) printEvent(raw json.RawMessage) (string, error) {
	var e event
	if err := json.Unmarshal(raw, &e); err != nil {
		return "", fmt.Errorf("read event: %w", err)
	}
	if s.root.JSON {
		_, err := fmt.Fprintf(s.stdout, "%s\n", raw)
		return e.ID, err
	}
	_, err := fmt.Fprintf(s.stdout, "%s  %-34s %-28s %s  %s\n", moment(e.Time), printable(e.Type), printable(text(e.Ref)),
		printable(text(e.Reason)), printable(facts(e.Data)))
	return e.ID, err
}

// moment writes a time to the second, for lines that sort.
func moment(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// facts writes an event's data as key=value.
func facts(data map[string]any) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(data)) {
		parts = append(parts, fmt.Sprintf("%s=%v", k, data[k]))
	}
	return strings.Join(parts, " ")
}
