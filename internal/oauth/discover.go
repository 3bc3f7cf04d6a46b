package oauth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// discoverTimeout bounds reading one metadata document.
const discoverTimeout = 15 * time.Second

// Metadata is what an authorization server says about itself (RFC 8414 section
// 2, OpenID Connect Discovery section 3).
type Metadata struct {
	Issuer    string
	Authorize string
	Token     string
	Revoke    string // "" if there is none
	// IssRequired: every redirect carries iss (RFC 9207 section 3).
	IssRequired bool
	PKCES256    bool
	// AuthMethods are the client authentication methods of the token endpoint, in
	// the registry's names; nil if not told, which means client_secret_basic.
	AuthMethods []string
}

// Discover reads the metadata of an issuer from
// issuer/.well-known/openid-configuration or, failing that, from RFC 8414's
// place, /.well-known/oauth-authorization-server before the issuer's path. The
// document must name exactly the same issuer, or somebody else could speak for
// it, and its endpoints must satisfy [CheckEndpoint]; a loopback endpoint is
// accepted only from a loopback issuer.
func (s *Sender) Discover(ctx context.Context, issuer string) (Metadata, error) {
	u, err := endpoint(issuer)
	if err != nil {
		return Metadata{}, fmt.Errorf("issuer: %w", err)
	}
	if u.RawQuery != "" || u.ForceQuery {
		return Metadata{}, errors.New("issuer: the URL must not contain a query")
	}
	oidc, rfc8414 := wellKnown(u)
	m, oidcErr := s.metadata(ctx, oidc, issuer)
	if oidcErr == nil {
		return m, nil
	}
	m, err = s.metadata(ctx, rfc8414, issuer)
	if err == nil {
		return m, nil
	}
	return Metadata{}, fmt.Errorf("discover %s: %s: %w; %s: %w", printable(issuer, 200), oidc.Path, oidcErr, rfc8414.Path, err)
}

// wellKnown returns where an issuer's metadata may be.
func wellKnown(issuer *url.URL) (oidc, rfc8414 *url.URL) {
	path := strings.TrimSuffix(issuer.Path, "/")
	at := func(p string) *url.URL { return &url.URL{Scheme: issuer.Scheme, Host: issuer.Host, Path: p} }
	return at(path + "/.well-known/openid-configuration"), at("/.well-known/oauth-authorization-server" + path)
}

func (s *Sender) metadata(ctx context.Context, place *url.URL, issuer string) (Metadata, error) {
	ctx, cancel := context.WithTimeout(ctx, discoverTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(watched(ctx, nil), http.MethodGet, place.String(), nil)
	if err != nil {
		return Metadata{}, errNotURL
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", s.userAgent)
	resp, err := s.pooled.RoundTrip(req) // follows no redirect
	if err != nil {
		return Metadata{}, explain(place.Hostname(), 0, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return Metadata{}, fmt.Errorf("answered %d", resp.StatusCode)
	}
	body, err := readBody(resp.Body, resp.Header.Get("Content-Encoding"))
	if err != nil {
		return Metadata{}, explain(place.Hostname(), 0, err)
	}
	return parseMetadata(body, issuer)
}

// parseMetadata reads a metadata document that must be this issuer's.
func parseMetadata(body []byte, issuer string) (Metadata, error) {
	var doc map[string]any
	if err := json.Unmarshal(bytes.TrimPrefix(body, []byte("\ufeff")), &doc); err != nil || doc == nil {
		return Metadata{}, errors.New("the document is not a JSON object")
	}
	text := func(name string) string { s, _ := doc[name].(string); return s }
	m := Metadata{
		Issuer:    text("issuer"),
		Authorize: text("authorization_endpoint"),
		Token:     text("token_endpoint"),
		Revoke:    text("revocation_endpoint"),
	}
	if m.Issuer != issuer {
		return Metadata{}, fmt.Errorf("the document is of issuer %q; if that is the right one, write it exactly so in the configuration", printable(m.Issuer, 200))
	}
	self, err := endpoint(issuer)
	if err != nil {
		return Metadata{}, fmt.Errorf("issuer: %w", err)
	}
	for _, name := range []string{"authorization_endpoint", "token_endpoint", "revocation_endpoint"} {
		if text(name) == "" && name == "revocation_endpoint" {
			continue
		}
		u, err := endpoint(text(name))
		if err != nil {
			return Metadata{}, fmt.Errorf("%s: %w", name, err)
		}
		if loopbackHost(u.Hostname()) && !loopbackHost(self.Hostname()) {
			return Metadata{}, fmt.Errorf("%s: an issuer elsewhere must not point at this machine", name)
		}
	}
	m.IssRequired, _ = doc["authorization_response_iss_parameter_supported"].(bool)
	for _, method := range texts(doc["code_challenge_methods_supported"]) {
		m.PKCES256 = m.PKCES256 || method == "S256"
	}
	m.AuthMethods = texts(doc["token_endpoint_auth_methods_supported"])
	return m, nil
}

// texts returns the strings of a JSON array, at most 32 of at most 64 bytes.
func texts(v any) []string {
	list, _ := v.([]any)
	var out []string
	for _, e := range list {
		if s, ok := e.(string); ok && len(s) <= maxExtraName && len(out) < maxExtras {
			out = append(out, s)
		}
	}
	return out
}
