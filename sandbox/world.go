package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// world is everything a reset forgets. The sandbox's lock guards it.
type world struct {
	life    lifetimes            // of every series
	lifeOf  map[string]lifetimes // of one, by its name; goes before life
	clients map[clientKey]*client
	users   map[string]User // by lower-case e-mail address
	logins  map[string]*login
	codes   map[string]*code
	tokens  map[tokenKey]*token
	grants  []*grant // in the order they were given
	faults  []*activeFault
	buckets map[meterKey]*bucket
	windows map[meterKey]*window
	log     ring[LogEntry]
	judge   judge
}

func newWorld(cfg Config) *world {
	w := &world{
		life:    lifetimes{access: cfg.AccessLifetime, refresh: cfg.RefreshLifetime, code: cfg.CodeLifetime},
		lifeOf:  map[string]lifetimes{},
		clients: map[clientKey]*client{},
		users:   map[string]User{},
		logins:  map[string]*login{},
		codes:   map[string]*code{},
		tokens:  map[tokenKey]*token{},
		buckets: map[meterKey]*bucket{},
		windows: map[meterKey]*window{},
	}
	for _, u := range DemoUsers() {
		w.addUser(u)
	}
	return w
}

// client is an app registered at a series.
type client struct {
	series    *series
	id        string
	secret    string   // "" until the first token request
	public    bool     // has no secret, and must use PKCE
	redirects []string // none until the first authorize request
	scopes    []string // enabled by the vendor; nil is what the series takes
	rotation  rotation
	window    time.Duration // how long a spent refresh token is still good; 0 is the policy's default
	oldServer bool          // R-Series: served by the server before 2024-07-31
	storeCap  int           // X-Series: how many retailers it may connect; 0 is any number
}

// clientKey names a client: only the ids of K-Series tell whose they are.
type clientKey struct{ series, id string }

// client returns the client, registering it if the id belongs to the series,
// and nil if it does not.
func (w *world) client(sr *series, id string) *client {
	key := clientKey{sr.name, id}
	if c := w.clients[key]; c != nil {
		return c
	}
	if !sr.owns(id) || len(id) > 200 {
		return nil
	}
	c := &client{series: sr, id: id, scopes: sr.scopes, rotation: sr.rotation, storeCap: sr.storeCap}
	w.clients[key] = c
	return c
}

// allows reports whether a scope is enabled on the client.
func (c *client) allows(scope string) bool {
	if c.scopes == nil {
		return c.series.takesScope(scope)
	}
	return slices.Contains(c.scopes, scope)
}

// acceptsRedirect compares exactly, after the first one was taken as it is.
func (c *client) acceptsRedirect(uri string) bool {
	if len(c.redirects) == 0 && validRedirect(uri) {
		c.redirects = []string{uri}
	}
	return slices.Contains(c.redirects, uri)
}

// redirectFor returns where the browser is sent back to, and whether that is
// registered. Where a client has exactly one and requests name none, that one.
func (c *client) redirectFor(asked string) (uri string, registered bool) {
	if asked == "" && c.series.redirectRegistered {
		if len(c.redirects) == 0 {
			return "", false
		}
		return c.redirects[0], true
	}
	return asked, c.acceptsRedirect(asked)
}

// validRedirect: https, or http to this machine, and no fragment (RFC 6749
// section 3.1.2).
func validRedirect(uri string) bool {
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" || u.Fragment != "" || len(uri) > 2000 {
		return false
	}
	switch u.Hostname() {
	case "localhost", "127.0.0.1", "::1":
		return u.Scheme == "http" || u.Scheme == "https"
	}
	return u.Scheme == "https"
}

// acceptsSecret takes the first secret as it is.
func (c *client) acceptsSecret(secret string) bool {
	if c.public {
		return secret == ""
	}
	if c.secret == "" {
		c.secret = secret
	}
	return secret != "" && c.secret == secret
}

// grant is one user's approval of one client.
type grant struct {
	id      string // g1
	session string // a UUID, the provider's name for it
	client  *client
	email   string
	scope   []string
	tenant  string // the account or retailer it is bound to; "" is none
	old     bool   // of the old server of R-Series
	created time.Time
	death   string // why it is dead; "" while it lives
	died    time.Time

	access    *token   // the newest
	refresh   *token   // the newest
	issued    []*token // access tokens that may still be valid
	spent     []*token // refresh tokens in the order they were used
	refreshes int
	inFlight  []*call     // refreshes being answered
	asked     []time.Time // when refreshes were, as far as a limit needs it
}

// rotation is what becomes of the grant's refresh token when it is used.
func (g *grant) rotation() rotation {
	if g.old {
		return static
	}
	return g.client.rotation
}

func (g *grant) offline() bool { return slices.Contains(g.scope, "offline_access") }

// kill ends the grant and every token of it.
func (g *grant) kill(why string, now time.Time) {
	if g.death == "" {
		g.death, g.died = why, now
	}
}

// The reasons a grant ends.
const (
	deathUser   = "user_revoked"
	deathReuse  = "refresh_token_reused"
	deathCode   = "code_reused"
	deathLogout = "logged_out"
	deathFault  = "fault_revoke"
)

func (w *world) addUser(u User) {
	u.Businesses = slices.Clone(u.Businesses)
	for i, b := range u.Businesses {
		u.Businesses[i].Locations = slices.Clone(b.Locations)
	}
	u.Account, u.Retailer = u.Account.clone(), u.Retailer.clone()
	w.users[strings.ToLower(u.Email)] = u
}

func (w *world) user(email string) (User, bool) {
	u, ok := w.users[strings.ToLower(email)]
	return u, ok
}

// revokeUser ends the user's live grants and returns how many there were.
func (w *world) revokeUser(email string, now time.Time) int {
	n := 0
	for _, g := range w.grants {
		if g.death == "" && strings.EqualFold(g.email, email) {
			g.kill(deathUser, now)
			n++
		}
	}
	return n
}

// endAccessOf ends the live access tokens of the user's grants and returns how
// many grants had one.
func (w *world) endAccessOf(email string, now time.Time) int {
	n := 0
	for _, g := range w.grants {
		if strings.EqualFold(g.email, email) && g.access != nil && g.access.live(now) {
			g.endAccess(now, nil)
			n++
		}
	}
	return n
}

// tokenKey finds a token without keeping it.
type tokenKey [sha256.Size]byte

func keyOf(value string) tokenKey { return sha256.Sum256([]byte(value)) }

// fingerprint is how a token or a secret is named where people read.
func fingerprint(value string) string {
	if value == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:6])
}

// clip keeps foreign text short enough for a log or an error.
func clip(s string) string {
	const most = 200
	if len(s) <= most {
		return strings.ToValidUTF8(s, "?")
	}
	cut := most
	for cut > most-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strings.ToValidUTF8(s[:cut], "?") + "…"
}
