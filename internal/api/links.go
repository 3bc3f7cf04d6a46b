package api

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/connect"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// newLink is the body that makes a link.
type newLink struct {
	Ref          string   `json:"ref" doc:"the connection; an address that does not exist yet becomes a pending one"`
	BusinessName string   `json:"business_name,omitempty" doc:"shown to the merchant"`
	ReturnURL    string   `json:"return_url,omitempty" doc:"where the merchant goes when done; must be allowed by the configuration"`
	TTL          string   `json:"ttl,omitempty" doc:"how long the link lives, such as 7d"`
	Locale       string   `json:"locale,omitempty" doc:"language tag such as nl-BE"`
	Expect       *expect  `json:"expect,omitempty" doc:"who must authorize"`
	Landing      *bool    `json:"landing,omitempty" doc:"false: the URL redirects to the provider at once"`
	Locations    []string `json:"locations,omitempty" doc:"the locations a further user's grant is asked for"`
	Purpose      string   `json:"purpose,omitempty" enum:"connect,reconnect,add_grant" doc:"add_grant asks for a further user's grant beside those that exist"`
}

type expect struct {
	BusinessID string `json:"business_id,omitempty" doc:"the provider's id of the business"`
}

// linkWire is a link as it is answered. URL and message are told when it is made
// and never again.
type linkWire struct {
	ID           string       `json:"id"`
	URL          string       `json:"url,omitempty" doc:"told once, when the link is made"`
	Connection   string       `json:"connection"`
	Ref          string       `json:"ref"`
	App          string       `json:"app"`
	Purpose      string       `json:"purpose" enum:"connect,reconnect,add_grant"`
	State        string       `json:"state" enum:"created,opened,at_provider,completed,failed,expired,revoked"`
	Problem      *string      `json:"problem" doc:"why the last try failed"`
	BusinessName string       `json:"business_name"`
	ReturnURL    string       `json:"return_url"`
	Locale       string       `json:"locale"`
	Landing      bool         `json:"landing"`
	Locations    []string     `json:"locations" nullable:"false"`
	ShortCode    string       `json:"short_code"`
	CreatedAt    *time.Time   `json:"created_at"`
	ExpiresAt    *time.Time   `json:"expires_at"`
	CompletedAt  *time.Time   `json:"completed_at"`
	Message      *linkMessage `json:"message,omitempty" doc:"ready to send to the merchant; told once"`
}

type linkMessage struct {
	Subject string `json:"subject"`
	Text    string `json:"text"`
}

func wireLink(l grant.Link, ref string) linkWire {
	return linkWire{
		ID: l.ID, Connection: l.ConnectionID, Ref: ref, App: l.App, Purpose: string(l.Purpose), State: string(l.State),
		Problem: known(string(l.Problem)), BusinessName: l.BusinessName, ReturnURL: l.ReturnURL, Locale: l.Locale,
		Landing: l.Landing, Locations: orEmpty(l.Locations), ShortCode: l.ShortCode,
		CreatedAt: at(l.CreatedAt), ExpiresAt: at(l.ExpiresAt), CompletedAt: at(l.CompletedAt),
	}
}

// linkParams select links.
var linkParams = withPaging(
	param{name: "ref", doc: "links of this connection"},
	param{name: "state", doc: "links in this state", enum: "created,opened,at_provider,completed,failed,expired,revoked"},
)

func (s *server) createLink(c *call, b newLink) (linkWire, error) {
	var f fields
	ref, err := grant.ParseRef(b.Ref)
	if err != nil {
		f.add("ref", "%s", err)
	}
	r := connect.LinkRequest{
		Ref: ref, BusinessName: b.BusinessName, ReturnURL: b.ReturnURL, Locale: b.Locale,
		TTL: f.duration("ttl", b.TTL), Landing: b.Landing, Locations: b.Locations, Purpose: grant.Purpose(b.Purpose),
	}
	if ttl, ok := parseDuration(b.TTL); ok && ttl == 0 {
		f.add("ttl", "it must be longer than nothing")
	}
	if b.Expect != nil {
		r.ExpectBusiness = b.Expect.BusinessID
	}
	if err := f.err(); err != nil {
		return linkWire{}, err
	}
	ctx := c.r.Context()
	if err := s.reach(ctx, c.key, ref); err != nil {
		return linkWire{}, err
	}
	made, err := s.c.Links.CreateLink(ctx, r)
	if err != nil {
		return linkWire{}, err
	}
	conn, err := s.c.Manager.Connection(ctx, grant.Ref{ID: made.Link.ConnectionID})
	if err != nil {
		return linkWire{}, err
	}
	w := wireLink(made.Link, conn.Ref().String())
	w.URL, w.Message = made.URL, &linkMessage{made.Subject, made.Text}
	c.w.Header().Set("Location", "/v1/links/"+w.ID)
	return w, nil
}

func (s *server) listLinks(c *call, _ none) (page[linkWire], error) {
	q := c.r.URL.Query()
	var f fields
	p := f.page(q)
	filter := store.LinkFilter{Apps: c.key.Apps, Keys: c.key.Businesses}
	switch st := grant.LinkState(q.Get("state")); st {
	case "", grant.LinkStateCreated, grant.LinkStateOpened, grant.LinkStateAtProvider, grant.LinkStateCompleted,
		grant.LinkStateFailed, grant.LinkStateExpired, grant.LinkStateRevoked:
		filter.State = st
	default:
		f.add("state", "it must be created, opened, at_provider, completed, failed, expired or revoked")
	}
	if err := f.err(); err != nil {
		return page[linkWire]{}, err
	}
	ctx := c.r.Context()
	if q.Has("ref") {
		conn, err := s.named(ctx, c, q.Get("ref"))
		if err != nil {
			return page[linkWire]{}, err
		}
		filter.ConnectionID = conn.ID
	}
	links, next, err := s.c.Links.Links(ctx, filter, p)
	if err != nil {
		return page[linkWire]{}, err
	}
	refs := map[string]string{}
	return newPage(c, links, next, func(l grant.Link) linkWire {
		ref, ok := refs[l.ConnectionID]
		if !ok {
			if conn, err := s.c.Manager.Connection(ctx, grant.Ref{ID: l.ConnectionID}); err == nil {
				ref = conn.Ref().String()
			}
			refs[l.ConnectionID] = ref
		}
		return wireLink(l, ref)
	}), nil
}

// named returns the connection a query parameter names, if it is within reach.
func (s *server) named(ctx context.Context, c *call, text string) (grant.Connection, error) {
	ref, err := grant.ParseRef(text)
	if err != nil {
		var f fields
		f.add("ref", "%s", err)
		return grant.Connection{}, f.err()
	}
	conn, err := s.c.Manager.Connection(ctx, ref)
	if err == nil && !c.key.Reaches(conn.Ref()) {
		err = errNotFound()
	}
	return conn, err
}

func (s *server) getLink(c *call, _ none) (linkWire, error) {
	l, ref, err := s.link(c)
	if err != nil {
		return linkWire{}, err
	}
	return wireLink(l, ref), nil
}

func (s *server) revokeLink(c *call, _ none) (linkWire, error) {
	l, ref, err := s.link(c)
	if err != nil {
		return linkWire{}, err
	}
	if l, err = s.c.Links.Revoke(c.r.Context(), l.ID); err != nil {
		return linkWire{}, err
	}
	return wireLink(l, ref), nil
}

// link returns the link the path names and its connection's address, if it is
// within the key's reach.
func (s *server) link(c *call) (grant.Link, string, error) {
	ctx := c.r.Context()
	l, err := s.c.Links.Link(ctx, c.r.PathValue("id"))
	if err != nil {
		return grant.Link{}, "", absentLink(err)
	}
	conn, err := s.c.Manager.Connection(ctx, grant.Ref{ID: l.ConnectionID})
	if err != nil {
		return grant.Link{}, "", absentLink(err)
	}
	if !c.key.Reaches(conn.Ref()) {
		return grant.Link{}, "", errNoSuch("link")
	}
	return l, conn.Ref().String(), nil
}

func absentLink(err error) error {
	if errors.Is(err, evergrant.ErrNotFound) {
		return errNoSuch("link")
	}
	return err
}

// reauthLinks makes the links that problems tell about: one a connection, good
// for an hour of problems. It is safe for concurrent use.
type reauthLinks struct {
	links *connect.Service
	now   func() time.Time

	mu   sync.Mutex
	made map[string]reauthLink // by connection id
}

type reauthLink struct {
	id, url string
	at      time.Time
}

const (
	reauthFresh = time.Hour
	mostReauth  = 10000 // links remembered
)

func newReauthLinks(l *connect.Service, now func() time.Time) *reauthLinks {
	return &reauthLinks{links: l, now: now, made: map[string]reauthLink{}}
}

// url returns a link for the merchant of a connection, "" if none can be made.
func (l *reauthLinks) url(ctx context.Context, conn grant.Connection) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if m, ok := l.made[conn.ID]; ok && now.Sub(m.at) < reauthFresh {
		link, err := l.links.Link(ctx, m.id)
		if err == nil && usable(link.State) {
			return m.url
		}
	}
	made, err := l.links.CreateLink(ctx, connect.LinkRequest{Ref: grant.Ref{ID: conn.ID}})
	if err != nil {
		return "" // the problem is worth telling without it
	}
	if len(l.made) >= mostReauth {
		clear(l.made)
	}
	l.made[conn.ID] = reauthLink{made.Link.ID, made.URL, now}
	return made.URL
}

// usable reports whether a merchant can still connect with a link.
func usable(s grant.LinkState) bool {
	return s != grant.LinkStateCompleted && s != grant.LinkStateExpired && s != grant.LinkStateRevoked
}
