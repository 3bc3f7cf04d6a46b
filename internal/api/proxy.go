package api

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/proxy"
)

const (
	proxyPrefix       = "/proxy/"
	forwardAuthPrefix = "/v1/forward-auth/"
)

// foreign returns the handler of a path whose end is another server's to read, nil
// if it is not one. Such a path must not come to ServeMux, which would clean it.
func (s *server) foreign(r *http.Request, path string) func(*call) {
	switch {
	case strings.HasPrefix(path, proxyPrefix) && s.c.Proxy != nil:
		r.Pattern = "ANY " + proxyPrefix + "{ref}/{path...}"
		return s.serveProxy
	case strings.HasPrefix(path, forwardAuthPrefix):
		r.Pattern = "ANY " + forwardAuthPrefix + "{ref}"
		return s.serveForwardAuth
	}
	return nil
}

// splitRef parts a path behind its prefix into the ref, which becomes the path
// value, and the escaped rest: "", or something that begins with a slash.
func splitRef(r *http.Request, prefix string) (segment, rest string, err error) {
	segment = strings.TrimPrefix(r.URL.EscapedPath(), prefix)
	if i := strings.IndexByte(segment, '/'); i >= 0 {
		segment, rest = segment[:i], segment[i:]
	}
	ref, err := url.PathUnescape(segment)
	if err != nil {
		var f fields
		f.add("ref", "a percent sign in it must begin an escape such as %%40")
		return "", "", f.err()
	}
	r.SetPathValue("ref", ref)
	return segment, rest, nil
}

// serveProxy carries a request to a provider's API.
func (s *server) serveProxy(c *call) {
	if err := s.carry(c); err != nil {
		s.fail(c, err)
	}
}

func (s *server) carry(c *call) error {
	var err error
	if c.key, err = s.authenticate(c.r, access.Tokens, ""); err != nil {
		return err
	}
	segment, rest, err := splitRef(c.r, proxyPrefix)
	if err != nil {
		return err
	}
	ref, err := s.ref(c)
	if err != nil {
		return err
	}
	return s.c.Proxy.Serve(c.w, c.r, proxy.Trip{Tokens: tokensOf{s, c, ref}, Prefix: proxyPrefix + segment, Rest: rest})
}

// tokensOf are the tokens of the connection a call is about.
type tokensOf struct {
	s   *server
	c   *call
	ref grant.Ref
}

// Handout implements [proxy.Tokens].
func (t tokensOf) Handout(_ context.Context, location string) (*manager.Handout, error) {
	return t.s.handout(t.c, t.ref, evergrant.TokenOptions{Location: location})
}

// Reject implements [proxy.Tokens].
func (t tokensOf) Reject(ctx context.Context, fingerprint, location string) (*manager.Handout, error) {
	h, err := t.s.c.Manager.RejectHandout(ctx, t.ref, fingerprint)
	if err == nil && location != "" && !slices.Contains(h.Token.Locations, location) {
		// The refused token was replaced meanwhile, and this is another grant's.
		h, err = t.s.c.Manager.Handout(ctx, t.ref, evergrant.TokenOptions{Location: location})
	}
	return h, err
}

// handout finds a token and counts that it was asked for.
func (s *server) handout(c *call, ref grant.Ref, o evergrant.TokenOptions) (*manager.Handout, error) {
	c.location = o.Location
	h, err := s.c.Manager.Handout(c.r.Context(), ref, o)
	now := s.now()
	switch {
	case err != nil:
		s.countRefused(c, now.Sub(c.began))
		return nil, err
	case h.IssuedAt.After(c.began):
		s.c.Metrics.TokenRequest(h.App, "refreshed", now.Sub(c.began))
	default:
		s.c.Metrics.TokenRequest(h.App, "held", now.Sub(c.began))
	}
	return h, nil
}

// fromProxy translates what kept a request from being carried.
func fromProxy(e *proxy.Error) *problem {
	switch e.Kind {
	case proxy.Forbidden:
		return newProblem(int(e.Kind), codeForbidden, e.Detail)
	case proxy.NoMethod:
		p := newProblem(int(e.Kind), codeMethod, e.Detail)
		p.allow = strings.Join(proxyMethods(), ", ")
		return p
	case proxy.Limited:
		p := newProblem(int(e.Kind), codeLimited, e.Detail)
		p.ActBy, p.Reason, p.RetryAfter = string(evergrant.ActProvider), string(grant.RateLimited), seconds(e.RetryAfter)
		return p
	case proxy.Unreachable, proxy.Silent:
		p := newProblem(int(e.Kind), codeTemporary, e.Detail)
		p.ActBy, p.Reason, p.RetryAfter = string(evergrant.ActProvider), string(grant.ProviderUnavailable), seconds(e.RetryAfter)
		return p
	}
	p := newProblem(http.StatusBadRequest, codeInvalid, e.Detail)
	if e.Field != "" {
		p.Detail = e.Field + ": " + e.Detail
		p.Errors = []fieldError{{e.Field, e.Detail}}
	}
	return p
}

// proxyMethods are the methods whose meaning is registered and that are carried.
// So is any other but CONNECT and TRACE.
func proxyMethods() []string {
	return []string{http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPatch, http.MethodPost, http.MethodPut}
}

// proxyEndpoints document what [server.serveProxy] serves.
func proxyEndpoints() []endpoint {
	var all []endpoint
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		e := endpoint{id: "proxy-" + strings.ToLower(method), method: method, path: proxyPrefix + "{ref}/{path}", scope: access.Tokens, status: http.StatusOK,
			summary: "Send a request to the provider's API with the connection's token"}
		e.describe = func(op *huma.Operation, _ huma.Registry) {
			anything := map[string]*huma.MediaType{"*/*": {Schema: &huma.Schema{}}}
			op.Description += " The path may have any number of segments; every header and the query are passed on, and so is the provider's answer."
			op.Parameters = append(op.Parameters,
				&huma.Param{Name: "evergrant_location", In: "query", Schema: &huma.Schema{Type: huma.TypeString},
					Description: "id of a location the token must reach; not passed on"},
				&huma.Param{Name: "Evergrant-Location", In: "header", Schema: &huma.Schema{Type: huma.TypeString},
					Description: "the same as a header"})
			op.Responses["200"] = &huma.Response{Description: "The provider's answer, whatever its status", Content: anything}
			if method != http.MethodGet && method != http.MethodDelete {
				op.RequestBody = &huma.RequestBody{Content: anything}
			}
		}
		all = append(all, e)
	}
	return all
}
