package oauth

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/evergrant/evergrant/internal/secret"
)

func TestAuthorizeURL(t *testing.T) {
	base := AuthorizeRequest{Endpoint: "https://id.example/auth", ClientID: "app", RedirectURI: "https://a.example/cb", State: "s"}
	tests := map[string]struct {
		change func(*AuthorizeRequest)
		want   string
	}{
		"the plain case": {func(*AuthorizeRequest) {},
			"https://id.example/auth?client_id=app&redirect_uri=https%3A%2F%2Fa.example%2Fcb&response_type=code&state=s"},
		"spaces between scopes are %20 and a plus stays one": {func(r *AuthorizeRequest) { r.Scopes = []string{"a+b", "c"} },
			"https://id.example/auth?client_id=app&redirect_uri=https%3A%2F%2Fa.example%2Fcb&response_type=code&scope=a%2Bb%20c&state=s"},
		"the endpoint's query is kept": {func(r *AuthorizeRequest) { r.Endpoint += "?p=b2c&x=1" },
			"https://id.example/auth?client_id=app&p=b2c&redirect_uri=https%3A%2F%2Fa.example%2Fcb&response_type=code&state=s&x=1"},
		"without a redirect URI none is sent": {func(r *AuthorizeRequest) { r.RedirectURI = "" },
			"https://id.example/auth?client_id=app&response_type=code&state=s"},
		// RFC 7636 appendix B.
		"PKCE by S256": {func(r *AuthorizeRequest) {
			r.RedirectURI = ""
			r.Verifier = secret.New("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
		},
			"https://id.example/auth?client_id=app&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256&response_type=code&state=s"},
		"extra parameters are added and replace nothing": {func(r *AuthorizeRequest) {
			r.RedirectURI = ""
			r.Extra = url.Values{"prompt": {"consent"}, "state": {"evil"}, "redirect_uri": {"https://evil.example"}, "code_challenge": {"x"}, "response_type": {"token"}}
		}, "https://id.example/auth?client_id=app&prompt=consent&response_type=code&state=s"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := base
			tt.change(&r)
			got, err := AuthorizeURL(r)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for name, change := range map[string]func(*AuthorizeRequest){
		"no client id":       func(r *AuthorizeRequest) { r.ClientID = "" },
		"no state":           func(r *AuthorizeRequest) { r.State = "" },
		"no endpoint":        func(r *AuthorizeRequest) { r.Endpoint = "" },
		"a plain endpoint":   func(r *AuthorizeRequest) { r.Endpoint = "http://id.example/auth" },
		"a malformed query":  func(r *AuthorizeRequest) { r.Endpoint += "?a=%zz" },
		"an endpoint with #": func(r *AuthorizeRequest) { r.Endpoint += "#x" },
	} {
		r := base
		change(&r)
		if got, err := AuthorizeURL(r); err == nil {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

func TestWhatIsAskedForIsWhatArrives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(1, 40, -1)
		r := AuthorizeRequest{
			Endpoint: "https://id.example/auth?keep=a+b%20c", ClientID: text.Draw(t, "client"), State: text.Draw(t, "state"),
			RedirectURI: text.Draw(t, "redirect"), Scopes: []string{text.Draw(t, "scope"), "z"},
		}
		raw, err := AuthorizeURL(r)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		want := url.Values{"keep": {"a b c"}, "response_type": {"code"}, "client_id": {r.ClientID}, "state": {r.State},
			"redirect_uri": {r.RedirectURI}, "scope": {strings.Join(r.Scopes, " ")}}
		if diff := cmp.Diff(want, u.Query()); diff != "" || strings.Contains(u.RawQuery, "+") {
			t.Fatalf("%s (-want +got):\n%s", raw, diff)
		}
	})
}

func TestVerifiersAndStatesAreLongAndNew(t *testing.T) {
	shape := regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
	met := map[secret.String]bool{}
	for range 100 {
		for _, s := range []secret.String{NewVerifier(), NewState()} {
			if !shape.MatchString(s.Reveal()) || met[s] {
				t.Fatalf("%q", s.Reveal())
			}
			met[s] = true
		}
	}
}

func TestCheckEndpoint(t *testing.T) {
	for raw, ok := range map[string]bool{
		"https://id.example/token": true, "https://id.example": true, "https://id.example:8443/token?x=1": true, "HTTPS://id.example/": true,
		"http://localhost:8080/token": true, "http://LOCALHOST/": true, "http://127.0.0.1/": true, "http://127.3.2.1/": true, "http://[::1]:8420/": true,
		"https://localhost/": true, "https://10.0.0.1/": true, // refused when dialled

		"": false, "/token": false, "id.example/token": false, "//id.example/token": false, "https://": false, "https:id.example": false,
		"http://id.example/token": false, "http://localhost.example/": false, "http://localhost.": false, "http://10.0.0.1/": false, "http://0.0.0.0/": false,
		"ftp://id.example/": false, "file:///etc/passwd": false, "javascript:alert(1)": false,
		"https://user@id.example/": false, "https://user:pw@id.example/": false, "https://@id.example/": false,
		"https://id.example/#": false, "https://id.example/#x": false,
		"https://id.example:/": false, "https://id.example:0/": false, "https://id.example:99999/": false, "https://:443/": false,
		"https://id .example/": false, "https://id\n.example/": false, "https://idé.example/": false, "https://id.example/%zz": false,
	} {
		if err := CheckEndpoint(raw); (err == nil) != ok {
			t.Errorf("CheckEndpoint(%q) = %v", raw, err)
		}
	}
}
