package config

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

// Dashboard is where operators reach the private listener, and who may come in
// besides those with a one-time link.
type Dashboard struct {
	URL  string `yaml:"url,omitempty"` // without a path or a trailing slash; "": see [Config.DashboardURL]
	OIDC *OIDC  `yaml:"oidc,omitempty"`
}

// OIDC is the identity provider that people log in to the dashboard with.
type OIDC struct {
	Issuer       string   `yaml:"issuer"`
	ClientID     string   `yaml:"client_id"`
	ClientSecret Secret   `yaml:"client_secret,omitempty"` // none: a public client
	Scopes       []string `yaml:"scopes,omitempty,flow"`
	Claim        string   `yaml:"claim,omitempty"`
	Roles        Roles    `yaml:"roles"`
}

// Roles lists who has which role: verified e-mail addresses and entries of the
// claim.
type Roles struct {
	Operator []string `yaml:"operator,omitempty,flow"`
	Support  []string `yaml:"support,omitempty,flow"`
	Viewer   []string `yaml:"viewer,omitempty,flow"`
}

// role is a list of [Roles] with its key.
type role struct {
	key  string
	list []string
}

func (r Roles) all() []role {
	return []role{{"operator", r.Operator}, {"support", r.Support}, {"viewer", r.Viewer}}
}

// DashboardURL returns where people reach the dashboard if the private listener
// is at an address: as the file says, or this machine over http if the listener
// is there; "" if nobody can know.
func (c *Config) DashboardURL(private string) string {
	if c.Dashboard.URL != "" {
		return c.Dashboard.URL
	}
	host, port, err := net.SplitHostPort(private)
	if err != nil {
		return "" // a socket
	}
	switch ip := net.ParseIP(host); {
	case host == "", ip != nil && ip.IsUnspecified():
		host = "127.0.0.1"
	case !loopback(host):
		return ""
	}
	return "http://" + net.JoinHostPort(host, port)
}

// setDefaults fills in what the file left open.
func (d *Dashboard) setDefaults() {
	if d.OIDC == nil {
		return
	}
	if d.OIDC.Scopes == nil {
		d.OIDC.Scopes = []string{"openid", "profile", "email"}
	}
	if d.OIDC.Claim == "" {
		d.OIDC.Claim = "groups"
	}
}

// validateDashboard checks who may come in.
func (c *Config) validateDashboard(ps *Problems, dir string) {
	d := &c.Dashboard
	d.URL = strings.TrimRight(d.URL, "/")
	if d.URL != "" {
		if err := checkOrigin(d.URL); err != nil {
			c.add(ps, "dashboard.url", "%v", err)
		}
	}
	o := d.OIDC
	if o == nil {
		return
	}
	const path = "dashboard.oidc"
	if c.DashboardURL(c.Server.PrivateListen) == "" {
		c.add(ps, "dashboard.url", "is missing; write the address operators reach server.private_listen at, like https://evergrant.acme.example")
	}
	if o.Issuer == "" {
		c.add(ps, path+".issuer", "is missing; write your identity provider's issuer, like https://id.acme.example")
	} else if u, err := checkURL(o.Issuer); err != nil {
		c.add(ps, path+".issuer", "%v", err)
	} else if u.RawQuery != "" || u.ForceQuery {
		c.add(ps, path+".issuer", "may not contain a query (?…)")
	}
	if o.ClientID == "" {
		c.add(ps, path+".client_id", "is missing; your identity provider gave it when you registered the dashboard")
	}
	if o.ClientSecret != (Secret{}) {
		if err := o.ClientSecret.check(dir); err != nil {
			c.add(ps, path+".client_secret", "%v", err)
		}
	}
	if !slices.Contains(o.Scopes, "openid") {
		c.add(ps, path+".scopes", "must contain openid")
	}
	for i, s := range o.Scopes {
		if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
			c.add(ps, fmt.Sprintf("%s.scopes[%d]", path, i), "is not a scope; write each as an item of its own")
		}
	}
	some := false
	for _, r := range o.Roles.all() {
		some = some || len(r.list) > 0
		for i, v := range r.list {
			if strings.TrimSpace(v) != v || v == "" {
				c.add(ps, fmt.Sprintf("%s.roles.%s[%d]", path, r.key, i), "is empty or has spaces around it; write an e-mail address or an entry of the claim %s", o.Claim)
			}
		}
	}
	if !some {
		c.add(ps, path+".roles", "lets nobody in; write who may do what, like {operator: [anna@acme.example], viewer: [care-team]}")
	}
}

// readDashboard follows the reference to the client secret.
func (c *Config) readDashboard(ps *Problems, src Source) {
	if o := c.Dashboard.OIDC; o != nil {
		if err := o.ClientSecret.read(src); err != nil {
			c.add(ps, "dashboard.oidc.client_secret", "%v", err)
		}
	}
}
