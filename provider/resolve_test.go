package provider_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/provider"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// issuer serves metadata while up, and counts how often it is asked.
type issuer struct {
	*httptest.Server
	up    atomic.Bool
	asked atomic.Int32
	more  string // further members of the document
}

func newIssuer(t *testing.T) *issuer {
	i := &issuer{}
	i.up.Store(true)
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/.well-known/openid-configuration" || !i.up.Load() {
			http.NotFound(w, r)
			return
		}
		i.asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"issuer":%q%s}`, i.URL, i.more)
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) endpoints() string {
	return fmt.Sprintf(`,"authorization_endpoint":"%s/auth","token_endpoint":"%[1]s/token","revocation_endpoint":"%[1]s/revoke",
		"code_challenge_methods_supported":["S256"],"authorization_response_iss_parameter_supported":true`, i.URL)
}

func newSender(t *testing.T) *oauth.Sender {
	s := oauth.NewSender(oauth.SenderConfig{})
	t.Cleanup(s.Close)
	return s
}

func newApp(t *testing.T, o provider.AppOptions) *provider.App {
	t.Helper()
	a, err := provider.NewApp(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestEndpointsAreDiscoveredOnce(t *testing.T) {
	i, s := newIssuer(t), newSender(t)
	i.more = i.endpoints()
	a := newApp(t, generic(provider.Endpoints{Issuer: i.URL, API: "https://api.example", Revoke: "https://elsewhere.example/revoke"}))
	want := provider.Endpoints{Issuer: i.URL, Authorize: i.URL + "/auth", Token: i.URL + "/token",
		Revoke: "https://elsewhere.example/revoke", API: "https://api.example", IssRequired: true}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			got, err := a.Resolved(t.Context(), s)
			if err != nil {
				t.Error(err)
			} else if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("endpoints (-want +got):\n%s", diff)
			}
		})
	}
	wg.Wait()
	if _, err := a.Resolved(t.Context(), s); err != nil {
		t.Error(err)
	}
	i.up.Store(false) // from now on nobody needs it
	if got, err := a.Resolved(t.Context(), s); err != nil || got != want {
		t.Errorf("Resolved = %+v, %v", got, err)
	}
}

func TestAProviderThatIsDownIsAskedAgain(t *testing.T) {
	i, s := newIssuer(t), newSender(t)
	i.more = i.endpoints()
	i.up.Store(false)
	a := newApp(t, generic(provider.Endpoints{Issuer: i.URL}))
	if _, err := a.Resolved(t.Context(), s); err == nil {
		t.Fatal("endpoints of a provider that is down")
	}
	i.up.Store(true)
	if _, err := a.Resolved(t.Context(), s); err != nil {
		t.Error(err)
	}
}

func TestMetadataWithoutATokenEndpointIsAnError(t *testing.T) {
	i, s := newIssuer(t), newSender(t)
	i.more = fmt.Sprintf(`,"authorization_endpoint":"%s/auth"`, i.URL)
	a := newApp(t, generic(provider.Endpoints{Issuer: i.URL}))
	if _, err := a.Resolved(t.Context(), s); err == nil {
		t.Error("accepted")
	}
}

func TestACallerMayLeave(t *testing.T) {
	i, s := newIssuer(t), newSender(t)
	i.more = i.endpoints()
	a := newApp(t, generic(provider.Endpoints{Issuer: i.URL}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// Whether the answer or the end of the caller comes first is not known, but
	// nothing else may come.
	if _, err := a.Resolved(ctx, s); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
	if _, err := a.Resolved(t.Context(), s); err != nil {
		t.Error(err)
	}
}

func TestTheGenericRecipeReadsTheIDToken(t *testing.T) {
	identify := provider.Generic().Identify
	got := identify(oauth.Token{IDToken: secret.New("e30.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJzdWIiOiJ1c2VyLTEifQ.x")}, nil)
	if diff := cmp.Diff(grant.Identity{Issuer: "https://id.example", Subject: "user-1"}, got); diff != "" {
		t.Errorf("identity (-want +got):\n%s", diff)
	}
	for _, odd := range []string{"", "x", "e30.eyJzdWIiOjF9.x"} {
		if got := identify(oauth.Token{IDToken: secret.New(odd)}, nil); got.Subject != "" {
			t.Errorf("%q identifies %+v", odd, got)
		}
	}
}
