package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/manager"
)

// serveForwardAuth tells a gateway which token to send along: in headers, because
// gateways copy headers. It answers any method, because Envoy asks with that of
// the request it is about, and below any path, because Envoy adds that one's.
func (s *server) serveForwardAuth(c *call) {
	h, err := s.forwardAuth(c)
	if err != nil {
		s.failGateway(c, err)
		return
	}
	t, header := h.Token, c.w.Header()
	kind := t.Type
	if kind == "" {
		kind = "Bearer"
	}
	value := kind + " " + t.AccessToken
	header.Set("Authorization", value)
	header.Set("X-Upstream-Authorization", value) // for gateways that keep Authorization to themselves
	header.Set("X-Evergrant-Base-Url", t.BaseURL)
	header.Set("X-Evergrant-Connection", t.Connection)
	header.Set("X-Evergrant-Fingerprint", t.Fingerprint)
	if !t.Expiry.IsZero() {
		header.Set("X-Evergrant-Expires-In", strconv.FormatInt(max(int64(t.Expiry.Sub(s.now())/time.Second), 0), 10))
	}
	writeBody(c.w, http.StatusOK, nil)
}

// forwardAuth finds the token. A query counts only where the gateway wrote it
// itself: behind a path of its client's, it is the client's. Caddy adds that one
// where its configuration does not say otherwise.
func (s *server) forwardAuth(c *call) (*manager.Handout, error) {
	var err error
	if c.key, err = s.authenticateGateway(c.r); err != nil {
		return nil, err
	}
	_, rest, err := splitRef(c.r, forwardAuthPrefix)
	if err != nil {
		return nil, err
	}
	var o evergrant.TokenOptions
	q := c.r.URL.Query()
	clients := rest != "" || fromClient(c.r)
	switch {
	case clients && rest == "" && (q.Has("location") || q.Has("min_valid")):
		var f fields
		f.add("query", "it is that of the gateway's client; have the gateway leave it out")
		return nil, f.err()
	case !clients:
		if o, err = tokenOptions(c.r, tokenParams); err != nil {
			return nil, err
		}
	}
	ref, err := s.ref(c)
	if err != nil {
		return nil, err
	}
	return s.handout(c, ref, o)
}

// fromClient reports whether a gateway has passed its client's query on.
func fromClient(r *http.Request) bool {
	_, query, _ := strings.Cut(r.Header.Get("X-Forwarded-Uri"), "?")
	return query != "" && query == r.URL.RawQuery
}

// authenticateGateway takes the key as the password of a Basic authorization too:
// some gateways can send a key only as part of a URL.
func (s *server) authenticateGateway(r *http.Request) (*access.Key, error) {
	if _, password, ok := r.BasicAuth(); ok {
		return s.identify(r, password, access.Tokens, "")
	}
	return s.authenticate(r, access.Tokens, "")
}

// failGateway answers with one of the statuses that gateways know: 401 and 403
// forbid, and 5xx mean trouble that passes. The problem says what it is; it goes
// to whoever asked the gateway, and so does not tell how to connect.
func (s *server) failGateway(c *call, err error) {
	p, known := toProblem(err)
	if !known {
		s.logUnknown(c, err)
	}
	if p.Status < 500 && p.Status != http.StatusUnauthorized {
		p.Status, p.RetryAfter = http.StatusForbidden, 0 // a 4xx says that asking again does not help
	}
	p.write(c.w, c.id)
}

// forwardAuthEndpoint documents what [server.serveForwardAuth] serves.
func forwardAuthEndpoint() endpoint {
	e := endpoint{id: "forward-auth", method: http.MethodGet, path: forwardAuthPrefix + "{ref}", scope: access.Tokens, query: tokenParams, status: http.StatusOK,
		summary: "Show a gateway which Authorization header to send along"}
	e.describe = func(op *huma.Operation, _ huma.Registry) {
		op.Description += " Basic authorization with the key as the password does too. Errors have the status 401, 403 or 5xx, as gateways expect."
		op.Security = append(op.Security, map[string][]string{"client": {}})
		headers := map[string]*huma.Param{}
		for name, doc := range map[string]string{
			"Authorization":            "for the request to the provider",
			"X-Upstream-Authorization": "the same",
			"X-Evergrant-Base-Url":     "where the business's API lives",
			"X-Evergrant-Connection":   "id of the connection",
			"X-Evergrant-Fingerprint":  "names the token without telling it",
			"X-Evergrant-Expires-In":   "seconds the token is still good for",
		} {
			headers[name] = &huma.Param{Description: doc, Schema: &huma.Schema{Type: huma.TypeString}}
		}
		op.Responses["200"] = &huma.Response{Description: "OK", Headers: headers}
	}
	return e
}
