package sandbox

import (
	"net/http"
	"strings"
	"time"
)

// Report is what the judge saw since the start or the last reset.
type Report struct {
	// Violations are the client's mistakes:
	//
	//	refresh_token_reused  sent after it was spent, and refused
	//	concurrent_refresh    two refreshes of one grant at once
	//	no_state              authorize request without state
	//	token_in_query        a token or secret in a URL (V1's documented ones excepted)
	//	code_reused           an authorization code sent twice
	//	wrong_host            X-Series: a code or token sent to another retailer's host
	//	too_many_refreshes    R-Series: more than five refreshes of one grant in a minute
	//	no_user_agent         X-Series: a request that does not say who sends it
	Violations []Finding `json:"violations"`
	// Notes are not mistakes, but worth knowing:
	//
	//	early_refresh         the access token had more than half its life left
	//	refresh_token_resent  sent again while the rotation policy still took it
	//	rate_limited          a request beyond the limit of an API or token endpoint
	Notes []Finding `json:"notes"`
	// Exchanges and Refreshes count codes and refresh tokens that were honoured.
	Exchanges int `json:"exchanges"`
	Refreshes int `json:"refreshes"`
	// SendsPerRotation is how many refresh requests the provider processed for
	// each one it honoured; 1 is perfect, 0 means there were none. Requests that a
	// fault kept from being processed do not count.
	SendsPerRotation float64     `json:"sends_per_rotation"`
	Grants           GrantCounts `json:"grants"`
	// Dropped is how many findings are missing from the lists because there were
	// too many.
	Dropped int `json:"dropped,omitempty"`
}

// GrantCounts says how the grants fare.
type GrantCounts struct {
	Live int            `json:"live"`
	Dead map[string]int `json:"dead"` // by cause: user_revoked, refresh_token_reused, …
}

// Finding is one thing the judge saw.
type Finding struct {
	Kind     string    `json:"kind"`
	Time     time.Time `json:"time"`
	ClientID string    `json:"client_id"`
	Grant    string    `json:"grant,omitempty"`
	Detail   string    `json:"detail"`
	// AfterFault names the sandbox's own fault that led the client there, such as
	// lose_answer before a refresh token is sent again.
	AfterFault string `json:"after_fault,omitempty"`
}

// keptFindings bounds each list of the report.
const keptFindings = 10_000

type judge struct {
	violations, notes           []Finding
	dropped                     int
	exchanges, refreshes, sends int
}

// Report returns what the judge saw.
func (s *Sandbox) Report() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := &s.w.judge
	rep := Report{
		Violations: append([]Finding{}, j.violations...),
		Notes:      append([]Finding{}, j.notes...),
		Exchanges:  j.exchanges,
		Refreshes:  j.refreshes,
		Grants:     GrantCounts{Dead: map[string]int{}},
		Dropped:    j.dropped,
	}
	if j.refreshes > 0 {
		rep.SendsPerRotation = float64(j.sends) / float64(j.refreshes)
	}
	for _, g := range s.w.grants {
		if g.death == "" {
			rep.Grants.Live++
		} else {
			rep.Grants.Dead[g.death]++
		}
	}
	return rep
}

// violation is a finding to be.
type violation struct {
	kind, client, detail, afterFault string
	grant                            *grant
}

func (s *Sandbox) finding(v violation) Finding {
	f := Finding{Kind: v.kind, Time: s.now().UTC(), ClientID: v.client, Detail: v.detail, AfterFault: v.afterFault}
	if v.grant != nil {
		f.Grant = v.grant.id
	}
	return f
}

func (s *Sandbox) violate(v violation) {
	j := &s.w.judge
	if len(j.violations) >= keptFindings {
		j.dropped++
		return
	}
	j.violations = append(j.violations, s.finding(v))
}

func (s *Sandbox) note(v violation) {
	j := &s.w.judge
	if len(j.notes) >= keptFindings {
		j.dropped++
		return
	}
	j.notes = append(j.notes, s.finding(v))
}

// noteEarly notes a refresh that comes in the first half of the access token's
// life.
func (s *Sandbox) noteEarly(g *grant, now time.Time) {
	if g.access == nil || !g.access.live(now) {
		return
	}
	left := g.access.expires.Sub(now)
	if life := g.access.expires.Sub(g.access.issued); left > life/2 {
		s.note(violation{kind: "early_refresh", client: g.client.id, grant: g,
			detail: "refreshed with " + left.Round(time.Second).String() + " of " + life.String() + " left"})
	}
}

// arrive begins a call at a token endpoint: it finds out whose it is, which
// faults hit it, and whether another refresh of the same grant is under way.
func (s *Sandbox) arrive(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.entry.ClientID = clip(c.req.clientID)
	c.entry.Token = fingerprint(c.req.refreshToken)
	c.entry.GrantType = clip(c.req.grantType)
	refreshing := false
	if t := s.w.tokens[keyOf(c.req.refreshToken)]; t != nil && t.refresh {
		c.grant, c.email = t.grant, t.grant.email
		refreshing = c.req.grantType == "refresh_token"
	} else if cd := s.w.codes[c.req.code]; cd != nil {
		c.email = cd.login.email
	}
	c.faults = s.w.pickFaults(c.facts(), s.now())
	c.entry.Fault = c.faults.String()
	if !refreshing {
		return
	}
	c.entry.Grant = c.grant.id
	for _, other := range c.grant.inFlight {
		if other.ctx.Err() != nil {
			continue // its client hung up
		}
		s.violate(violation{kind: "concurrent_refresh", client: c.req.clientID, grant: c.grant, afterFault: other.faults.String(),
			detail: "a refresh arrived while another one of the same grant was being answered"})
		break
	}
	c.grant.inFlight = append(c.grant.inFlight, c)
}

// leave ends a call.
func (s *Sandbox) leave(c *call) {
	if c.grant == nil {
		return
	}
	for i, other := range c.grant.inFlight {
		if other == c {
			c.grant.inFlight = append(c.grant.inFlight[:i:i], c.grant.inFlight[i+1:]...)
			return
		}
	}
}

// judgeQuery looks for tokens in a URL.
func (s *Sandbox) judgeQuery(r *http.Request, entry *LogEntry) {
	if r.URL.RawQuery == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	inURL := false
	for _, sr := range s.series {
		inURL = inURL || sr.tokensInURL && r.URL.Path == sr.root+sr.tokenPath
	}
	q := r.URL.Query()
	for name, values := range q {
		for _, v := range values {
			t := s.w.tokens[keyOf(v)]
			if inURL && name == "refresh_token" || t == nil && !secretParameter(name) {
				continue
			}
			found := violation{kind: "token_in_query", client: clip(q.Get("client_id")), detail: "parameter " + clip(name) + " of " + entry.Path}
			if t != nil {
				found.client, found.grant = t.grant.client.id, t.grant
			}
			s.violate(found)
		}
	}
}

// judgeAgent notices requests that do not say who sends them, where they must.
func (s *Sandbox) judgeAgent(sr *series, r *http.Request, client string) {
	if !sr.agent || r.UserAgent() != "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if client == "" {
		_, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if t := s.w.tokens[keyOf(strings.TrimSpace(value))]; t != nil {
			client = t.grant.client.id
		}
	}
	s.violate(violation{kind: "no_user_agent", client: clip(client), detail: r.Method + " " + clip(r.URL.Path) + " without a User-Agent"})
}

func secretParameter(name string) bool {
	switch name {
	case "access_token", "refresh_token", "client_secret", "code_verifier":
		return true
	}
	return false
}
