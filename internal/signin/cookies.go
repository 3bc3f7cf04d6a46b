package signin

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/secret"
)

// The cookies. Over https their names begin with hostPrefix, which browsers take
// from this very host only, over https and for the whole of it (RFC 6265bis
// section 4.1.3).
const (
	hostPrefix    = "__Host-"
	sessionCookie = "evergrant_dashboard"
	tripCookie    = "evergrant_login"
)

// maxCookie bounds what is opened: browsers keep no longer ones.
const maxCookie = 4096

// cookies seals what browsers keep for us. Each kind opens as its own kind only,
// and under the policy it was sealed under.
type cookies struct {
	ring   *seal.Ring
	secure bool
	policy string // names whom the identity provider lets in
}

// session is what the session cookie says.
type session struct {
	Name  string      `json:"n"`
	Role  access.Role `json:"r"`
	Until int64       `json:"u"` // Unix seconds
}

// trip is what a browser keeps while its person is at the identity provider.
type trip struct {
	State    string `json:"s"`
	Nonce    string `json:"o"`
	Verifier string `json:"v"` // PKCE
	Next     string `json:"n"` // local
	Until    int64  `json:"u"`
}

func (c cookies) name(kind string) string {
	if c.secure {
		return hostPrefix + kind
	}
	return kind
}

func (c cookies) slot(kind string) seal.Slot {
	return seal.Slot{Table: seal.Cookies, Row: kind + " " + c.policy}
}

// make seals v into a cookie of a kind.
func (c cookies) make(kind string, v any, life time.Duration) (*http.Cookie, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	sealed, err := c.ring.Seal(c.slot(kind), plain)
	if err != nil {
		return nil, err
	}
	return c.cookie(kind, base64.RawURLEncoding.EncodeToString(sealed), int(life/time.Second)), nil
}

// drop is the cookie that takes one of a kind away.
func (c cookies) drop(kind string) *http.Cookie { return c.cookie(kind, "", -1) }

func (c cookies) cookie(kind, value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: c.name(kind), Value: value, Path: "/", MaxAge: maxAge, Secure: c.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// open reads the first cookie of a kind that opens. Over http, another port of
// this host may have set one of the same name.
func (c cookies) open(r *http.Request, kind string, into any) bool {
	for _, k := range r.CookiesNamed(c.name(kind)) {
		if len(k.Value) > maxCookie {
			continue
		}
		sealed, err := base64.RawURLEncoding.Strict().DecodeString(k.Value)
		if err != nil {
			continue
		}
		if plain, err := c.ring.Open(c.slot(kind), sealed); err == nil && json.Unmarshal(plain, into) == nil {
			return true
		}
	}
	return false
}

// person returns whose session a request belongs to at now.
func (c cookies) person(r *http.Request, now time.Time) (access.Person, bool) {
	var v session
	if !c.open(r, sessionCookie, &v) {
		return access.Person{}, false
	}
	p := access.Person{Name: v.Name, Role: v.Role, Until: time.Unix(v.Until, 0).UTC()}
	if p.Name == "" || !p.Role.May(access.Viewer) || !now.Before(p.Until) {
		return access.Person{}, false
	}
	return p, true
}

// admit is the session cookie of a person for life from now.
func (c cookies) admit(name string, role access.Role, now time.Time, life time.Duration) (*http.Cookie, error) {
	return c.make(sessionCookie, session{name, role, now.Add(life).Unix()}, life)
}

// trip returns the trip that a callback with this state ends, if it began in this
// browser and not too long ago.
func (c cookies) trip(r *http.Request, state secret.String, now time.Time) (trip, bool) {
	var t trip
	if !c.open(r, tripCookie, &t) || state.IsZero() || !same(t.State, state.Reveal()) || now.Unix() >= t.Until {
		return trip{}, false
	}
	return t, true
}
