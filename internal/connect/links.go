package connect

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// LinkRequest asks for a link. Only Ref is required.
type LinkRequest struct {
	Ref          grant.Ref     // made pending if it is an address that does not exist
	BusinessName string        // for people; "" means the connection's name
	ReturnURL    string        // where the done page's button leads
	Locale       string        // a BCP 47 tag: the language of message and pages, if we speak it
	TTL          time.Duration // between 1 s and 90 days; 0 means the configured one
	// ExpectBusiness is the provider's id of the business that must approve.
	ExpectBusiness string
	Landing        *bool    // nil means true; false makes the URL redirect at once
	Locations      []string // the locations a further user's grant is asked for
	// Purpose may ask for add_grant. Otherwise it follows from the connection.
	Purpose grant.Purpose
}

// CreatedLink is a new link. URL, which is in Text too, is told here and never
// again: the store keeps a hash of its token.
type CreatedLink struct {
	Link          grant.Link
	URL           string
	Subject, Text string // a message to the merchant, ready to send
}

// Bounds of what a link is made with.
const (
	leastTTL      = time.Second
	mostTTL       = 90 * 24 * time.Hour
	mostText      = 200 // characters of a name or an id
	mostLocations = 1000
)

// CreateLink makes a link, and the connection if there is none yet. Errors are
// *evergrant.Error; for a request that is wrong, Message begins with the field.
func (s *Service) CreateLink(ctx context.Context, r LinkRequest) (CreatedLink, error) {
	if err := s.checkLink(&r); err != nil {
		return CreatedLink{}, fail("create link", r.Ref, err)
	}
	conn, err := s.connection(ctx, r)
	if err != nil {
		return CreatedLink{}, fail("create link", r.Ref, err)
	}
	app, ok := s.c.Apps[conn.App]
	if !ok {
		return CreatedLink{}, fail("create link", r.Ref, invalid("ref: app %q is not configured", conn.App))
	}

	now := s.c.Now()
	token := newToken()
	link := grant.Link{
		ID: grant.NewID(grant.LinkID, now), ConnectionID: conn.ID, App: conn.App,
		Purpose: purpose(r, conn), TokenHash: hash(token), ShortCode: newShortCode(),
		BusinessName: r.BusinessName, ReturnURL: r.ReturnURL, Locale: r.Locale,
		ExpectBusiness: r.ExpectBusiness, Landing: r.Landing == nil || *r.Landing, Locations: r.Locations,
		State: grant.LinkStateCreated, CreatedAt: now, ExpiresAt: now.Add(r.TTL),
	}
	if link.BusinessName == "" {
		link.BusinessName = conn.Name
	}
	if err := s.c.Store.CreateLink(ctx, link, linkEvent(grant.LinkCreated, link, conn)); err != nil {
		return CreatedLink{}, fail("create link", r.Ref, err)
	}
	s.c.LinkState(link.App, string(link.State))
	created := CreatedLink{Link: link, URL: s.linkURL(token.Reveal(), "")}
	v := visit{words: s.words[s.fits(link.Locale)], link: link, conn: conn, app: app}
	created.Subject, created.Text = s.message(v, created.URL, s.missing(ctx, link, conn))
	return created, nil
}

// checkLink checks the request's own fields and fills in its defaults.
func (s *Service) checkLink(r *LinkRequest) error {
	if r.TTL == 0 {
		r.TTL = s.c.LinkTTL
	}
	if r.TTL < leastTTL || r.TTL > mostTTL {
		return invalid("ttl: %s is not between %s and %d days", r.TTL, leastTTL, mostTTL/(24*time.Hour))
	}
	switch r.Purpose {
	case "", grant.PurposeConnect, grant.PurposeReconnect, grant.PurposeAddGrant:
	default:
		return invalid("purpose: %q is not one of connect, reconnect, add_grant", clip(string(r.Purpose)))
	}
	if r.ReturnURL != "" {
		to := s.returnURL(r.ReturnURL)
		if to == "" {
			return invalid("return_url: %q matches no entry of links.return_url_allow", clip(r.ReturnURL))
		}
		r.ReturnURL = to
	}
	if len(r.Locale) > 35 || strings.ContainsFunc(r.Locale, notLocale) {
		return invalid("locale: %q is not a language tag like en or nl-BE", clip(r.Locale))
	}
	if len(r.Locations) > mostLocations {
		return invalid("locations: %d of them; at most %d", len(r.Locations), mostLocations)
	}
	for _, l := range r.Locations {
		if l == "" || !shortText(l) {
			return invalid("locations: %q is not a location id", clip(l))
		}
	}
	if !shortText(r.BusinessName) {
		return invalid("business_name: at most %d characters, none of them control characters", mostText)
	}
	if !shortText(r.ExpectBusiness) {
		return invalid("expect.business_id: at most %d characters, none of them control characters", mostText)
	}
	return nil
}

func notLocale(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-')
}

func shortText(s string) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= mostText && !strings.ContainsFunc(s, unicode.IsControl)
}

// connection returns the connection a link is for, making it if it is an
// address nobody has used.
func (s *Service) connection(ctx context.Context, r LinkRequest) (grant.Connection, error) {
	c, err := s.c.Store.Connection(ctx, r.Ref)
	if !errors.Is(err, store.ErrNotFound) || r.Ref.ID != "" {
		return c, err
	}
	if err := grant.ValidKey(r.Ref.Key); err != nil {
		return c, invalid("ref: %v", err)
	}
	if _, ok := s.c.Apps[r.Ref.App]; !ok {
		return c, invalid("ref: there is no app %q", clip(r.Ref.App))
	}
	now := s.c.Now()
	c = grant.Connection{
		ID: grant.NewID(grant.ConnectionID, now), App: r.Ref.App, Key: r.Ref.Key, Name: r.BusinessName,
		Status: grant.StatusOf(grant.NeverConnected, now), CreatedAt: now, UpdatedAt: now,
	}
	err = s.c.Store.CreateConnection(ctx, c)
	if errors.Is(err, store.ErrExists) { // somebody else was just as quick
		return s.c.Store.Connection(ctx, r.Ref)
	}
	return c, err
}

// purpose derives what a link is for.
func purpose(r LinkRequest, c grant.Connection) grant.Purpose {
	switch {
	case c.Status.State == grant.Pending:
		return grant.PurposeConnect
	case c.Status.State.Live() && (r.Purpose == grant.PurposeAddGrant || r.Purpose == "" && len(r.Locations) > 0):
		return grant.PurposeAddGrant
	}
	return grant.PurposeReconnect
}

// Link returns a link with the state it has now.
func (s *Service) Link(ctx context.Context, id string) (grant.Link, error) {
	l, err := s.c.Store.Link(ctx, id)
	if err != nil {
		return l, failLink("show link", id, err)
	}
	l.State = l.StateAt(s.c.Now())
	return l, nil
}

// Links lists links, newest first, with the state they have now.
func (s *Service) Links(ctx context.Context, f store.LinkFilter, p store.Page) ([]grant.Link, string, error) {
	f.Now = s.c.Now()
	ls, next, err := s.c.Store.ListLinks(ctx, f, p)
	if err != nil {
		return nil, "", failLink("list links", "", err)
	}
	for i := range ls {
		ls[i].State = ls[i].StateAt(f.Now)
	}
	return ls, next, nil
}

// Revoke takes a link back. Revoking a revoked link changes nothing; a completed
// one is a conflict, because what it did is not undone by it.
func (s *Service) Revoke(ctx context.Context, id string) (grant.Link, error) {
	l, err := s.c.Store.UpdateLink(ctx, id, func(l *grant.Link) error {
		l.State = grant.LinkStateRevoked
		return nil
	})
	if errors.Is(err, store.ErrStale) {
		if l, err = s.c.Store.Link(ctx, id); err == nil && l.State != grant.LinkStateRevoked {
			err = conflict("the link is used up; to end the connection, disconnect it")
		}
		if err != nil {
			return grant.Link{}, failLink("revoke link", id, err)
		}
		return l, nil
	}
	if err != nil {
		return grant.Link{}, failLink("revoke link", id, err)
	}
	s.c.LinkState(l.App, string(l.State))
	return l, nil
}

// linkURL returns the address of a link's page.
func (s *Service) linkURL(token, page string) string {
	u := s.public + "/connect/" + token
	if page != "" {
		u += "/" + page
	}
	return u
}

// linkEvent tells of a link.
func linkEvent(t grant.EventType, l grant.Link, c grant.Connection) grant.Event {
	return grant.Event{
		Type: t, Connection: c.ID, App: c.App, Ref: c.Ref().String(),
		Data: map[string]any{"link": l.ID, "purpose": string(l.Purpose)},
	}
}

// invalid is a request that is wrong in a field.
func invalid(format string, args ...any) error {
	return &evergrant.Error{Code: "invalid_request", Message: fmt.Sprintf(format, args...), Err: evergrant.ErrInvalid}
}

func conflict(message string) error {
	return &evergrant.Error{Code: "conflict", Message: message, Err: evergrant.ErrInvalid}
}

func failLink(op, id string, err error) error { return fail(op, grant.Ref{ID: id}, err) }

// retryAfter is what callers are asked to wait for a store that is down.
const retryAfter = 2 * time.Second

// fail turns any error into one for the API's callers.
func fail(op string, ref grant.Ref, err error) error {
	if e := (*evergrant.Error)(nil); errors.As(err, &e) {
		e.Op, e.Ref = op, evergrant.Ref(ref.String())
		return e
	}
	e := &evergrant.Error{Op: op, Ref: evergrant.Ref(ref.String()), Err: err}
	switch {
	case errors.Is(err, store.ErrNotFound):
		e.Code, e.Err = "not_found", evergrant.ErrNotFound
		if strings.HasPrefix(ref.ID, grant.LinkID) {
			e.Message = "no such link"
		}
	case errors.Is(err, store.ErrUnavailable):
		e.Code, e.Err, e.RetryAfter = "temporarily_unavailable", evergrant.ErrTemporary, retryAfter
		e.ActBy, e.Reason = evergrant.ActOperator, string(grant.StoreUnavailable)
		e.Message = "the store cannot be written now"
	default:
		e.Code = "internal"
		e.Message = "something went wrong here; the log says what"
	}
	return e
}

// clip keeps a stranger's text short enough for an error message.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
