package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/words"
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

func (f eventFilter) filter() client.EventFilter {
	return client.EventFilter{After: f.After, Types: f.Type, Ref: evergrant.Ref(f.Ref)}
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
	f := c.filter()
	err = list(s, r, c.Limit, []string{"TIME", "EVENT", "REF", "REASON", "DATA"},
		func(e client.Event) []string { return []string{moment(e.Time), e.Type, e.Ref, e.Reason, facts(e.Data)} },
		func(limit int, cursor string) (client.Page[client.Event], error) {
			f.Limit, f.Cursor = limit, cursor
			return r.Events(s.ctx, f)
		})
	return r.failedRef(c.Ref, err)
}

type eventTailCmd struct{ eventFilter }

// tailWait is how long one long poll waits, and tailPause how long tail waits
// after a server that went away.
const (
	tailWait  = 30 * time.Second
	tailPause = 2 * time.Second
)

// Run prints events until it is interrupted.
func (c *eventTailCmd) Run(s *session) error {
	r, err := s.remote()
	if err != nil {
		return err
	}
	return s.follow(r, c.filter(), "Waiting for events; Ctrl-C ends it.", s.printEvent)
}

// follow calls each with every event until the command is interrupted, from now
// on if the filter does not say after which. A server that restarts is waited
// for: the log is followed by id, so nothing is missed.
func (s *session) follow(r *remote, f client.EventFilter, greeting string, each func(client.Event, json.RawMessage) error) error {
	ref := string(f.Ref)
	if f.After == "" {
		newest, err := r.Events(s.ctx, client.EventFilter{NewestFirst: true, Limit: 1})
		if err != nil {
			return r.failedRef(ref, err)
		}
		for _, e := range newest.Data {
			f.After = e.ID
		}
	}
	s.say("%s", greeting)
	for gone := false; ; {
		f.Wait = tailWait
		p, err := r.Events(s.ctx, f)
		switch {
		case s.ctx.Err() != nil:
			return nil // that is how it ends
		case errors.Is(err, evergrant.ErrTemporary):
			if !gone {
				s.say("%v", r.failedRef(ref, err))
			}
			gone = true
			select {
			case <-s.ctx.Done():
			case <-time.After(tailPause):
			}
			continue
		case err != nil:
			return r.failedRef(ref, err)
		}
		gone = false
		var came client.Page[json.RawMessage]
		if err := json.Unmarshal(r.answers.last, &came); err != nil {
			return fmt.Errorf("read the server's answer: %w", err)
		}
		for i, e := range p.Data {
			f.After = e.ID
			if err := each(e, came.Data[i]); err != nil {
				return err
			}
		}
	}
}

// printEvent writes one event as a line.
func (s *session) printEvent(e client.Event, raw json.RawMessage) error {
	if s.root.JSON {
		_, err := fmt.Fprintf(s.stdout, "%s\n", raw)
		return err
	}
	_, err := fmt.Fprintf(s.stdout, "%s  %-34s %-28s %s  %s\n", moment(e.Time), words.Printable(e.Type), words.Printable(e.Ref),
		words.Printable(e.Reason), words.Printable(facts(e.Data)))
	return err
}

// moment writes a time to the second, for lines that sort.
func moment(t time.Time) string {
	if t.IsZero() {
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
