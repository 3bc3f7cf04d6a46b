package client

import (
	"context"
	"net/http"
	"time"
)

// NewKey asks for an API key. Name and Scopes are required.
type NewKey struct {
	Name       string    `json:"name"`
	Scopes     []string  `json:"scopes"`
	Apps       []string  `json:"apps,omitempty"`       // nil: every app
	Businesses []string  `json:"businesses,omitempty"` // nil: every business
	ExpiresAt  time.Time `json:"expires_at,omitzero"`
}

// Keys lists the API keys, revoked ones too.
func (c *Client) Keys(ctx context.Context) ([]Key, error) {
	return every[Key](ctx, c, request{op: "list keys", method: http.MethodGet, path: []string{"keys"}})
}

// CreateKey makes an API key. The key itself is told only here.
func (c *Client) CreateKey(ctx context.Context, n NewKey) (Key, error) {
	return answer[Key](ctx, c, request{op: "create key", method: http.MethodPost, path: []string{"keys"}, body: n})
}

// RevokeKey ends an API key.
func (c *Client) RevokeKey(ctx context.Context, id string) error {
	return c.do(ctx, request{op: "revoke key", method: http.MethodDelete, path: []string{"keys", id}}, nil)
}

// Apps lists the apps.
func (c *Client) Apps(ctx context.Context) ([]App, error) {
	return every[App](ctx, c, request{op: "list apps", method: http.MethodGet, path: []string{"apps"}})
}

// App returns one app.
func (c *Client) App(ctx context.Context, name string) (App, error) {
	return answer[App](ctx, c, request{op: "show app", method: http.MethodGet, path: []string{"apps", name}})
}

// PauseApp stops all refreshes of an app until it is resumed, across restarts of
// the server. Its tokens are served as long as they last. It needs the scope admin.
func (c *Client) PauseApp(ctx context.Context, name string) (App, error) {
	return answer[App](ctx, c, request{op: "pause app", method: http.MethodPost, path: []string{"apps", name, "pause"}})
}

// ResumeApp ends the pause of an app, whatever caused it. It needs the scope admin.
func (c *Client) ResumeApp(ctx context.Context, name string) (App, error) {
	return answer[App](ctx, c, request{op: "resume app", method: http.MethodPost, path: []string{"apps", name, "resume"}})
}

// Whoami returns the API key this client uses.
func (c *Client) Whoami(ctx context.Context) (Key, error) {
	return answer[Key](ctx, c, request{op: "whoami", method: http.MethodGet, path: []string{"whoami"}})
}

// Meta returns what the server is. It needs no key.
func (c *Client) Meta(ctx context.Context) (Meta, error) {
	return answer[Meta](ctx, c, request{op: "meta", method: http.MethodGet, path: []string{"meta"}})
}
