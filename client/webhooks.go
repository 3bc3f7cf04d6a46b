package client

import (
	"context"
	"net/http"
	"time"
)

// Webhook is an address that events are sent to.
type Webhook struct {
	ID              string    `json:"id"`
	Name            string    `json:"name"`
	URL             string    `json:"url"`
	Types           []string  `json:"types"`      // ["*"]: every event
	Apps            []string  `json:"apps"`       // nil: every app
	Businesses      []string  `json:"businesses"` // nil: every business
	Source          string    `json:"source"`     // store or file
	State           string    `json:"state"`      // enabled, failing or disabled
	DisabledAt      time.Time `json:"disabled_at,omitzero"`
	DisabledBecause string    `json:"disabled_because"` // gone, failing or operator; "" if it is not disabled
	Failures        int       `json:"failures"`
	FailingSince    time.Time `json:"failing_since,omitzero"`
	NextTryAt       time.Time `json:"next_try_at,omitzero"`
	LastEvent       string    `json:"last_event"`
	SigningSecret   string    `json:"signing_secret,omitempty"` // only when it is made or rotated
	CreatedAt       time.Time `json:"created_at,omitzero"`
	UpdatedAt       time.Time `json:"updated_at,omitzero"`
}

// Delivery is one attempt to deliver an event to a webhook.
type Delivery struct {
	ID         string    `json:"id"`
	Webhook    string    `json:"webhook"`
	Event      string    `json:"event"`
	Type       string    `json:"type"`
	Attempt    int       `json:"attempt"`
	At         time.Time `json:"at,omitzero"`
	DurationMS float64   `json:"duration_ms"`
	Delivered  bool      `json:"delivered"`
	Status     int       `json:"status"` // 0 if there was no answer
	Error      string    `json:"error"`
	NextTryAt  time.Time `json:"next_try_at,omitzero"`
}

// NewWebhook asks for a webhook. Only URL is required.
type NewWebhook struct {
	URL        string   `json:"url"`
	Name       string   `json:"name,omitempty"`
	Types      []string `json:"types,omitempty"`      // types, or families such as connection.*; nil: every event
	Apps       []string `json:"apps,omitempty"`       // nil: every app
	Businesses []string `json:"businesses,omitempty"` // nil: every business
}

// WebhookChange changes a webhook; zero fields stay as they are.
type WebhookChange struct {
	URL     string   `json:"url,omitempty"`
	Name    string   `json:"name,omitempty"`
	Types   []string `json:"types,omitempty"` // ["*"] for every event
	Enabled *bool    `json:"enabled,omitempty"`
	After   string   `json:"after,omitempty"` // go on after this event
}

// Webhooks lists the webhooks: those of the store and of the server's file.
func (c *Client) Webhooks(ctx context.Context) ([]Webhook, error) {
	return every[Webhook](ctx, c, request{op: "list webhooks", method: http.MethodGet, path: []string{"webhooks"}})
}

// CreateWebhook makes a webhook. Its signing secret is told only here.
func (c *Client) CreateWebhook(ctx context.Context, n NewWebhook) (Webhook, error) {
	return answer[Webhook](ctx, c, request{op: "create webhook", method: http.MethodPost, path: []string{"webhooks"}, body: n})
}

// Webhook returns the webhook with this id or name.
func (c *Client) Webhook(ctx context.Context, id string) (Webhook, error) {
	return answer[Webhook](ctx, c, request{op: "show webhook", method: http.MethodGet, path: []string{"webhooks", id}})
}

// ChangeWebhook changes a webhook, and has what waits for it tried at once.
func (c *Client) ChangeWebhook(ctx context.Context, id string, change WebhookChange) (Webhook, error) {
	return answer[Webhook](ctx, c, request{op: "change webhook", method: http.MethodPatch, path: []string{"webhooks", id}, body: change})
}

// DeleteWebhook removes a webhook.
func (c *Client) DeleteWebhook(ctx context.Context, id string) error {
	return c.do(ctx, request{op: "delete webhook", method: http.MethodDelete, path: []string{"webhooks", id}}, nil)
}

// RotateWebhookSecret gives a webhook another signing secret, told only here. The
// one before signs beside it for a day.
func (c *Client) RotateWebhookSecret(ctx context.Context, id string) (Webhook, error) {
	return answer[Webhook](ctx, c, request{op: "rotate webhook secret", method: http.MethodPost, path: []string{"webhooks", id, "rotate-secret"}})
}

// TestWebhook sends a webhook.test event now and returns what came of it. That the
// receiver did not accept it is no error.
func (c *Client) TestWebhook(ctx context.Context, id string) (Delivery, error) {
	return answer[Delivery](ctx, c, request{op: "test webhook", method: http.MethodPost, path: []string{"webhooks", id, "test"}})
}

// Deliveries lists the last deliveries to a webhook, newest first. A limit of 0
// means 100.
func (c *Client) Deliveries(ctx context.Context, id string, limit int, cursor string) (Page[Delivery], error) {
	return answer[Page[Delivery]](ctx, c, request{op: "list deliveries", method: http.MethodGet, path: []string{"webhooks", id, "deliveries"},
		query: paging(limit, cursor)})
}

// Runway is how long businesses last if refreshing stops now.
type Runway struct {
	AsOf    time.Time   `json:"as_of"`
	Seconds *int64      `json:"runway_seconds"` // nil if no deadline is known
	First   *FirstLost  `json:"first"`
	Apps    []AppRunway `json:"apps"`
}

// AppRunway is the runway of one app.
type AppRunway struct {
	App     string       `json:"app"`
	Seconds *int64       `json:"runway_seconds"` // nil if no deadline is known
	First   *FirstLost   `json:"first"`
	Lost    []LostWithin `json:"lost"`
}

// FirstLost is the grant that dies first.
type FirstLost struct {
	Deadline   time.Time `json:"deadline"`
	Connection string    `json:"connection"`
	Ref        string    `json:"ref"`
	Grant      string    `json:"grant"`
}

// LostWithin is how many grants die within a while, such as 7d.
type LostWithin struct {
	Within string `json:"within"`
	Grants int    `json:"grants"`
}

// Runway returns how long businesses last if refreshing stops now.
func (c *Client) Runway(ctx context.Context) (Runway, error) {
	return answer[Runway](ctx, c, request{op: "runway", method: http.MethodGet, path: []string{"runway"}})
}
