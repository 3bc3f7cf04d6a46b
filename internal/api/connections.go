package api

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
)

// newConnection is the body that makes a connection.
type newConnection struct {
	Ref               string            `json:"ref" doc:"business key @ app, such as biz_42@k-series"`
	Name              string            `json:"name,omitempty" doc:"the business's name, for people"`
	Tags              map[string]string `json:"tags,omitempty"`
	RequiredLocations []string          `json:"required_locations,omitempty"`
	Tokens            *adoption         `json:"tokens,omitempty" doc:"tokens to adopt; without them the connection is pending"`
}

// adoption is a set of tokens that somebody else obtained.
type adoption struct {
	AccessToken      string            `json:"access_token,omitempty"`
	RefreshToken     string            `json:"refresh_token,omitempty"`
	TokenType        string            `json:"token_type,omitempty"`
	Scope            string            `json:"scope,omitempty"`
	ExpiresAt        string            `json:"expires_at,omitempty" format:"date-time"`
	ExpiresIn        int64             `json:"expires_in,omitempty" doc:"seconds from now, if there is no expires_at"`
	RefreshExpiresAt string            `json:"refresh_expires_at,omitempty" format:"date-time"`
	Variables        map[string]string `json:"variables,omitempty" doc:"such as X-Series' domain_prefix"`
}

// change is the body that changes a connection. Members that are not there stay
// as they are.
type change struct {
	Name              string            `json:"name,omitempty"`
	Tags              map[string]string `json:"tags,omitempty" doc:"replaces all tags"`
	RequiredLocations []string          `json:"required_locations,omitempty" doc:"null: back to every location ever seen"`
}

// connectionParams select connections.
var connectionParams = withPaging(
	param{name: "app", doc: "name of an app"},
	param{name: "state", doc: "one state or several", repeat: true, enum: "pending,connected,degraded,needs_reauthorization,disconnected"},
	param{name: "act_by", doc: "who has to act", enum: "merchant,operator,provider,nobody"},
	param{name: "q", doc: "part of the business key or the name"},
	param{name: "tag.", doc: `tag.region=eu: connections with this tag; for generated clients, {"tag.region": "eu"}`},
	param{name: "deadline_before", doc: "a live grant dies before this time", format: "date-time"},
)

func (s *server) listConnections(c *call, _ none) (page[connection], error) {
	q := c.r.URL.Query()
	var f fields
	p := f.page(q)
	filter := store.ConnectionFilter{
		App: q.Get("app"), Query: q.Get("q"), States: f.states("state", q["state"]),
		DeadlineBefore: f.time("deadline_before", q.Get("deadline_before")),
		Apps:           c.key.Apps, Keys: c.key.Businesses,
	}
	switch a := grant.Actor(q.Get("act_by")); a {
	case "", grant.Merchant, grant.Operator, grant.Provider, grant.Nobody:
		filter.ActBy = a
	default:
		f.add("act_by", "it must be merchant, operator, provider or nobody")
	}
	for name, v := range q {
		if tag, ok := strings.CutPrefix(name, "tag."); ok {
			if filter.Tags == nil {
				filter.Tags = map[string]string{}
			}
			filter.Tags[tag] = v[0]
		}
	}
	if err := f.err(); err != nil {
		return page[connection]{}, err
	}
	items, next, err := s.c.Manager.Connections(c.r.Context(), filter, p)
	if err != nil {
		return page[connection]{}, err
	}
	for i := range items {
		// One that was deleted since the page was read stays on it.
		if err := s.flag(c.r.Context(), &items[i]); err != nil && !errors.Is(err, evergrant.ErrNotFound) {
			return page[connection]{}, err
		}
	}
	return newPage(c, items, next, wireConnection), nil
}

// asked checks what the body asks for, and that it is within the key's reach.
func (s *server) asked(c *call, b newConnection) (manager.NewConnection, error) {
	var f fields
	ref := f.address("ref", b.Ref)
	f.name(b.Name)
	f.tags(b.Tags)
	f.locations("required_locations", b.RequiredLocations)
	n := manager.NewConnection{Ref: ref, Name: b.Name, Tags: b.Tags, RequiredLocations: b.RequiredLocations}
	if b.Tokens != nil {
		n.Tokens = f.adoption(b.Tokens)
	}
	if err := f.err(); err != nil {
		return n, err
	}
	return n, s.reach(c.r.Context(), c.key, ref)
}

func (s *server) createConnection(c *call, b newConnection) (connection, error) {
	n, err := s.asked(c, b)
	if err != nil {
		return connection{}, err
	}
	made, created, err := s.c.Manager.Create(c.r.Context(), n)
	if err != nil {
		return connection{}, err
	}
	if !created {
		c.status = http.StatusOK
	}
	c.w.Header().Set("Location", "/v1/connections/"+made.ID)
	return s.describe(c.r.Context(), made)
}

func (s *server) getConnection(c *call, _ none) (connection, error) {
	ref, err := s.ref(c)
	if err != nil {
		return connection{}, err
	}
	found, err := s.c.Manager.Connection(c.r.Context(), ref)
	if err != nil {
		return connection{}, err
	}
	return s.describe(c.r.Context(), found)
}

// seenConnection is the connection that If-Match is held against. What comes
// between that and the change that is asked for is found by when it was changed.
func (s *server) seenConnection(c *call, _ none) (connection, error) {
	w, err := s.getConnection(c, none{})
	if err == nil && w.UpdatedAt != nil {
		c.seen = *w.UpdatedAt
	}
	return w, err
}

// describe returns a connection with its grants.
func (s *server) describe(ctx context.Context, c grant.Connection) (connection, error) {
	grants, err := s.c.Manager.Grants(ctx, grant.Ref{ID: c.ID})
	if err != nil {
		return connection{}, err
	}
	if err := s.flag(ctx, &c); err != nil {
		return connection{}, err
	}
	w := wireConnection(c)
	var deadline, refreshed time.Time
	for _, g := range grants {
		w.Grants = append(w.Grants, wireGrant(g))
		if !g.Status.State.Live() {
			continue
		}
		if !g.DeadlineAt.IsZero() && (deadline.IsZero() || g.DeadlineAt.Before(deadline)) {
			deadline = g.DeadlineAt
		}
		if g.IssuedAt.After(refreshed) {
			refreshed = g.IssuedAt
		}
	}
	w.Deadline, w.RefreshedAt = at(deadline), at(refreshed)
	w.DeadlineNear = s.c.Manager.DeadlineNear(grants)
	return w, nil
}

func (s *server) changeConnection(c *call, b change) (connection, error) {
	ref, err := s.ref(c)
	if err != nil {
		return connection{}, err
	}
	var f fields
	f.name(b.Name)
	f.tags(b.Tags)
	f.locations("required_locations", b.RequiredLocations)
	if err := f.err(); err != nil {
		return connection{}, err
	}
	var ch manager.Change
	if present(c.body, "name") {
		ch.Name = &b.Name
	}
	if present(c.body, "tags") {
		ch.Tags = b.Tags
		maps.DeleteFunc(ch.Tags, func(k, v string) bool { return v == "" }) // null, or nothing
		if ch.Tags == nil {
			ch.Tags = map[string]string{}
		}
	}
	if present(c.body, "required_locations") {
		ch.RequiredLocations = &b.RequiredLocations
	}
	ch.Seen = c.seen
	changed, err := s.c.Manager.Update(c.r.Context(), ref, ch)
	if !c.seen.IsZero() && errors.Is(err, store.ErrStale) {
		return connection{}, errChanged()
	}
	if err != nil {
		return connection{}, err
	}
	return s.describe(c.r.Context(), changed)
}

func (s *server) deleteConnection(c *call, _ none) (none, error) {
	ref, err := s.ref(c)
	if err != nil {
		return none{}, err
	}
	return none{}, s.c.Manager.Delete(c.r.Context(), ref)
}

func (s *server) disconnect(c *call, _ none) (connection, error) {
	ref, err := s.ref(c)
	if err != nil {
		return connection{}, err
	}
	ended, err := s.c.Manager.Disconnect(c.r.Context(), ref)
	if err != nil {
		return connection{}, err
	}
	return s.describe(c.r.Context(), ended)
}

// refreshAnswer says what a demanded refresh came to, grant by grant.
type refreshAnswer struct {
	Grants []refreshedGrant `json:"grants" nullable:"false"`
}

type refreshedGrant struct {
	ID         string `json:"id"`
	Refreshed  bool   `json:"refreshed"`
	Reason     string `json:"reason" doc:"the grant's afterwards, or that of its app's incident; refreshed_recently if no refresh was begun"`
	RetryAfter *int64 `json:"retry_after" doc:"seconds until it may be tried again, if it was not refreshed"`
}

func (s *server) refresh(c *call, _ none) (refreshAnswer, error) {
	ref, err := s.ref(c)
	if err != nil {
		return refreshAnswer{}, err
	}
	results, err := s.c.Manager.Refresh(c.r.Context(), ref)
	if err != nil {
		return refreshAnswer{}, err
	}
	a := refreshAnswer{Grants: make([]refreshedGrant, len(results))}
	for i, r := range results {
		a.Grants[i] = refreshedGrant{ID: r.GrantID, Refreshed: r.Refreshed, Reason: string(r.Reason)}
		if !r.Refreshed && r.RetryAfter > 0 {
			wait := seconds(r.RetryAfter)
			a.Grants[i].RetryAfter = &wait
		}
	}
	return a, nil
}

// The bounds of what callers name and tag.
const (
	maxName     = 200
	maxTags     = 50
	maxTagKey   = 64
	maxTagValue = 256
	maxLocation = 128
	maxRequired = 10000
	maxSeconds  = 100 * 365 * 24 * 3600
	maxToken    = 64 << 10 // as of a provider's access token
)

// tokenType is the one type of access tokens there is (RFC 6750).
const tokenType = "Bearer"

// address reads a ref that must be an address.
func (f *fields) address(field, s string) grant.Ref {
	ref, err := grant.ParseRef(s)
	switch {
	case err != nil:
		f.add(field, "%s", err)
	case ref.ID != "":
		f.add(field, "an address like biz_42@k-series is required here, not an id")
	}
	return ref
}

func (f *fields) name(s string) {
	if utf8.RuneCountInString(s) > maxName {
		f.add("name", "it may have at most %d characters", maxName)
	}
}

func (f *fields) tags(tags map[string]string) {
	if len(tags) > maxTags {
		f.add("tags", "there may be at most %d", maxTags)
		return
	}
	for _, k := range sortedKeys(tags) {
		if n := utf8.RuneCountInString(k); n == 0 || n > maxTagKey {
			f.add("tags", "the name of a tag must have 1 to %d characters", maxTagKey)
		}
		if utf8.RuneCountInString(tags[k]) > maxTagValue {
			f.add("tags."+clip(k), "it may have at most %d characters", maxTagValue)
		}
	}
}

func (f *fields) locations(field string, ids []string) {
	if len(ids) > maxRequired {
		f.add(field, "there may be at most %d", maxRequired)
		return
	}
	for _, id := range ids {
		if id == "" || len(id) > maxLocation {
			f.add(field, "the id of a location must have 1 to %d characters", maxLocation)
			return
		}
	}
}

func (f *fields) adoption(t *adoption) *manager.Adoption {
	if t.AccessToken == "" && t.RefreshToken == "" {
		f.add("tokens", "an access_token or a refresh_token is required")
	}
	if t.ExpiresIn < 0 || t.ExpiresIn > maxSeconds {
		f.add("tokens.expires_in", "it must be a number of seconds")
		t.ExpiresIn = 0
	}
	if t.ExpiresIn != 0 && t.ExpiresAt != "" {
		f.add("tokens.expires_in", "give expires_at or expires_in, not both")
	}
	// The same as of a provider's answer: what cannot be in a header would only
	// fail later, or be another header.
	if len(t.AccessToken) > maxToken || strings.ContainsFunc(t.AccessToken, func(r rune) bool { return r < ' ' || r > '~' }) {
		f.add("tokens.access_token", "at most %d printable ASCII characters", maxToken)
	}
	if t.TokenType != "" && !strings.EqualFold(t.TokenType, tokenType) && !strings.EqualFold(t.TokenType, "BearerToken") {
		f.add("tokens.token_type", "only %s is supported", tokenType)
	}
	return &manager.Adoption{
		AccessToken: secret.New(t.AccessToken), RefreshToken: secret.New(t.RefreshToken),
		TokenType: tokenType, Scope: t.Scope,
		ExpiresAt: f.time("tokens.expires_at", t.ExpiresAt), ExpiresIn: time.Duration(t.ExpiresIn) * time.Second,
		RefreshExpiresAt: f.time("tokens.refresh_expires_at", t.RefreshExpiresAt), Variables: t.Variables,
	}
}
