package cli

import "time"

// These are the parts of the API's answers that people are shown. JSON output is
// the answer as it came.

// page is one page of a list.
type page[T any] struct {
	Data       []T     `json:"data"`
	NextCursor *string `json:"next_cursor"`
}

type standing struct {
	State     string     `json:"state"`
	Reason    string     `json:"reason"`
	ActBy     string     `json:"act_by"`
	Since     *time.Time `json:"since"`
	NextTryAt *time.Time `json:"next_try_at"`
}

type connection struct {
	ID   string `json:"id"`
	Ref  string `json:"ref"`
	Key  string `json:"key"`
	App  string `json:"app"`
	Name string `json:"name"`
	standing
	Flags       []string          `json:"flags"`
	Tags        map[string]string `json:"tags"`
	CreatedAt   *time.Time        `json:"created_at"`
	Deadline    *time.Time        `json:"deadline"`
	RefreshedAt *time.Time        `json:"refreshed_at"`
	Grants      []grantInfo       `json:"grants"`
}

// title is how a connection is called in a sentence.
func (c connection) title() string {
	if c.Name == "" {
		return c.Ref
	}
	return c.Name + " (" + c.Ref + ")"
}

type grantInfo struct {
	ID       string `json:"id"`
	Identity struct {
		Name string `json:"name"`
	} `json:"identity"`
	Scope string `json:"scope"`
	standing
	ExpiresAt *time.Time `json:"expires_at"`
	Deadline  *time.Time `json:"deadline"`
	ConsentAt *time.Time `json:"consent_at"`
	Seq       int64      `json:"seq"`
}

type link struct {
	ID        string     `json:"id"`
	URL       string     `json:"url"`
	Ref       string     `json:"ref"`
	Purpose   string     `json:"purpose"`
	State     string     `json:"state"`
	Problem   *string    `json:"problem"`
	ShortCode string     `json:"short_code"`
	CreatedAt *time.Time `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at"`
	Message   *struct {
		Subject string `json:"subject"`
		Text    string `json:"text"`
	} `json:"message"`
}

type event struct {
	ID     string         `json:"id"`
	Type   string         `json:"type"`
	Time   *time.Time     `json:"time"`
	Ref    *string        `json:"ref"`
	App    *string        `json:"app"`
	Reason *string        `json:"reason"`
	ActBy  string         `json:"act_by"`
	Data   map[string]any `json:"data"`
}

type apiKey struct {
	ID         string     `json:"id"`
	Key        string     `json:"key"`
	Name       string     `json:"name"`
	Scopes     []string   `json:"scopes"`
	Apps       []string   `json:"apps"`
	Businesses []string   `json:"businesses"`
	Source     string     `json:"source"`
	CreatedAt  *time.Time `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at"`
	RevokedAt  *time.Time `json:"revoked_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
}

// text returns what a pointer of the wire points at, "" for null.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
