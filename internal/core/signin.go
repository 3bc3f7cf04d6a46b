package core

import (
	"context"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/signin"
	"github.com/evergrant/evergrant/internal/store"
)

// signIn makes what lets people into the dashboard. Their sessions last by the
// clock on the wall, also where a demo's clock is ahead.
func (c *Core) signIn(o Options, st store.Logins, ring *seal.Ring) (*signin.Service, error) {
	conf := signin.Config{Store: st, Ring: ring, URL: o.DashboardURL, Logger: o.Logger}
	if p := o.Config.Dashboard.OIDC; p != nil {
		conf.OIDC = &signin.OIDC{
			Issuer: p.Issuer, ClientID: p.ClientID, ClientSecret: p.ClientSecret.Value(), Scopes: p.Scopes, Claim: p.Claim,
			Roles: map[access.Role][]string{access.Operator: p.Roles.Operator, access.Support: p.Roles.Support, access.Viewer: p.Roles.Viewer},
		}
	}
	s, err := signin.New(conf)
	if err != nil {
		return nil, err
	}
	c.undo.Add("logins", func(context.Context) error { s.Close(); return nil })
	return s, nil
}
