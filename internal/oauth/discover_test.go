package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// metadataAt serves one metadata document at one path. %s in it is the server.
func metadataAt(t *testing.T, path, doc string) (base string, got *seen) {
	t.Helper()
	srv, got := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != path {
			http.NotFound(w, r)
			return
		}
		answerJSON(200, strings.ReplaceAll(doc, "%s", "http://"+r.Host))(w, r)
	})
	return srv.URL, got
}

func TestDiscover(t *testing.T) {
	const endpoints = `"authorization_endpoint":"%s/auth","token_endpoint":"%s/token"`
	tests := map[string]struct {
		issuer string // after the server's address
		path   string
		doc    string
		want   func(base string) Metadata
		says   string
	}{
		"OpenID Connect's place": {"/realms/k", "/realms/k/.well-known/openid-configuration",
			`{"issuer":"%s/realms/k",` + endpoints + `,"revocation_endpoint":"%s/revoke","authorization_response_iss_parameter_supported":true,
			"code_challenge_methods_supported":["plain","S256"],"token_endpoint_auth_methods_supported":["client_secret_basic","private_key_jwt"]}`,
			func(b string) Metadata {
				return Metadata{Issuer: b + "/realms/k", Authorize: b + "/auth", Token: b + "/token", Revoke: b + "/revoke",
					IssRequired: true, PKCES256: true, AuthMethods: []string{"client_secret_basic", "private_key_jwt"}}
			}, ""},
		"RFC 8414's place": {"/realms/k", "/.well-known/oauth-authorization-server/realms/k",
			`{"issuer":"%s/realms/k",` + endpoints + `}`,
			func(b string) Metadata {
				return Metadata{Issuer: b + "/realms/k", Authorize: b + "/auth", Token: b + "/token"}
			}, ""},
		"an issuer that ends in a slash": {"/", "/.well-known/openid-configuration",
			`{"issuer":"%s/",` + endpoints + `}`,
			func(b string) Metadata { return Metadata{Issuer: b + "/", Authorize: b + "/auth", Token: b + "/token"} }, ""},
		"odd optional members are ignored": {"", "/.well-known/openid-configuration",
			`{"issuer":"%s",` + endpoints + `,"revocation_endpoint":false,"code_challenge_methods_supported":"S256","token_endpoint_auth_methods_supported":[1]}`,
			func(b string) Metadata { return Metadata{Issuer: b, Authorize: b + "/auth", Token: b + "/token"} }, ""},
		"another issuer's document": {"", "/.well-known/openid-configuration", `{"issuer":"https://evil.example",` + endpoints + `}`, nil, `issuer "https://evil.example"`},
		"an issuer but for a slash": {"", "/.well-known/openid-configuration", `{"issuer":"%s/",` + endpoints + `}`, nil, "write it exactly so"},
		"no token endpoint":         {"", "/.well-known/openid-configuration", `{"issuer":"%s","authorization_endpoint":"%s/auth"}`, nil, "token_endpoint"},
		"a plain token endpoint":    {"", "/.well-known/openid-configuration", `{"issuer":"%s","authorization_endpoint":"%s/auth","token_endpoint":"http://id.example/t"}`, nil, "token_endpoint"},
		"a page":                    {"", "/.well-known/openid-configuration", `<html>`, nil, "not a JSON object"},
		"null":                      {"", "/.well-known/openid-configuration", `null`, nil, "not a JSON object"},
		"nothing anywhere":          {"", "/elsewhere", `{}`, nil, "answered 404"},
		"a document too large":      {"", "/.well-known/openid-configuration", strings.Repeat(" ", MaxBody) + "{}", nil, "larger than 1 MiB"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			base, _ := metadataAt(t, tt.path, tt.doc)
			got, err := newSender(t, SenderConfig{}).Discover(t.Context(), base+tt.issuer)
			if tt.want == nil {
				if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "\n") {
					t.Errorf("got %+v, %v, want an error about %q", got, err, tt.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want(base), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDiscoverRefusesWhatIsNoIssuer(t *testing.T) {
	s := newSender(t, SenderConfig{})
	for _, issuer := range []string{"", "id.example", "http://id.example", "https://id.example?x=1", "https://id.example/#x"} {
		if _, err := s.Discover(t.Context(), issuer); err == nil || !strings.HasPrefix(err.Error(), "issuer: ") {
			t.Errorf("%q: got %v", issuer, err)
		}
	}
}

func TestDiscoverFollowsNoRedirect(t *testing.T) {
	elsewhere, got := metadataAt(t, "/", "{}")
	srv, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere, http.StatusFound) })
	if _, err := newSender(t, SenderConfig{}).Discover(t.Context(), srv.URL); err == nil || got.count() != 0 {
		t.Errorf("got %v, followed %d times", err, got.count())
	}
}

func TestDiscoverHonoursCancellation(t *testing.T) {
	base, _ := metadataAt(t, "/", "{}")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newSender(t, SenderConfig{}).Discover(ctx, base); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestARemoteIssuerMustNotPointAtThisMachine(t *testing.T) {
	const issuer = "https://id.example"
	for _, member := range []string{"authorization_endpoint", "token_endpoint", "revocation_endpoint"} {
		for _, target := range []string{"http://127.0.0.1:6379/", "https://localhost/", "http://[::1]/"} {
			doc := map[string]string{"authorization_endpoint": issuer + "/a", "token_endpoint": issuer + "/t", "revocation_endpoint": issuer + "/r"}
			doc[member] = target
			body := fmt.Sprintf(`{"issuer":%q`, issuer)
			for k, v := range doc {
				body += fmt.Sprintf(`,%q:%q`, k, v)
			}
			if _, err := parseMetadata([]byte(body+"}"), issuer); err == nil || !strings.Contains(err.Error(), member) {
				t.Errorf("%s %s: got %v", member, target, err)
			}
		}
	}
}
