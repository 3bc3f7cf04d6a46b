package client

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/evergrant/evergrant"
)

// EventFilter selects events; zero fields select all.
type EventFilter struct {
	After string   // id of the last event seen
	Types []string // types, or families such as connection.*
	Ref   evergrant.Ref
	// Wait is how long the server waits for an event if there is none, at most a
	// minute.
	Wait        time.Duration
	NewestFirst bool // instead of the order of the log
	Limit       int  // at most 1000; 0 means 100
	Cursor      string
}

func (f EventFilter) values() url.Values {
	q := paging(f.Limit, f.Cursor)
	set(q, "after", f.After)
	set(q, "type", strings.Join(f.Types, ","))
	set(q, "ref", string(f.Ref))
	if f.Wait > 0 {
		q.Set("wait", f.Wait.String())
	}
	if f.NewestFirst {
		q.Set("order", "desc")
	}
	return q
}

// Events lists the log. To follow it, pass the id of the last event as After,
// and a Wait.
func (c *Client) Events(ctx context.Context, f EventFilter) (Page[Event], error) {
	return answer[Page[Event]](ctx, c, request{op: "list events", ref: f.Ref, method: http.MethodGet, path: []string{"events"}, query: f.values()})
}

// ConnectionEvents lists the events of one connection; f.Ref does not count.
func (c *Client) ConnectionEvents(ctx context.Context, ref evergrant.Ref, f EventFilter) (Page[Event], error) {
	f.Ref = ""
	r := about("list events", http.MethodGet, ref, "events")
	r.query = f.values()
	return answer[Page[Event]](ctx, c, r)
}
