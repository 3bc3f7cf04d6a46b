package sandbox

import (
	"cmp"
	"slices"
	"sort"
	"strings"
	"time"
)

// The views are what the control API shows: never a token, a secret or a
// password, only fingerprints.

type clientView struct {
	ClientID     string   `json:"client_id"`
	Series       string   `json:"series"`
	Secret       string   `json:"secret_fingerprint,omitempty"`
	RedirectURIs []string `json:"redirect_uris"`
	Scopes       []string `json:"scopes"`
	Rotation     rotation `json:"rotation"`
	Window       string   `json:"window,omitempty"`
	Public       bool     `json:"public,omitempty"`
	Server       string   `json:"server,omitempty"`    // R-Series
	StoreCap     *int     `json:"store_cap,omitempty"` // X-Series; 0 is any number
}

func viewClient(c *client) clientView {
	v := clientView{
		ClientID: c.id, Series: c.series.name, Secret: fingerprint(c.secret),
		RedirectURIs: append([]string{}, c.redirects...), Scopes: append([]string{}, c.scopes...), Rotation: c.rotation,
		Public: c.public,
	}
	switch {
	case c.series.storeCap > 0:
		most := c.storeCap
		v.StoreCap = &most
	case c.series.redirectRegistered && c.oldServer:
		v.Server = serverOld
	case c.series.redirectRegistered:
		v.Server = serverNew
	}
	if c.window > 0 {
		v.Window = c.window.String()
	}
	return v
}

type userView struct {
	Email      string     `json:"email"`
	Name       string     `json:"name"`
	Businesses []Business `json:"businesses"`
	Account    *Account   `json:"account,omitempty"`
	Retailer   *Retailer  `json:"retailer,omitempty"`
	Locked     bool       `json:"locked,omitempty"`
}

func viewUser(u User) userView {
	return userView{u.Email, u.Name, append([]Business{}, u.Businesses...), u.Account, u.Retailer, u.Locked}
}

type tokenView struct {
	Fingerprint string    `json:"fingerprint"`
	IssuedAt    time.Time `json:"issued_at"`
	ExpiresAt   time.Time `json:"expires_at"`
}

func viewToken(t *token) *tokenView {
	if t == nil {
		return nil
	}
	return &tokenView{t.print, t.issued.UTC(), t.expires.UTC()}
}

type grantView struct {
	ID        string     `json:"id"`
	ClientID  string     `json:"client_id"`
	Email     string     `json:"email"`
	Scope     string     `json:"scope"`
	Tenant    string     `json:"tenant,omitempty"` // R-Series: account id; X-Series: domain prefix
	State     string     `json:"state"`            // live or dead
	Reason    string     `json:"reason,omitempty"`
	DiedAt    *time.Time `json:"died_at,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
	Refreshes int        `json:"refreshes"`
	Access    *tokenView `json:"access_token"`
	Refresh   *tokenView `json:"refresh_token"`
}

func viewGrant(g *grant) grantView {
	v := grantView{
		ID: g.id, ClientID: g.client.id, Email: g.email, Scope: strings.Join(g.scope, " "), Tenant: g.tenant, State: "live", Reason: g.death,
		CreatedAt: g.created.UTC(), Refreshes: g.refreshes, Access: viewToken(g.access), Refresh: viewToken(g.refresh),
	}
	if g.death != "" {
		died := g.died.UTC()
		v.State, v.DiedAt = "dead", &died
	}
	return v
}

type faultView struct {
	App   string            `json:"app,omitempty"`
	Fault string            `json:"fault"`
	Left  *int              `json:"times_left,omitempty"` // absent: any number
	Until *time.Time        `json:"until,omitempty"`
	Match map[string]string `json:"match,omitempty"`
	Hits  int               `json:"hits"`
}

func viewFault(a *activeFault) faultView {
	v := faultView{App: a.App, Fault: a.Fault.Fault, Match: a.Match, Hits: a.hits}
	if a.left >= 0 {
		left := a.left
		v.Left = &left
	}
	if !a.until.IsZero() {
		until := a.until.UTC()
		v.Until = &until
	}
	return v
}

// listFaults answers the faults in force.
func (s *Sandbox) listFaults() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return map[string]any{"data": s.viewFaults()}
}

func (s *Sandbox) viewFaults() []faultView {
	out := []faultView{}
	for _, a := range s.w.faults {
		if !a.over(s.now()) {
			out = append(out, viewFault(a))
		}
	}
	return out
}

// heal deletes faults: all, or those of an app, or of a name.
func (s *Sandbox) heal(app, fault string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.w.faults)
	s.w.faults = slices.DeleteFunc(s.w.faults, func(a *activeFault) bool {
		return (app == "" || a.App == app) && (fault == "" || a.Fault.Fault == fault)
	})
	return before - len(s.w.faults)
}

type lifetimesView struct {
	Series         string `json:"series"`
	Access         string `json:"access"`
	RefreshOffline string `json:"refresh_offline"`
	RefreshOnline  string `json:"refresh_online"`
	Code           string `json:"code"`
}

func (s *Sandbox) viewLifetimes() []lifetimesView {
	var out []lifetimesView
	for _, sr := range s.series {
		out = append(out, lifetimesView{
			Series: sr.name, Access: s.w.accessLife(sr, nil).String(), Code: s.w.codeLife(sr).String(),
			RefreshOffline: s.w.refreshLife(sr, true).String(), RefreshOnline: s.w.refreshLife(sr, false).String(),
		})
	}
	return out
}

type stateView struct {
	Now       time.Time       `json:"now"`
	Advanced  string          `json:"advanced"`
	Lifetimes []lifetimesView `json:"lifetimes"`
	Clients   []clientView    `json:"clients"`
	Users     []userView      `json:"users"`
	Grants    []grantView     `json:"grants"`
	Faults    []faultView     `json:"faults"`
}

func (s *Sandbox) state() stateView {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := stateView{
		Now: s.now().UTC(), Advanced: s.offset.String(), Lifetimes: s.viewLifetimes(),
		Clients: []clientView{}, Users: []userView{}, Grants: []grantView{}, Faults: s.viewFaults(),
	}
	for _, c := range s.w.clients {
		v.Clients = append(v.Clients, viewClient(c))
	}
	slices.SortFunc(v.Clients, func(a, b clientView) int {
		return cmp.Or(cmp.Compare(a.ClientID, b.ClientID), cmp.Compare(a.Series, b.Series))
	})
	for _, u := range s.w.users {
		v.Users = append(v.Users, viewUser(u))
	}
	sort.Slice(v.Users, func(i, j int) bool { return v.Users[i].Email < v.Users[j].Email })
	for _, g := range s.w.grants {
		v.Grants = append(v.Grants, viewGrant(g))
	}
	return v
}
