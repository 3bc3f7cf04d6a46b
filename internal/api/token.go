package api

import (
	"bytes"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/manager"
)

// tokenAnswer is the answer to a request for a token.
type tokenAnswer struct {
	AccessToken string          `json:"access_token"`
	TokenType   string          `json:"token_type"`
	ExpiresAt   time.Time       `json:"expires_at"`
	Scope       string          `json:"scope"`
	BaseURL     string          `json:"base_url" doc:"where this business's API lives"`
	Fingerprint string          `json:"fingerprint" doc:"names the token without telling it; see reject"`
	Connection  tokenConnection `json:"connection"`
	Grant       string          `json:"grant"`
	Locations   []string        `json:"locations" nullable:"false" doc:"what the token reaches"`
	Warnings    []string        `json:"warnings" nullable:"false"`
	// ExpiresIn is last, so that it alone can be written anew for each caller.
	ExpiresIn int64 `json:"expires_in" doc:"seconds"`
}

type tokenConnection struct {
	ID    string `json:"id"`
	Key   string `json:"key"`
	App   string `json:"app"`
	State string `json:"state" enum:"pending,connected,degraded,needs_reauthorization,disconnected"`
}

// rejection is the body of a reject.
type rejection struct {
	Fingerprint string `json:"fingerprint" doc:"of the token the API answered 401 to"`
	Location    string `json:"location,omitempty" doc:"instead of a 401: the API said that the token does not reach this location"`
}

// tokenParams are the parameters of a token request.
var tokenParams = []param{
	{name: "min_valid", doc: "how long the token must still be valid, such as 30s or 5m; 10s if it is not given"},
	{name: "location", doc: "id of a location the token must reach"},
}

// awaitedTokenParams are those of a token request that may wait.
var awaitedTokenParams = append(tokenParams[:len(tokenParams):len(tokenParams)], waitParam)

// serveToken hands out a token, or says that the caller has it, at once or as soon
// as there is another. It is the path everything hangs on, so it does without what
// other endpoints go through: no body, no decoding, no encoding.
func (s *server) serveToken(c *call) {
	var h *manager.Handout
	asked := c.began
	changed, err := s.news(c, func() (string, error) {
		if h != nil { // a wait is not the time a token took
			asked = s.now()
		}
		var err error
		if h, err = s.token(c); err != nil {
			return "", err
		}
		return tagOfToken(h), nil
	})
	now := s.now()
	if err != nil {
		s.countRefused(c, now.Sub(asked))
		c.w.Header().Del("Etag")
		s.fail(c, err)
		return
	}
	if changed {
		writeHandout(c.w, h, now)
	} else {
		c.w.WriteHeader(http.StatusNotModified)
	}
	result := "held"
	if h.IssuedAt.After(asked) {
		result = "refreshed" // for this caller, or one it waited with
	}
	s.c.Metrics.TokenRequest(h.App, result, now.Sub(asked))
}

// countRefused counts a token request that was refused. A request that names no
// app of ours is not counted, so that nobody can make up label values.
func (s *server) countRefused(c *call, took time.Duration) {
	for _, a := range s.c.Manager.Apps() {
		if a.App.Name == c.target.App {
			s.c.Metrics.TokenRequest(c.target.App, "refused", took)
		}
	}
}

// token finds the token a request asks for. It asks for the key each time, because
// a key may be revoked while a caller waits.
func (s *server) token(c *call) (*manager.Handout, error) {
	var err error
	if c.key, err = s.authenticate(c.r, access.Tokens, ""); err != nil {
		return nil, err
	}
	var o evergrant.TokenOptions
	if c.r.URL.RawQuery != "" {
		if o, err = tokenOptions(c.r, awaitedTokenParams); err != nil {
			return nil, err
		}
		var f fields
		if c.wait = f.wait(c.r.URL.Query()); len(f) > 0 {
			return nil, f.err()
		}
	}
	ref, err := s.ref(c)
	if err != nil {
		return nil, err
	}
	c.location = o.Location
	return s.c.Manager.Handout(c.r.Context(), ref, o)
}

// tokenOptions reads what a query asks of a token, if it has known parameters only.
func tokenOptions(r *http.Request, known []param) (evergrant.TokenOptions, error) {
	var o evergrant.TokenOptions
	if err := checkQuery(r, known); err != nil {
		return o, err
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return o, err
	}
	var f fields
	o.MinValid = f.duration("min_valid", q.Get("min_valid"))
	o.Location = q.Get("location")
	return o, f.err()
}

// rejectToken takes the report that a token does not work.
func (s *server) rejectToken(c *call, b rejection) (*manager.Handout, error) {
	ref, err := s.ref(c)
	if err != nil {
		return nil, err
	}
	if b.Fingerprint == "" || len(b.Fingerprint) > 128 {
		var f fields
		f.add("fingerprint", "the fingerprint of the rejected token is required")
		return nil, f.err()
	}
	if b.Location != "" {
		var f fields
		f.locations("location", []string{b.Location})
		if err := f.err(); err != nil {
			return nil, err
		}
		c.location = b.Location
		return s.c.Manager.RejectLocation(c.r.Context(), ref, b.Fingerprint, b.Location)
	}
	return s.c.Manager.RejectHandout(c.r.Context(), ref, b.Fingerprint)
}

// useFor is the header that says for how many seconds a caller may keep a token
// without asking again, because nothing is planned to replace it.
const useFor = "Evergrant-Use-For"

// contentJSON is shared by all token answers; nobody writes to it.
var contentJSON = []string{"application/json"}

// writeHandout writes a token. All but the seconds it has left was encoded when
// the token was first handed out.
func writeHandout(w http.ResponseWriter, h *manager.Handout, now time.Time) {
	body := h.Memo(renderHandout)
	left := max(int64(h.Token.Expiry.Sub(now)/time.Second), 0)
	var tail [24]byte
	end := append(strconv.AppendInt(tail[:0], left, 10), '}', '\n')
	header := w.Header()
	header["Content-Type"] = contentJSON
	header["Content-Length"] = []string{strconv.Itoa(len(body) + len(end))}
	if keep := int64(h.Until.Sub(now) / time.Second); keep > 0 {
		header[useFor] = []string{strconv.FormatInt(keep, 10)}
	}
	// The caller may be gone by now, and then there is nobody to tell.
	_, _ = w.Write(body)
	_, _ = w.Write(end)
}

// renderHandout encodes a token's answer up to the number that ends it.
func renderHandout(h *manager.Handout) []byte {
	t := h.Token
	whole := encode(tokenAnswer{
		AccessToken: t.AccessToken, TokenType: t.Type, ExpiresAt: t.Expiry.UTC().Truncate(time.Second), Scope: t.Scope,
		BaseURL: t.BaseURL, Fingerprint: t.Fingerprint,
		Connection: tokenConnection{t.Connection, h.Key, h.App, string(h.State)},
		Grant:      t.Grant, Locations: orEmpty(t.Locations), Warnings: orEmpty(h.Warnings),
	})
	return bytes.TrimSuffix(whole, []byte("0}\n"))
}
