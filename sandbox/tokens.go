package sandbox

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// tokenRequest is a token request as its series reads it.
type tokenRequest struct {
	clientID, secret string
	hasCredentials   bool // presented the way the series takes them
	grantType        string
	code             string
	redirectURI      string
	verifier         string
	refreshToken     string
	scope            string
	token            string      // to be revoked
	err              *oauthError // what is wrong with the form itself
}

// call is one request at a token endpoint, from its arrival until its answer
// is decided.
type call struct {
	series *series
	req    tokenRequest
	base   string
	tenant string // X-Series: the retailer whose host was asked
	old    bool   // R-Series: at the old server
	header http.Header
	ctx    context.Context // the request's; done when the client hung up
	entry  *LogEntry
	grant  *grant // whose code or refresh token it presents, if that is known
	email  string
	faults picked
}

// pair is what one answer hands out.
type pair struct {
	grant       *grant
	user        User
	issuer      string
	nonce       string
	now         time.Time
	scope       []string // of the access token
	accessLife  time.Duration
	refreshLife time.Duration
	// The token strings. No refresh: the answer has none.
	access, refresh, id string
	withRefresh         bool
}

// answer is what a token endpoint says, before faults distort it.
type answer struct {
	pair *pair
	err  *oauthError
}

// tokenEndpoint is RFC 6749 section 3.2 in the dialect of a series; old is that
// of the old server of R-Series.
func (s *Sandbox) tokenEndpoint(sr *series, old bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		c := &call{
			series: sr, req: sr.readToken(w, r), base: s.base(r), tenant: r.PathValue(tenantInPath), old: old,
			header: w.Header(), ctx: r.Context(), entry: entryOf(r),
		}
		s.judgeAgent(sr, r, c.req.clientID)
		s.arrive(c)
		inTime := c.faults.wait(r.Context())
		var a answer
		s.mu.Lock()
		if inTime && c.faults.before == nil {
			a = s.process(c)
		} else if inTime {
			a = s.refuseByFault(c)
		}
		// Before the answer leaves, because the client may send the next request the
		// moment it has it.
		s.leave(c)
		s.mu.Unlock()
		if !inTime {
			c.entry.Outcome = "client hung up while waiting"
			hangUp(w, "", false)
			return
		}
		s.deliver(w, c, a)
	}
}

// process does what the provider does with a request that reaches it.
func (s *Sandbox) process(c *call) answer {
	p, err := s.grantOrRefuse(c)
	if err != nil {
		c.entry.Outcome = err.code + ": " + err.description
		return answer{err: err}
	}
	c.entry.Outcome = "issued"
	c.entry.Grant = p.grant.id
	return answer{pair: p}
}

func (s *Sandbox) grantOrRefuse(c *call) (*pair, *oauthError) {
	texts := &c.series.texts
	if c.req.err != nil {
		return nil, c.req.err
	}
	cl := s.w.client(c.series, c.req.clientID)
	if cl == nil || !c.req.hasCredentials || !cl.acceptsSecret(c.req.secret) {
		return nil, &texts.badClient
	}
	c.old = c.old || cl.oldServer
	if c.series.limit != nil {
		if refused := c.series.limit(c, cl); refused != nil {
			return nil, refused
		}
	}
	switch c.req.grantType {
	case "authorization_code":
		return s.exchange(c, cl, s.now())
	case "refresh_token":
		return s.refresh(c, cl, s.now())
	case "":
		return nil, &texts.noGrantType
	}
	return nil, &texts.badGrantType
}

// exchange trades a code for a new grant. Whatever else is wrong with the
// request, the code is used up.
func (s *Sandbox) exchange(c *call, cl *client, now time.Time) (*pair, *oauthError) {
	texts := &c.series.texts
	cd := s.w.codes[c.req.code]
	switch {
	case c.req.code == "":
		return nil, &texts.noCode
	case cd == nil || cd.login.client != cl:
		return nil, &texts.badCode
	case !s.rightHost(c, cd.login.tenant, nil):
		return nil, &texts.badCode
	}
	if cd.used {
		v := violation{kind: "code_reused", client: cl.id, grant: cd.grant, detail: "authorization code sent twice", afterFault: cd.hiddenBy}
		if cd.grant != nil {
			cd.grant.kill(deathCode, now)
		}
		s.violate(v)
		return nil, &texts.badCode
	}
	cd.used = true
	cd.hiddenBy = c.faults.hides()
	switch {
	case !now.Before(cd.expires):
		return nil, &texts.badCode
	case !c.series.redirectRegistered && c.req.redirectURI != cd.login.redirect:
		return nil, &texts.badRedirect
	case cd.login.challenge != "" && c.req.verifier == "":
		return nil, &oauthError{http.StatusBadRequest, "invalid_grant", "PKCE code verifier not specified"}
	case cd.login.challenge != "" && !cd.login.plain && challengeOf(c.req.verifier) != cd.login.challenge,
		cd.login.plain && c.req.verifier != cd.login.challenge:
		return nil, &oauthError{http.StatusBadRequest, "invalid_grant", "PKCE verification failed"}
	}
	g := &grant{
		id: fmt.Sprintf("g%d", len(s.w.grants)+1), session: cd.session, client: cl, email: cd.login.email,
		tenant: cd.login.tenant, old: c.old,
		scope: unique(append(slices.Clone(cd.login.scope), c.series.addedScopes...)), created: now,
	}
	s.w.grants = append(s.w.grants, g)
	cd.grant, c.grant = g, g
	s.w.judge.exchanges++
	return s.issue(c, nil, g.scope, cd.login.nonce, now), nil
}

// rightHost reports whether a code or token was sent to the host of the retailer
// it belongs to; elsewhere, it and the client's secret are in foreign hands.
func (s *Sandbox) rightHost(c *call, tenant string, g *grant) bool {
	if c.tenant == "" || c.tenant == tenant {
		return true
	}
	s.violate(violation{kind: "wrong_host", client: c.req.clientID, grant: g, detail: "what belongs to " + clip(tenant) + " was sent to " + clip(c.tenant)})
	return false
}

// challengeOf is S256 of RFC 7636 section 4.2.
func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// refresh trades a refresh token for the next pair.
func (s *Sandbox) refresh(c *call, cl *client, now time.Time) (*pair, *oauthError) {
	texts := &c.series.texts
	if c.req.refreshToken == "" {
		return nil, &texts.noRefreshToken
	}
	s.w.judge.sends++
	t := s.w.tokens[keyOf(c.req.refreshToken)]
	switch {
	case t == nil || !t.refresh:
		return nil, &texts.unknownToken
	case t.grant.client != cl:
		return nil, &texts.foreignToken
	case !s.rightHost(c, t.grant.tenant, t.grant), c.old && !t.grant.old && !cl.oldServer:
		return nil, &texts.unknownToken
	}
	g := t.grant
	user, _ := s.w.user(g.email)
	if !t.spent.IsZero() && !s.presentedAgain(t, now) || !t.live(now) || user.Locked {
		return nil, &texts.deadToken
	}
	scope := g.scope
	if c.req.scope != "" && c.series.scopeFixed {
		return nil, &oauthError{http.StatusBadRequest, "invalid_scope", "The requested scope is invalid, unknown, or malformed"}
	}
	if c.req.scope != "" {
		scope = unique(append(strings.Fields(c.req.scope), c.series.addedScopes...))
		for _, sc := range scope {
			if !slices.Contains(g.scope, sc) {
				return nil, &oauthError{http.StatusBadRequest, "invalid_scope", "Invalid scopes: " + clip(c.req.scope)}
			}
		}
	}
	s.noteEarly(g, now)
	t.firstUse(now)
	g.old = c.old // one refresh at the new server moves a grant there
	g.refreshes++
	s.w.judge.refreshes++
	return s.issue(c, t, scope, "", now), nil
}

// presentedAgain judges a refresh token that was used before and reports whether
// the client's rotation policy lets it pass.
func (s *Sandbox) presentedAgain(t *token, now time.Time) bool {
	g := t.grant
	v := violation{
		kind: "refresh_token_reused", client: g.client.id, grant: g, afterFault: t.hiddenBy,
		detail: fmt.Sprintf("refresh token %s sent again %s after its first use", t.print, now.Sub(t.spent).Round(time.Millisecond)),
	}
	if g.acceptsAgain(t, now) {
		v.kind = "refresh_token_resent" // the policy allows it
		s.note(v)
		return true
	}
	s.violate(v)
	if g.rotation() == familyKill {
		g.kill(deathReuse, now)
	}
	return false
}

// issue makes the tokens of an answer. old is the refresh token they are issued
// for, nil for a code.
func (s *Sandbox) issue(c *call, old *token, scope []string, nonce string, now time.Time) *pair {
	g := c.grant
	user, _ := s.w.user(g.email)
	p := &pair{
		grant: g, user: user, issuer: c.base + c.series.root + c.series.issuerPath, nonce: nonce, now: now, scope: scope,
		accessLife: s.w.accessLife(c.series, g), refreshLife: s.w.refreshLife(c.series, g.offline()),
	}
	sameAgain := old != nil && (c.faults.changes("same_token") || g.old && g.access.outlives(now.Add(oldServerRenews)))
	keepOld := old != nil && (sameAgain || g.rotation() == static || c.faults.changes("no_refresh_token"))
	p.withRefresh = !keepOld && !c.faults.changes("no_refresh_token")
	if f := c.faults.change("scope_shrink"); f != nil {
		p.scope = shrink(scope, f.Match["scope"])
	}
	c.series.mint(p)

	if sameAgain && g.access != nil && g.access.live(now) {
		p.access, p.accessLife, p.scope = g.access.value, g.access.expires.Sub(now), g.access.scope
	} else {
		if p.withRefresh && old != nil && c.series.oldAccessDies {
			g.endAccess(now, nil)
		}
		s.newAccess(p, old)
	}
	switch {
	case p.withRefresh:
		if old != nil {
			s.w.spend(old, now)
			old.hiddenBy = c.faults.hides()
		}
		g.refresh = &token{refresh: true, value: p.refresh, grant: g, issued: now, expires: now.Add(p.refreshLife), from: s.behind(g, old), mate: g.access}
		s.w.register(g.refresh)
	case keepOld:
		old.expires = now.Add(p.refreshLife)
		if !c.faults.changes("no_refresh_token") {
			p.refresh = c.req.refreshToken
		}
	}
	return p
}

func (s *Sandbox) newAccess(p *pair, old *token) {
	g := p.grant
	s.w.forgetExpired(g, p.now)
	if g.access != nil {
		g.access.value = ""
	}
	g.access = &token{value: p.access, grant: g, scope: p.scope, issued: p.now, expires: p.now.Add(p.accessLife), from: s.behind(g, old)}
	s.w.register(g.access)
	g.issued = append(g.issued, g.access)
}

// behind is the refresh token whose end depends on the use of what is issued
// for it.
func (s *Sandbox) behind(g *grant, old *token) *token {
	if g.rotation() != retireOnUse {
		return nil
	}
	return old
}

// shrink takes one scope away: the one named, or the last that allows anything.
func shrink(scope []string, name string) []string {
	out := slices.Clone(scope)
	for i := len(out) - 1; i >= 0; i-- {
		switch out[i] {
		case name:
			return slices.Delete(out, i, i+1)
		case "openid", "profile", "email", "offline_access":
			continue
		}
		if name == "" {
			return slices.Delete(out, i, i+1)
		}
	}
	return out
}
