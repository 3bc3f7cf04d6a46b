package signin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"

	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/secret"
)

const (
	askTimeout    = 10 * time.Second // for one request to the provider
	discoverEvery = time.Hour
	maxAnswer     = 1 << 20 // bytes that are read of an answer
)

// identityProvider is the client of an OpenID provider (OpenID Connect Core 1.0,
// section 3.1: the authorization code flow).
type identityProvider struct {
	OIDC
	redirect string
	client   *http.Client
	now      func() time.Time

	asking singleflight.Group
	known  atomic.Pointer[discovered]
}

// discovered is what a provider says of itself.
type discovered struct {
	provider *oidc.Provider
	style    oauth2.AuthStyle
	iss      bool // its redirects carry iss (RFC 9207)
	at       time.Time
}

func newIdentityProvider(o OIDC, redirect string, now func() time.Time) *identityProvider {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute}
	return &identityProvider{OIDC: o, redirect: redirect, now: now, client: &http.Client{
		Transport: bounded{t}, Timeout: askTimeout,
		// A redirect would take the client's secret elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// bounded keeps a provider's answers short, and what it says of its errors to
// itself: the libraries above would quote it.
type bounded struct{ next *http.Transport }

// RoundTrip implements [http.RoundTripper].
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if r.Method == http.MethodGet && res.StatusCode != http.StatusOK {
		_ = res.Body.Close()
		res.Body = http.NoBody
		return res, nil
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(res.Body, maxAnswer), res.Body}
	return res, nil
}

// CloseIdleConnections is for [http.Client.CloseIdleConnections].
func (b bounded) CloseIdleConnections() { b.next.CloseIdleConnections() }

// host names the provider for people.
func (p *identityProvider) host() string {
	u, err := url.Parse(p.Issuer)
	if err != nil {
		return p.Issuer
	}
	return u.Host
}

// discover returns what the provider says of itself, at most an hour old. While
// it cannot be asked, what it said before goes on counting.
func (p *identityProvider) discover(ctx context.Context) (*discovered, error) {
	known := p.known.Load()
	if known != nil && p.now().Sub(known.at) < discoverEvery {
		return known, nil
	}
	// Everybody waits for one request, which ends with nobody's.
	asked := p.asking.DoChan("", func() (any, error) { return p.ask(context.WithoutCancel(ctx)) })
	select {
	case res := <-asked:
		if res.Err == nil {
			return res.Val.(*discovered), nil
		}
		if known != nil {
			return known, nil
		}
		return nil, res.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ask reads the discovery document (OpenID Connect Discovery 1.0, section 4). It
// must be the configured issuer's own.
func (p *identityProvider) ask(ctx context.Context) (*discovered, error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.Issuer)
	if err != nil {
		return nil, err
	}
	var says struct {
		Methods []string `json:"token_endpoint_auth_methods_supported"`
		Iss     bool     `json:"authorization_response_iss_parameter_supported"`
		Keys    string   `json:"jwks_uri"`
	}
	if err := provider.Claims(&says); err != nil {
		return nil, err
	}
	for name, address := range map[string]string{
		"authorization_endpoint": provider.Endpoint().AuthURL, "token_endpoint": provider.Endpoint().TokenURL, "jwks_uri": says.Keys,
	} {
		if err := oauth.CheckEndpoint(address); err != nil {
			return nil, fmt.Errorf("its %s: %w", name, err)
		}
	}
	if info := provider.UserInfoEndpoint(); info != "" {
		if err := oauth.CheckEndpoint(info); err != nil {
			return nil, fmt.Errorf("its userinfo_endpoint: %w", err)
		}
	}
	style, err := p.style(says.Methods)
	if err != nil {
		return nil, err
	}
	d := &discovered{provider: provider, style: style, iss: says.Iss, at: p.now()}
	p.known.Store(d)
	return d, nil
}

// style is how the client says who it is. It is decided here, because the library
// would otherwise find out by sending a code twice.
func (p *identityProvider) style(methods []string) (oauth2.AuthStyle, error) {
	switch {
	case p.ClientSecret.IsZero():
		return oauth2.AuthStyleInParams, nil
	case len(methods) == 0, slices.Contains(methods, "client_secret_basic"):
		return oauth2.AuthStyleInHeader, nil // the default: OpenID Connect Discovery 1.0, section 3
	case slices.Contains(methods, "client_secret_post"):
		return oauth2.AuthStyleInParams, nil
	}
	return 0, errors.New("it takes no client secret at its token endpoint")
}

// authorizeURL is where a person is sent with a trip.
func (p *identityProvider) authorizeURL(d *discovered, t trip) (string, error) {
	return oauth.AuthorizeURL(oauth.AuthorizeRequest{
		Endpoint: d.provider.Endpoint().AuthURL, ClientID: p.ClientID, RedirectURI: p.redirect, State: t.State,
		Scopes: p.Scopes, Verifier: secret.New(t.Verifier), Extra: url.Values{"nonce": {t.Nonce}},
	})
}

// identify redeems the code that a trip brought and returns what is known of the
// person: what the ID token says and, where that leaves something open, the
// userinfo endpoint.
func (p *identityProvider) identify(ctx context.Context, d *discovered, t trip, code secret.String) (evidence, error) {
	ctx = oidc.ClientContext(ctx, p.client)
	endpoint := d.provider.Endpoint()
	endpoint.AuthStyle = d.style
	client := oauth2.Config{ClientID: p.ClientID, ClientSecret: p.ClientSecret.Reveal(), Endpoint: endpoint, RedirectURL: p.redirect}
	token, err := client.Exchange(ctx, code.Reveal(), oauth2.VerifierOption(t.Verifier))
	if err != nil {
		return evidence{}, fmt.Errorf("redeem the code: %w", because(err))
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return evidence{}, errors.New("the token endpoint answers without an ID token")
	}
	id, err := d.provider.Verifier(&oidc.Config{ClientID: p.ClientID, Now: p.now}).Verify(ctx, raw)
	if err != nil {
		return evidence{}, fmt.Errorf("the ID token: %w", because(err))
	}
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return evidence{}, errors.New("the ID token: its claims cannot be read")
	}
	switch azp, given := claims["azp"]; {
	case id.Subject == "":
		return evidence{}, errors.New("the ID token: it names nobody")
	case !same(id.Nonce, t.Nonce):
		return evidence{}, errors.New("the ID token: it was issued for another login")
	case given && azp != p.ClientID, len(id.Audience) > 1 && !given:
		return evidence{}, errors.New("the ID token: it was issued to another client")
	}
	if p.lacks(claims) && d.provider.UserInfoEndpoint() != "" {
		if err := p.add(ctx, d, token, id.Subject, claims); err != nil {
			return evidence{}, fmt.Errorf("the userinfo endpoint: %w", because(err))
		}
	}
	return p.look(claims), nil
}

// add adds what the userinfo endpoint says of the same person. What the signed ID
// token says stands.
func (p *identityProvider) add(ctx context.Context, d *discovered, token *oauth2.Token, subject string, claims map[string]any) error {
	info, err := d.provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return err
	}
	if info.Subject != subject {
		return errors.New("it speaks of another person") // OpenID Connect Core 1.0, section 5.3.2
	}
	var more map[string]any
	if err := info.Claims(&more); err != nil {
		return errors.New("its claims cannot be read")
	}
	// An address and whether it is verified belong together.
	switch email, ok := claims["email"]; {
	case !ok:
		delete(claims, "email_verified")
	case email != more["email"]:
		delete(more, "email_verified")
	}
	for name, v := range more {
		if _, ok := claims[name]; !ok {
			claims[name] = v
		}
	}
	return nil
}

// because is a library's error without what the provider wrote.
func because(err error) error {
	var refused *oauth2.RetrieveError
	var expired *oidc.TokenExpiredError
	switch {
	case errors.As(err, &refused):
		code := "no code that can be shown"
		if clean(refused.ErrorCode) == refused.ErrorCode && refused.ErrorCode != "" {
			code = refused.ErrorCode
		}
		return fmt.Errorf("it answers %d, %s", refused.Response.StatusCode, code)
	case errors.As(err, &expired):
		return errors.New("it is over; compare this machine's clock with the provider's")
	}
	return errors.New(strings.ToValidUTF8(clip(err.Error(), 300), ""))
}

// clip cuts a text for the log.
func clip(s string, most int) string {
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
