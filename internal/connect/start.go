package connect

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/provider"
)

// trip is what the callback has to know and nobody else may: it travels sealed
// in the authorization.
type trip struct {
	Verifier secret.String // PKCE; zero if the provider takes none
	Token    secret.String // of the link, to send the browser back to its pages
	// TokenURL is the token endpoint that belongs to where the merchant was sent.
	// Variables in it are not known before the merchant is back.
	TokenURL string
	Lang     string // picked by hand; "" if none was
}

type tripJSON struct {
	Verifier string `json:"v,omitempty"`
	Token    string `json:"t"`
	TokenURL string `json:"u"`
	Lang     string `json:"l,omitempty"`
}

func (s *Service) sealTrip(authorizationID string, t trip) ([]byte, error) {
	plain, err := json.Marshal(tripJSON{t.Verifier.Reveal(), t.Token.Reveal(), t.TokenURL, t.Lang})
	if err != nil {
		return nil, fmt.Errorf("encode authorization: %w", err)
	}
	return s.c.Ring.Seal(seal.Slot{Table: seal.Authorizations, Row: authorizationID}, plain)
}

func (s *Service) openTrip(a grant.Authorization) (trip, error) {
	plain, err := s.c.Ring.Open(seal.Slot{Table: seal.Authorizations, Row: a.ID}, a.Sealed)
	if err != nil {
		return trip{}, err
	}
	var j tripJSON
	if json.Unmarshal(plain, &j) != nil {
		// The decoder's error could quote a secret.
		return trip{}, errors.New("open authorization: the opened bytes are not one")
	}
	return trip{secret.New(j.Verifier), secret.New(j.Token), j.TokenURL, j.Lang}, nil
}

// start sends the merchant to the provider. It needs no protection against
// forgery but the link's token: what it starts, only the browser that gets the
// cookie can finish.
func (s *Service) start(r *http.Request) answer {
	v, p := s.find(r)
	if p != "" {
		return s.problemPage(v, p)
	}
	if v.link.State == grant.LinkStateCompleted {
		return goTo(s.linkURL(v.token.Reveal(), "done"))
	}
	ep, err := s.endpoints(r.Context(), v.app)
	if err != nil {
		s.c.Logger.WarnContext(r.Context(), "a merchant cannot be sent to the provider", "app", v.app.Name, "err", err)
		return s.problemPage(v, grant.ProblemProviderUnavailable)
	}
	s.announce(r.Context(), v.app)
	return s.depart(r, v, ep)
}

// depart mints a state for this browser and sends it to the provider. A browser
// keeps its cookie from one trip to the next, so that two tabs do not undo each
// other; every trip has a state of its own.
func (s *Service) depart(r *http.Request, v visit, ep provider.Endpoints) answer {
	browser, ok := s.browser(r)
	if !ok {
		browser = newToken()
	}
	location, err := s.authorize(r, v, ep, browser)
	switch {
	case errors.Is(err, store.ErrStale): // used up or taken back a moment ago
		return goTo(s.linkURL(v.token.Reveal(), ""))
	case err != nil:
		s.c.Logger.ErrorContext(r.Context(), "a merchant cannot be sent to the provider",
			"app", v.app.Name, "link", v.link.ID, "err", err)
		return s.problemPage(v, grant.ProblemOurFault)
	}
	s.c.LinkState(v.link.App, string(grant.LinkStateAtProvider))
	a := goTo(location)
	a.cookie = s.bind(browser)
	a.formAction = origin(ep.Authorize)
	return a
}

// authorize stores the trip and returns the address it begins at.
func (s *Service) authorize(r *http.Request, v visit, ep provider.Endpoints, browser secret.String) (string, error) {
	now := s.c.Now()
	state := oauth.NewState()
	t := trip{Token: v.token, TokenURL: ep.Token, Lang: s.chosen(r)}
	if v.app.PKCE {
		t.Verifier = oauth.NewVerifier()
	}
	location, err := oauth.AuthorizeURL(oauth.AuthorizeRequest{
		Endpoint: ep.Authorize, ClientID: v.app.ClientID, RedirectURI: v.app.RedirectParam(v.app.RedirectURI),
		State: state.Reveal(), Scopes: v.app.Scopes, Verifier: t.Verifier, Extra: v.app.AuthorizeParams(),
	})
	if err != nil {
		return "", err
	}
	a := grant.Authorization{
		ID: grant.NewID(grant.AuthorizationID, now), LinkID: v.link.ID,
		StateHash: hash(state), BrowserHash: hash(browser),
		Issuer: ep.Issuer, RedirectURI: v.app.RedirectURI, CreatedAt: now, ExpiresAt: now.Add(stateLife),
	}
	if a.Sealed, err = s.sealTrip(a.ID, t); err != nil {
		return "", err
	}
	started := linkEvent(grant.AuthorizationStarted, v.link, v.conn)
	started.Data["authorization"] = a.ID
	return location, s.c.Store.CreateAuthorization(r.Context(), a, started)
}
