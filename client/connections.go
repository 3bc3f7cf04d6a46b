package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/evergrant/evergrant"
)

// ConnectionFilter selects connections; zero fields select all.
type ConnectionFilter struct {
	App            string
	States         []string
	ActBy          string
	Query          string // part of the business key or the name
	Tags           map[string]string
	DeadlineBefore time.Time // a live grant dies before this
	Limit          int       // at most 1000; 0 means 100
	Cursor         string
}

func (f ConnectionFilter) values() url.Values {
	q := paging(f.Limit, f.Cursor)
	set(q, "app", f.App)
	set(q, "state", strings.Join(f.States, ","))
	set(q, "act_by", f.ActBy)
	set(q, "q", f.Query)
	for k, v := range f.Tags {
		q.Set("tag."+k, v)
	}
	if !f.DeadlineBefore.IsZero() {
		q.Set("deadline_before", f.DeadlineBefore.UTC().Format(time.RFC3339Nano))
	}
	return q
}

func paging(limit int, cursor string) url.Values {
	q := url.Values{}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	set(q, "cursor", cursor)
	return q
}

// set leaves out what is empty.
func set(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

// Connections lists connections; see [All] for every page.
func (c *Client) Connections(ctx context.Context, f ConnectionFilter) (Page[Connection], error) {
	return answer[Page[Connection]](ctx, c, request{op: "list connections", method: http.MethodGet, path: []string{"connections"}, query: f.values()})
}

// Connection returns a connection with its grants.
func (c *Client) Connection(ctx context.Context, ref evergrant.Ref) (Connection, error) {
	return answer[Connection](ctx, c, about("show connection", http.MethodGet, ref))
}

// about is a request about one connection.
func about(op, method string, ref evergrant.Ref, more ...string) request {
	return request{op: op, ref: ref, method: method, path: append([]string{"connections", string(ref)}, more...)}
}

// NewConnection is a connection to be made. Ref is an address.
type NewConnection struct {
	Ref               evergrant.Ref     `json:"ref"`
	Name              string            `json:"name,omitempty"`
	Tags              map[string]string `json:"tags,omitempty"`
	RequiredLocations []string          `json:"required_locations,omitempty"`
	Tokens            *Tokens           `json:"tokens,omitempty"` // to adopt; nil: pending
}

// Tokens are tokens that somebody else obtained. They do not print.
type Tokens struct {
	AccessToken      string            `json:"access_token,omitempty"`
	RefreshToken     string            `json:"refresh_token,omitempty"`
	TokenType        string            `json:"token_type,omitempty"`
	Scope            string            `json:"scope,omitempty"`
	ExpiresAt        time.Time         `json:"expires_at,omitzero"` // or
	ExpiresIn        int64             `json:"expires_in,omitempty"`
	RefreshExpiresAt time.Time         `json:"refresh_expires_at,omitzero"`
	Variables        map[string]string `json:"variables,omitempty"`
}

// String does not show the tokens.
func (Tokens) String() string { return "tokens" }

// GoString does not show the tokens.
func (Tokens) GoString() string { return "tokens" }

// CreateConnection makes a connection, or adopts tokens into one that exists.
func (c *Client) CreateConnection(ctx context.Context, n NewConnection) (Connection, error) {
	return answer[Connection](ctx, c, request{op: "create connection", ref: n.Ref, method: http.MethodPost, path: []string{"connections"}, body: n})
}

// Change is a change of a connection; nil fields stay as they are.
type Change struct {
	Name *string
	Tags map[string]string // replaces all tags if not nil
	// RequiredLocations pointing to nil: back to every location ever seen.
	RequiredLocations *[]string
}

// UpdateConnection changes a connection.
func (c *Client) UpdateConnection(ctx context.Context, ref evergrant.Ref, ch Change) (Connection, error) {
	body := map[string]any{}
	if ch.Name != nil {
		body["name"] = *ch.Name
	}
	if ch.Tags != nil {
		body["tags"] = ch.Tags
	}
	if ch.RequiredLocations != nil {
		body["required_locations"] = *ch.RequiredLocations
	}
	r := about("update connection", http.MethodPatch, ref)
	r.body = body
	return answer[Connection](ctx, c, r)
}

// DeleteConnection revokes a connection's grants and removes it.
func (c *Client) DeleteConnection(ctx context.Context, ref evergrant.Ref) error {
	return c.do(ctx, about("delete connection", http.MethodDelete, ref), nil)
}

// Disconnect revokes a connection's grants and keeps its history.
func (c *Client) Disconnect(ctx context.Context, ref evergrant.Ref) (Connection, error) {
	return answer[Connection](ctx, c, about("disconnect", http.MethodPost, ref, "disconnect"))
}

// Grants returns a connection's grants.
func (c *Client) Grants(ctx context.Context, ref evergrant.Ref) ([]Grant, error) {
	return every[Grant](ctx, c, about("list grants", http.MethodGet, ref, "grants"))
}

// Grant returns one grant.
func (c *Client) Grant(ctx context.Context, id string) (Grant, error) {
	return answer[Grant](ctx, c, request{op: "show grant", ref: evergrant.Ref(id), method: http.MethodGet, path: []string{"grants", id}})
}

// Locations returns which grants reach which locations, as last read.
func (c *Client) Locations(ctx context.Context, ref evergrant.Ref) (Coverage, error) {
	return answer[Coverage](ctx, c, about("list locations", http.MethodGet, ref, "locations"))
}

// RefreshLocations re-reads from the provider which locations are reached.
func (c *Client) RefreshLocations(ctx context.Context, ref evergrant.Ref) (Coverage, error) {
	return answer[Coverage](ctx, c, about("refresh locations", http.MethodPost, ref, "locations", "refresh"))
}

// Refresh refreshes every live grant of a connection now.
func (c *Client) Refresh(ctx context.Context, ref evergrant.Ref) ([]RefreshedGrant, error) {
	type grants struct {
		Grants []RefreshedGrant `json:"grants"`
	}
	out, err := answer[grants](ctx, c, about("refresh", http.MethodPost, ref, "refresh"))
	return out.Grants, err
}
