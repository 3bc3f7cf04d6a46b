package signin

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
)

// How long what a one-time link gives lasts.
const (
	LinkLife        = 5 * time.Minute // the link, if nobody uses it
	LinkSessionLife = 4 * time.Hour   // the session it begins
)

// Invitation is a one-time link.
type Invitation struct {
	URL       secret.String
	ExpiresAt time.Time
}

// Invite makes a link that lets one person in, once, within LinkLife. The name is
// what they will be called, as far as it can be shown. An error that the operator can do something about is
// an *[evergrant.Error].
func (s *Service) Invite(ctx context.Context, name string, role access.Role) (Invitation, error) {
	switch name = clean(name); {
	case s.c.URL == "":
		return Invitation{}, &evergrant.Error{Op: "invite", Code: "conflict", ActBy: evergrant.ActOperator,
			Message: "it is not known where people reach the dashboard; set dashboard.url"}
	case name == "":
		return Invitation{}, &evergrant.Error{Op: "invite", Code: "invalid_request", Message: "name: nothing of it can be shown", Err: evergrant.ErrInvalid}
	case !role.May(access.Viewer):
		return Invitation{}, fmt.Errorf("signin: there is no role %q", role)
	}
	token := oauth.NewState() // 256 random bits
	until, err := s.c.Store.CreateLogin(ctx, store.Login{Hash: access.Hash(token.Reveal()), Name: name, Role: role}, LinkLife)
	if err != nil {
		return Invitation{}, err
	}
	return Invitation{URL: secret.New(s.c.URL + linkPath + token.Reveal()), ExpiresAt: until}, nil
}

// hashOf returns the hash of the token in a request's path, false if there can be
// none like it.
func hashOf(r *http.Request) ([sha256.Size]byte, bool) {
	token := r.PathValue("token")
	if b, err := base64.RawURLEncoding.Strict().DecodeString(token); err != nil || len(b) != 32 {
		return [sha256.Size]byte{}, false
	}
	return access.Hash(token), true
}

// showLink says who one will be. It uses nothing up, so that mail scanners and
// previews do not, and waits for a button of this very page.
func (s *Service) showLink(r *http.Request) answer {
	l, a, ok := s.link(r, s.c.Store.Login)
	if !ok {
		return a
	}
	p := page{
		Heading: "Log in as " + l.Name + "?",
		Lead:    []string{"This link lets one person into the dashboard, once. Your role is " + string(l.Role) + ": you " + may(l.Role)},
		Form:    form{Action: r.URL.EscapedPath(), Label: "Log in"},
		Note:    "If you did not ask for this link, close the page.",
	}
	if now, in := s.Person(r); in {
		p.Lead = append(p.Lead, "You are logged in as "+now.Name+" ("+string(now.Role)+"). That ends.")
	}
	return answer{status: http.StatusOK, page: p}
}

// useLink logs in the browser that is first.
func (s *Service) useLink(r *http.Request) answer {
	l, a, ok := s.link(r, s.c.Store.UseLogin)
	if !ok {
		return a
	}
	return s.admit(r, l.Name, l.Role, LinkSessionLife, "link", "/")
}

// link looks a request's link up.
func (s *Service) link(r *http.Request, find func(context.Context, [sha256.Size]byte) (store.Login, error)) (store.Login, answer, bool) {
	hash, ok := hashOf(r)
	if !ok {
		return store.Login{}, s.deadLink(r), false
	}
	l, err := find(r.Context(), hash)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return store.Login{}, s.deadLink(r), false
	case err != nil:
		return store.Login{}, s.failed(r, "a login link cannot be looked up", err), false
	}
	return l, answer{}, true
}

// deadLink answers to a link that lets nobody in.
func (s *Service) deadLink(r *http.Request) answer {
	p := page{
		Heading: "This link does not work",
		Lead:    []string{"It was used, it is older than five minutes, or a part of it is missing."},
		Note:    "Whoever runs this server makes another with", Command: command,
	}
	if now, in := s.Person(r); in {
		p.Lead = append(p.Lead, "You are logged in as "+now.Name+" already.")
		p.Link = link{To: "/", Label: "Go to the dashboard"}
	}
	return s.refuse(r, http.StatusNotFound, p)
}
