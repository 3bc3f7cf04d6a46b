package provider

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/secret"
)

// mostSecrets is how many client secrets an app may have: the current one and,
// while rotating, the other.
const mostSecrets = 2

// AppOptions is what an operator says about an app. What is left zero comes from
// the recipe.
type AppOptions struct {
	Name        string
	Recipe      Recipe
	Environment Environment // "" means Production
	// SandboxURL is where the sandbox listens; needed for Sandbox only.
	SandboxURL string
	// Endpoints replace the recipe's, one by one. An issuer, a refresh or a revocation
	// endpoint of the recipe does not survive the replacement of the
	// authorization or token endpoint it belongs to: another server would be
	// taken for it, or be sent its tokens.
	Endpoints      Endpoints
	ClientID       string
	Secrets        []secret.String // the first is tried first; at most two
	Scopes         []string
	RequiredScopes []string // must be among Scopes
	Auth           oauth.ClientAuth
	PKCE           *bool
	// Policy changes the recipe's policy; nil leaves it.
	Policy func(grant.Policy) grant.Policy
	// PublicURL is where merchants reach us: scheme and host, without a path.
	PublicURL string
}

// NewApp fills in a recipe. The error joins everything that is wrong, one line
// each, beginning with the configuration's name of the field, such as
// "apps.k-series.client_id: ".
func NewApp(o AppOptions) (*App, error) {
	if err := grant.ValidApp(o.Name); err != nil {
		return nil, fmt.Errorf("apps: %w", err)
	}
	if o.Environment == "" {
		o.Environment = Production
	}
	a := &App{
		Name: o.Name, Recipe: o.Recipe, Environment: o.Environment,
		ClientID: o.ClientID, Secrets: slices.Clone(o.Secrets),
		Auth: o.Auth, PKCE: o.Recipe.PKCE,
		Scopes: slices.Clone(o.Scopes), RequiredScopes: slices.Clone(o.RequiredScopes),
		Policy: o.Recipe.Policy,
	}
	if a.Auth == "" {
		a.Auth = o.Recipe.Auth
	}
	if o.PKCE != nil {
		a.PKCE = *o.PKCE
	}
	if o.Policy != nil {
		a.Policy = o.Policy(a.Policy)
	}

	c := checker{app: o.Name}
	a.Endpoints = c.endpoints(o)
	a.RedirectURI = c.redirect(o)
	if o.Environment == Sandbox {
		a.SandboxURL = strings.TrimRight(o.SandboxURL, "/")
	}
	c.client(a)
	c.scopes(a)
	c.policy(a.Policy)
	if err := errors.Join(c.errs...); err != nil {
		return nil, err
	}
	return a, nil
}

// checker gathers what is wrong with one app.
type checker struct {
	app  string
	errs []error
}

func (c *checker) wrong(field string, err error) {
	if err != nil {
		c.errs = append(c.errs, fmt.Errorf("apps.%s.%s: %w", c.app, field, err))
	}
}

func (c *checker) wrongf(field, format string, args ...any) {
	c.wrong(field, fmt.Errorf(format, args...))
}

// endpoints merges the recipe's endpoints with the operator's and checks the
// result.
func (c *checker) endpoints(o AppOptions) Endpoints {
	base, ok := o.Recipe.Environments[o.Environment]
	if !ok {
		c.wrongf("environment", "%s has no environment %q; it has %s", o.Recipe.Name, o.Environment, known(o.Recipe.Environments))
		return Endpoints{}
	}
	if o.Environment == Sandbox {
		root, err := baseURL(o.SandboxURL)
		if err != nil {
			c.wrongf("environment", "sandbox needs the sandbox's address: %w", err)
			return Endpoints{}
		}
		base = base.under(root)
	}
	e := base.replacedBy(o.Endpoints)
	for field, raw := range map[string]string{
		"issuer": e.Issuer, "endpoints.authorize": e.Authorize, "endpoints.token": e.Token, "endpoints.refresh": e.Refresh,
		"endpoints.revoke": e.Revoke, "endpoints.api": e.API,
	} {
		if raw == "" {
			continue
		}
		switch {
		case !strings.ContainsAny(raw, "{}"):
			c.wrong(field, oauth.CheckEndpoint(raw))
		case len(o.Recipe.Variables) == 0:
			c.wrongf(field, "%s declares no variables, so %q may contain none", o.Recipe.Name, raw)
		case field == "issuer" || field == "endpoints.authorize":
			c.wrongf(field, "%q may contain no variables: they are known only after the business has approved", raw)
		default:
			c.wrong(field, checkTemplate(raw, o.Recipe.Variables))
		}
	}
	if e.Issuer == "" {
		if e.Authorize == "" {
			c.wrongf("endpoints.authorize", "missing; name it, or name the issuer to discover it")
		}
		if e.Token == "" {
			c.wrongf("endpoints.token", "missing; name it, or name the issuer to discover it")
		}
	}
	slices.SortFunc(c.errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return e
}

// under makes paths absolute.
func (e Endpoints) under(root string) Endpoints {
	for _, p := range []*string{&e.Issuer, &e.Authorize, &e.Token, &e.Refresh, &e.Revoke, &e.API} {
		if *p != "" {
			*p = root + *p
		}
	}
	return e
}

// replacedBy puts o's endpoints in the place of e's.
func (e Endpoints) replacedBy(o Endpoints) Endpoints {
	if o.Authorize != "" && o.Authorize != e.Authorize {
		e.Issuer, e.IssRequired = "", false
	}
	if o.Token != "" && o.Token != e.Token {
		e.Refresh, e.Revoke = "", ""
	}
	for _, p := range []struct {
		to   *string
		from string
	}{{&e.Issuer, o.Issuer}, {&e.Authorize, o.Authorize}, {&e.Token, o.Token}, {&e.Refresh, o.Refresh}, {&e.Revoke, o.Revoke}, {&e.API, o.API}} {
		if p.from != "" {
			*p.to = p.from
		}
	}
	e.IssRequired = e.IssRequired || o.IssRequired
	return e
}

func (c *checker) redirect(o AppOptions) string {
	public, err := baseURL(o.PublicURL)
	if err != nil {
		c.errs = append(c.errs, fmt.Errorf("server.public_url: %w", err))
		return ""
	}
	return public + "/oauth/callback/" + o.Name
}

func (c *checker) client(a *App) {
	switch {
	case strings.TrimSpace(a.ClientID) == "":
		c.wrongf("client_id", "missing; it is on the page of your app at the provider")
	case !printable(a.ClientID):
		c.wrongf("client_id", "contains characters other than printable ASCII (RFC 6749 appendix A.1)")
	case a.Recipe.CheckClientID != nil:
		c.wrong("client_id", a.Recipe.CheckClientID(a.ClientID, a.Environment))
	}

	switch a.Auth {
	case oauth.None:
		if len(a.Secrets) > 0 {
			c.wrongf("client_secret", "client_auth none sends no secret; remove one of the two")
		}
		return
	case oauth.Basic, oauth.Post, oauth.PrivateKeyJWT:
	default:
		c.wrongf("client_auth", "%q is not one of basic, post, none, private_key_jwt", a.Auth)
	}
	switch n := len(a.Secrets); {
	case n == 0:
		c.wrongf("client_secret", "missing; client_auth %s needs one", a.Auth)
	case n > mostSecrets:
		c.wrongf("client_secret", "%d secrets; at most %d, the current one and the other while rotating", n, mostSecrets)
	case slices.ContainsFunc(a.Secrets, secret.String.IsZero):
		c.wrongf("client_secret", "empty")
	}
}

func (c *checker) scopes(a *App) {
	if a.Recipe.ScopeRequired && len(a.Scopes) == 0 {
		c.wrongf("scopes", "missing; %s lets nobody connect to an app that asks for none", a.Recipe.Login)
	}
	for i, s := range a.Scopes {
		switch {
		case !scopeToken(s):
			c.wrongf("scopes", "%q is not a scope: no spaces, quotes or backslashes (RFC 6749 section 3.3)", s)
		case slices.Contains(a.Scopes[:i], s):
			c.wrongf("scopes", "%q is listed twice", s)
		case a.Recipe.CheckScope != nil:
			c.wrong("scopes", a.Recipe.CheckScope(s))
		}
	}
	for _, s := range a.RequiredScopes {
		if !slices.Contains(a.Scopes, s) {
			c.wrongf("required_scopes", "%q is not among scopes, so nobody is asked for it", s)
		}
	}
}

func (c *checker) policy(p grant.Policy) {
	if p.Rotation != "" {
		_, err := grant.ParseRotation(string(p.Rotation))
		c.wrong("rotation.policy", err)
	}
	switch p.OldAccessToken {
	case "", grant.Kept, grant.RevokedNow:
	default:
		c.wrongf("rotation.old_access_token", "%q is not one of kept, revoked_now", p.OldAccessToken)
	}
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"rotation.window", p.Window},
		{"access_token_lifetime", p.AccessLifetime},
		{"refresh_token_lifetime.idle", p.RefreshIdle},
		{"refresh_token_lifetime.absolute", p.RefreshAbsolute},
		{"refresh.window", p.RefreshWindow},
		{"refresh.timeout", p.SendTimeout},
		{"refresh.min_interval", p.MinInterval},
	} {
		if d.value < 0 || d.value > grant.MaxLifetime {
			c.wrongf(d.field, "%s is not between 0 and %s", d.value, grant.MaxLifetime)
		}
	}
	if p.MaxInFlight < 0 {
		c.wrongf("refresh.max_in_flight", "%d is negative", p.MaxInFlight)
	}
	if p.RatePerSecond < 0 {
		c.wrongf("refresh.rate", "%g is negative", p.RatePerSecond)
	}
}

// baseURL checks an address of ours that paths are appended to, and returns it
// without a slash at its end.
func baseURL(raw string) (string, error) {
	if raw == "" {
		return "", errors.New("missing")
	}
	if err := oauth.CheckEndpoint(raw); err != nil {
		return "", err
	}
	u, err := url.Parse(raw)
	if err != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery {
		return "", fmt.Errorf("%q must be a scheme and a host and nothing else, like https://connect.example.com", raw)
	}
	return u.Scheme + "://" + u.Host, nil
}

// known lists the environments of a recipe.
func known(m map[Environment]Endpoints) string {
	var names []string
	for e := range m {
		names = append(names, string(e))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// printable reports whether s is VSCHAR only (RFC 6749 appendix A).
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e })
}

// scopeToken reports whether s is one scope (RFC 6749 section 3.3).
func scopeToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= 0x20 || r > 0x7e || r == '"' || r == '\\' })
}
