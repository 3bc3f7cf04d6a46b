package api

import (
	"time"

	"github.com/evergrant/evergrant/internal/grant"
)

// Standing is the status of a connection or a grant. It is exported for the sake
// of the schema, which has embedded members only of exported types.
type Standing struct {
	State     string     `json:"state" enum:"pending,connected,degraded,needs_reauthorization,disconnected"`
	Reason    string     `json:"reason"`
	ActBy     string     `json:"act_by" enum:"merchant,operator,provider,nobody"`
	Since     *time.Time `json:"since"`
	NextTryAt *time.Time `json:"next_try_at"`
}

func wireStatus(s grant.Status) Standing {
	return Standing{string(s.State), string(s.Reason), string(s.ActBy()), at(s.Since), at(s.NextTryAt)}
}

// connection is a connection as it is answered.
type connection struct {
	ID   string            `json:"id"`
	Ref  string            `json:"ref"`
	Key  string            `json:"key"`
	App  string            `json:"app"`
	Name string            `json:"name"`
	Tags map[string]string `json:"tags" nullable:"false"`
	// RequiredLocations is null for "every location ever seen".
	RequiredLocations []string `json:"required_locations"`
	Standing
	Flags     []string   `json:"flags" nullable:"false"`
	CreatedAt *time.Time `json:"created_at"`
	UpdatedAt *time.Time `json:"updated_at"`

	// What follows is told of one connection, not in lists.
	Deadline *time.Time `json:"deadline,omitempty" doc:"when the first live grant dies if nobody refreshes it"`
	// DeadlineNear is left out unless it is true.
	DeadlineNear bool        `json:"deadline_near,omitempty" doc:"a live grant is about to die, and renewals do not keep it from that"`
	RefreshedAt  *time.Time  `json:"refreshed_at,omitempty" doc:"when its newest token was asked for"`
	Grants       []grantWire `json:"grants,omitempty" nullable:"false"`
}

func wireConnection(c grant.Connection) connection {
	w := connection{
		ID: c.ID, Ref: c.Ref().String(), Key: c.Key, App: c.App, Name: c.Name,
		Tags: c.Tags, RequiredLocations: c.RequiredLocations, Standing: wireStatus(c.Status),
		Flags: make([]string, len(c.Flags)), CreatedAt: at(c.CreatedAt), UpdatedAt: at(c.UpdatedAt),
	}
	if w.Tags == nil {
		w.Tags = map[string]string{}
	}
	for i, f := range c.Flags {
		w.Flags[i] = string(f)
	}
	return w
}

// identity is whose approval a grant is.
type identity struct {
	Issuer     string   `json:"issuer,omitempty"`
	Subject    string   `json:"subject,omitempty"`
	Account    string   `json:"account,omitempty"`
	Businesses []string `json:"businesses,omitempty" nullable:"false"`
	Name       string   `json:"name,omitempty"`
}

// grantWire is a grant as it is answered. It has no token.
type grantWire struct {
	ID         string   `json:"id"`
	Connection string   `json:"connection"`
	App        string   `json:"app"`
	Identity   identity `json:"identity"`
	Scope      string   `json:"scope"`
	Standing
	ExpiresAt *time.Time `json:"expires_at" doc:"of the access token"`
	Deadline  *time.Time `json:"deadline" doc:"of the refresh token; null if it is not known"`
	DueAt     *time.Time `json:"due_at" doc:"when it is renewed or looked at next"`
	IssuedAt  *time.Time `json:"issued_at" doc:"when the current token was asked for"`
	ConsentAt *time.Time `json:"consent_at" doc:"when the business authorized it"`
	Epoch     int64      `json:"epoch" doc:"rises at every consent, disconnect and import"`
	Seq       int64      `json:"seq" doc:"rises at every refresh"`

	// OpenAttempt is left out, not null, if there is none: a schema that refers to
	// another has no way to say null.
	OpenAttempt *openAttempt `json:"open_attempt,omitempty" doc:"the renewal that is under way or whose outcome is unknown"`
}

// openAttempt is a renewal whose outcome is not known yet.
type openAttempt struct {
	ID        string     `json:"id"`
	Kind      string     `json:"kind" enum:"refresh,resend" doc:"resend: it repeats one of unknown outcome"`
	OpenedAt  *time.Time `json:"opened_at"`
	BarrierAt *time.Time `json:"barrier_at" doc:"when it is settled if no answer came; the same token is not sent before"`
}

func wireGrant(g grant.Grant) grantWire {
	w := grantWire{
		ID: g.ID, Connection: g.ConnectionID, App: g.App, Identity: identity(g.Identity), Scope: g.Scope,
		Standing: wireStatus(g.Status), ExpiresAt: at(g.ExpiresAt), Deadline: at(g.DeadlineAt), DueAt: at(g.DueAt),
		IssuedAt: at(g.IssuedAt), ConsentAt: at(g.ConsentAt), Epoch: g.Version.Epoch, Seq: g.Version.Seq,
	}
	if a := g.Attempt; a != nil {
		// While an attempt is open, its grant is due when the attempt may be settled.
		w.OpenAttempt = &openAttempt{ID: a.ID, Kind: string(a.Kind), OpenedAt: at(a.OpenedAt), BarrierAt: at(g.DueAt)}
	}
	return w
}

// eventWire is an event as it is answered.
type eventWire struct {
	ID         string         `json:"id"`
	Type       string         `json:"type"`
	Time       *time.Time     `json:"time"`
	Connection *string        `json:"connection"`
	Ref        *string        `json:"ref"`
	Grant      *string        `json:"grant"`
	App        *string        `json:"app"`
	Reason     *string        `json:"reason"`
	ActBy      string         `json:"act_by" enum:"merchant,operator,provider,nobody"`
	Data       map[string]any `json:"data" nullable:"false"`
}

func wireEvent(e grant.Event) eventWire {
	w := eventWire{
		ID: e.ID, Type: string(e.Type), Time: at(e.Time), Connection: known(e.Connection), Ref: known(e.Ref),
		Grant: known(e.Grant), App: known(e.App), Reason: known(string(e.Reason)), ActBy: string(e.ActBy()), Data: e.Data,
	}
	if w.Data == nil {
		w.Data = map[string]any{}
	}
	return w
}

// at is a moment on the wire: UTC, null if it is not known.
func at(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Round(0)
	return &t
}

// known is a string on the wire: null if it is empty.
func known(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// orEmpty is a list on the wire: never null.
func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
