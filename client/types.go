package client

import (
	"context"
	"iter"
	"time"
)

// Page is one page of a list.
type Page[T any] struct {
	Data []T `json:"data"`
	// NextCursor asks for the next page; "" on the last.
	NextCursor string `json:"next_cursor"`
}

// All returns the items of every page of a list, asking for each page as it is
// needed. It ends after the first error.
//
//	for conn, err := range client.All(func(cursor string) (client.Page[client.Connection], error) {
//		return c.Connections(ctx, client.ConnectionFilter{Cursor: cursor})
//	}) { … }
func All[T any](list func(cursor string) (Page[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for cursor := ""; ; {
			p, err := list(cursor)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, it := range p.Data {
				if !yield(it, nil) {
					return
				}
			}
			if p.NextCursor == "" {
				return
			}
			cursor = p.NextCursor
		}
	}
}

// mostPage is the largest page the server gives.
const mostPage = 1000

// every returns the items of every page of the list that r asks for; none of
// them after an error. r has no query of its own.
func every[T any](ctx context.Context, c *Client, r request) ([]T, error) {
	items := []T{}
	for it, err := range All(func(cursor string) (Page[T], error) {
		r.query = paging(mostPage, cursor)
		return answer[Page[T]](ctx, c, r)
	}) {
		if err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	return items, nil
}

// Connection is one business at one app.
type Connection struct {
	ID                string            `json:"id"`
	Ref               string            `json:"ref"`
	Key               string            `json:"key"`
	App               string            `json:"app"`
	Name              string            `json:"name"`
	Tags              map[string]string `json:"tags"`
	RequiredLocations []string          `json:"required_locations"` // nil: every location ever seen
	State             string            `json:"state"`
	Reason            string            `json:"reason"`
	ActBy             string            `json:"act_by"`
	Since             time.Time         `json:"since,omitzero"`
	NextTryAt         time.Time         `json:"next_try_at,omitzero"`
	Flags             []string          `json:"flags"`
	CreatedAt         time.Time         `json:"created_at,omitzero"`
	UpdatedAt         time.Time         `json:"updated_at,omitzero"`

	// What follows is told of one connection, not in lists.
	Deadline    time.Time `json:"deadline,omitzero"`     // when the first live grant dies if nobody refreshes it
	RefreshedAt time.Time `json:"refreshed_at,omitzero"` // when its newest token was asked for
	Grants      []Grant   `json:"grants,omitempty"`
}

// Identity is whose approval a grant is. Empty fields are not known.
type Identity struct {
	Issuer     string   `json:"issuer,omitempty"`
	Subject    string   `json:"subject,omitempty"`
	Account    string   `json:"account,omitempty"`
	Businesses []string `json:"businesses,omitempty"`
	Name       string   `json:"name,omitempty"`
}

// Grant is one user's authorization inside a connection.
type Grant struct {
	ID         string    `json:"id"`
	Connection string    `json:"connection"`
	App        string    `json:"app"`
	Identity   Identity  `json:"identity"`
	Scope      string    `json:"scope"`
	State      string    `json:"state"`
	Reason     string    `json:"reason"`
	ActBy      string    `json:"act_by"`
	Since      time.Time `json:"since,omitzero"`
	NextTryAt  time.Time `json:"next_try_at,omitzero"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"` // of the access token
	Deadline   time.Time `json:"deadline,omitzero"`   // of the refresh token, zero if it is not known
	DueAt      time.Time `json:"due_at,omitzero"`
	IssuedAt   time.Time `json:"issued_at,omitzero"`
	ConsentAt  time.Time `json:"consent_at,omitzero"`
	Epoch      int64     `json:"epoch"`
	Seq        int64     `json:"seq"`
	// OpenAttempt is the renewal that is under way or whose outcome is unknown, nil
	// if there is none.
	OpenAttempt *OpenAttempt `json:"open_attempt,omitempty"`
}

// OpenAttempt is a renewal whose outcome is not known yet.
type OpenAttempt struct {
	ID       string    `json:"id"`
	Kind     string    `json:"kind"` // refresh, or resend of one of unknown outcome
	OpenedAt time.Time `json:"opened_at,omitzero"`
	// BarrierAt is when it is settled if no answer came; the same token is not sent
	// before.
	BarrierAt time.Time `json:"barrier_at,omitzero"`
}

// Coverage says which grants reach which locations of a connection.
type Coverage struct {
	Locations     []Location `json:"locations"`
	Uncovered     []string   `json:"uncovered"`      // required and reached by no live grant
	SingleGrant   []string   `json:"single_grant"`   // reached by exactly one
	MinimalGrants []string   `json:"minimal_grants"` // the smallest set that reaches everything reachable
	AsOf          time.Time  `json:"as_of,omitzero"` // zero: the provider was never asked
}

// Location is a place the provider's API serves data for.
type Location struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	BusinessID   string   `json:"business_id"`
	BusinessName string   `json:"business_name"`
	Required     bool     `json:"required"`
	Grants       []string `json:"grants"` // the live grants that reach it
	// RestorableBy tells of a location that nobody reaches by whose approval it was
	// reached, the last to see it first.
	RestorableBy []Restorer `json:"restorable_by,omitempty"`
}

// Restorer is somebody who could make a location reachable again. If Live, their
// access at the provider has to be given back; otherwise they have to approve
// again.
type Restorer struct {
	Grant    string    `json:"grant"`
	Live     bool      `json:"live"`
	Identity Identity  `json:"identity"`
	SeenAt   time.Time `json:"seen_at,omitzero"` // when the provider last listed the location for them
	LostAt   time.Time `json:"lost_at,omitzero"` // when it no longer did; zero if the grant ended first
}

// RefreshedGrant is what a demanded refresh of one grant came to.
type RefreshedGrant struct {
	ID         string `json:"id"`
	Refreshed  bool   `json:"refreshed"`
	Reason     string `json:"reason"`
	RetryAfter int64  `json:"retry_after"` // seconds
}

// Link lets a merchant connect or reconnect.
type Link struct {
	ID           string       `json:"id"`
	URL          string       `json:"url,omitempty"` // only when it is made
	Connection   string       `json:"connection"`
	Ref          string       `json:"ref"`
	App          string       `json:"app"`
	Purpose      string       `json:"purpose"`
	State        string       `json:"state"`
	Problem      string       `json:"problem"` // why the last try failed
	BusinessName string       `json:"business_name"`
	ReturnURL    string       `json:"return_url"`
	Locale       string       `json:"locale"`
	Landing      bool         `json:"landing"`
	Locations    []string     `json:"locations"`
	ShortCode    string       `json:"short_code"`
	CreatedAt    time.Time    `json:"created_at,omitzero"`
	ExpiresAt    time.Time    `json:"expires_at,omitzero"`
	CompletedAt  time.Time    `json:"completed_at,omitzero"`
	Message      *LinkMessage `json:"message,omitempty"` // only when it is made
}

// LinkMessage is a message to the merchant, ready to send.
type LinkMessage struct {
	Subject string `json:"subject"`
	Text    string `json:"text"`
}

// Event is one entry of the log.
type Event struct {
	ID         string         `json:"id"`
	Type       string         `json:"type"`
	Time       time.Time      `json:"time"`
	Connection string         `json:"connection"`
	Ref        string         `json:"ref"`
	Grant      string         `json:"grant"`
	App        string         `json:"app"`
	Reason     string         `json:"reason"`
	ActBy      string         `json:"act_by"`
	Data       map[string]any `json:"data"`
}

// App is a registration at a provider.
type App struct {
	Name           string    `json:"name"`
	Provider       string    `json:"provider"`
	Title          string    `json:"title"`
	Environment    string    `json:"environment"`
	ClientID       string    `json:"client_id"`
	Scopes         []string  `json:"scopes"`
	RequiredScopes []string  `json:"required_scopes"`
	RedirectURI    string    `json:"redirect_uri"`
	Rotation       string    `json:"rotation"`
	CredentialsOK  bool      `json:"credentials_ok"`
	Paused         bool      `json:"paused"`
	PausedBecause  string    `json:"paused_because"` // operator, refusals or restore; "" if it is not paused
	Reason         string    `json:"reason"`
	ActBy          string    `json:"act_by"`
	Since          time.Time `json:"since,omitzero"`
}

// Key is an API key.
type Key struct {
	ID         string    `json:"id"`
	Key        string    `json:"key,omitempty"` // the key itself, only when it is made
	Name       string    `json:"name"`
	Scopes     []string  `json:"scopes"`
	Apps       []string  `json:"apps"`       // nil: every app
	Businesses []string  `json:"businesses"` // nil: every business
	Source     string    `json:"source"`     // store, file or admin_socket
	CreatedAt  time.Time `json:"created_at,omitzero"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`
	RevokedAt  time.Time `json:"revoked_at,omitzero"`
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
}

// Meta says what a server is.
type Meta struct {
	Name         string   `json:"name"`
	Version      string   `json:"version"`
	API          string   `json:"api"`
	PublicURL    string   `json:"public_url"`
	Deprecations []string `json:"deprecations"`
}
