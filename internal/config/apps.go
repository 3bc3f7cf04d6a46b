package config

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/provider"
)

// buildApps fills in the recipes.
func (c *Config) buildApps(ps *Problems, recipes map[string]provider.Recipe) {
	c.apps = provider.Apps{}
	for _, name := range slices.Sorted(maps.Keys(c.Apps)) {
		a, path := c.Apps[name], "apps."+name
		recipe, ok := recipes[a.Provider]
		if a.Provider == "" {
			c.add(ps, path+".provider", "is missing; write the provider's name, like lightspeed-k or generic")
			continue
		}
		if !ok {
			c.oneOf(ps, path+".provider", a.Provider, slices.Sorted(maps.Keys(recipes))...)
			continue
		}
		recipe.Errors = c.meanings(ps, path+".errors", a.Errors, recipe.Errors)
		app, err := provider.NewApp(provider.AppOptions{
			Name: name, Recipe: recipe, Environment: provider.Environment(a.Environment), SandboxURL: c.SandboxURL,
			Endpoints: provider.Endpoints{
				Issuer: a.Issuer, Authorize: a.Endpoints.Authorize, Token: a.Endpoints.Token,
				Revoke: a.Endpoints.Revoke, API: a.Endpoints.API,
			},
			ClientID: a.ClientID, Secrets: a.ClientSecret.Values(), Scopes: a.Scopes, RequiredScopes: a.RequiredScopes,
			Auth: oauth.ClientAuth(a.ClientAuth), PKCE: a.PKCE, Policy: c.policy(a), PublicURL: c.Server.PublicURL,
		})
		if err != nil {
			c.addJoined(ps, path, err)
			continue
		}
		c.apps[name] = app
	}
}

// addJoined adds the errors that err joins, each of which begins with the path
// of the key it is about. What has been said of a key already is not said again.
func (c *Config) addJoined(ps *Problems, path string, err error) {
	errs := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		errs = joined.Unwrap()
	}
	for _, err := range errs {
		at, text, ok := strings.Cut(err.Error(), ": ")
		if !ok {
			at, text = path, err.Error()
		}
		if !slices.ContainsFunc(*ps, func(p Problem) bool { return p.Path == at }) {
			*ps = append(*ps, c.At(at, errors.New(text)))
		}
	}
}

// errorOutcomes is what an error code may be said to mean.
func errorOutcomes() []grant.Outcome {
	return []grant.Outcome{grant.Refused, grant.Misconfigured, grant.Throttled, grant.Unclear}
}

// meanings returns what error codes mean: what the file says, and else the recipe.
func (c *Config) meanings(ps *Problems, path string, said map[string]string, recipe oauth.Errors) oauth.Errors {
	if len(said) == 0 {
		return recipe
	}
	meant := maps.Clone(recipe)
	if meant == nil {
		meant = oauth.Errors{}
	}
	for code, word := range said {
		i := slices.IndexFunc(errorOutcomes(), func(o grant.Outcome) bool { return o.String() == word })
		switch {
		case code == "":
			c.add(ps, path, "has an empty code; write the provider's, like invalid_request")
		case i < 0:
			c.oneOf(ps, join(path, code), word, outcomeNames()...)
		default:
			meant[code] = errorOutcomes()[i]
		}
	}
	return meant
}

func outcomeNames() []string {
	var all []string
	for _, o := range errorOutcomes() {
		all = append(all, o.String())
	}
	return all
}

// policy returns what the file changes about the policy of an app's recipe.
func (c *Config) policy(a *App) func(grant.Policy) grant.Policy {
	r := a.Refresh.over(c.Refresh)
	return func(p grant.Policy) grant.Policy {
		if a.Rotation.Policy != "" {
			// The recipe's window belongs to the recipe's rotation.
			p.Rotation, p.Window = grant.Rotation(a.Rotation.Policy), 0
		}
		if a.Rotation.OldAccessToken != "" {
			p.OldAccessToken = grant.OldAccessToken(a.Rotation.OldAccessToken)
		}
		set(&p.Window, a.Rotation.Window)
		set(&p.RefreshIdle, a.RefreshTokenLifetime.Idle)
		set(&p.RefreshAbsolute, a.RefreshTokenLifetime.Absolute)
		set(&p.RefreshWindow, r.Window)
		set(&p.MinInterval, r.MinInterval)
		most := r.MaxInFlight
		if p.Rotation.SingleUse() {
			most = r.MaxInFlightStrict
		}
		if most != 0 {
			p.MaxInFlight = most
		}
		if r.Rate != 0 {
			p.RatePerSecond = r.Rate
		}
		return p
	}
}

// over returns r with its zero fields taken from base.
func (r Refresh) over(base Refresh) Refresh {
	if r.Window != 0 {
		base.Window = r.Window
	}
	if r.MinInterval != 0 {
		base.MinInterval = r.MinInterval
	}
	if r.MaxInFlight != 0 {
		base.MaxInFlight = r.MaxInFlight
	}
	if r.MaxInFlightStrict != 0 {
		base.MaxInFlightStrict = r.MaxInFlightStrict
	}
	if r.Rate != 0 {
		base.Rate = r.Rate
	}
	return base
}

// set overrides d where the file says something.
func set(d *time.Duration, v Duration) {
	if v != 0 {
		*d = time.Duration(v)
	}
}
