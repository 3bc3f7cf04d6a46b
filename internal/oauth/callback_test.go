package oauth

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/secret"
)

func TestParseCallback(t *testing.T) {
	tests := map[string]struct {
		query string
		want  CallbackParams
		says  string
	}{
		"Keycloak's": {"code=c.1&state=s&session_state=x&iss=https%3A%2F%2Fid.example",
			CallbackParams{Code: secret.New("c.1"), State: secret.New("s"), Extra: map[string]string{"session_state": "x"}}, ""},
		"X-Series'": {"code=c&state=s&domain_prefix=velonord&user_id=7",
			CallbackParams{Code: secret.New("c"), State: secret.New("s"), Extra: map[string]string{"domain_prefix": "velonord", "user_id": "7"}}, ""},
		"no state": {"code=c", CallbackParams{Code: secret.New("c")}, ""},
		"a refusal": {"error=access_denied&error_description=The+user%0Asaid+no&state=s",
			CallbackParams{State: secret.New("s"), Error: "access_denied", ErrorDescription: "The user said no"}, ""},
		"an error that cannot be shown":       {"error=%3Cscript%3E%00&state=s", CallbackParams{State: secret.New("s"), Error: "unknown_error"}, ""},
		"an unknown parameter twice":          {"code=c&x=1&x=2", CallbackParams{Code: secret.New("c")}, ""},
		"a parameter that speaks of a secret": {"code=c&id_token=x&client_secret=y", CallbackParams{Code: secret.New("c")}, ""},

		"two codes":           {"code=c&code=d&state=s", CallbackParams{}, "code is repeated"},
		"the same code twice": {"code=c&code=c&state=s", CallbackParams{}, "code is repeated"},
		"two states":          {"code=c&state=s&state=t", CallbackParams{}, "state is repeated"},
		"two issuers":         {"code=c&iss=a&iss=b", CallbackParams{}, "iss is repeated"},
		"code and error":      {"code=c&error=e&state=s", CallbackParams{}, "both"},
		"neither":             {"state=s", CallbackParams{}, "neither"},
		"empty ones":          {"code=&error=&state=s", CallbackParams{}, "neither"},
		"a code too long":     {"code=" + strings.Repeat("c", 8<<10+1), CallbackParams{}, "code is longer"},
		"a state too long":    {"code=c&state=" + strings.Repeat("s", 8<<10+1), CallbackParams{}, "state is longer"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			q, err := url.ParseQuery(tt.query)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ParseCallback(q)
			if (tt.says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("got error %v, want one about %q", err, tt.says)
			}
			if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b secret.String) bool { return a == b })); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	many := url.Values{"code": {"c"}}
	for i := range 40 {
		many.Set(fmt.Sprint("p", i), "v")
	}
	if got, err := ParseCallback(many); err != nil || len(got.Extra) != 32 {
		t.Errorf("40 more parameters: %d kept, %v", len(got.Extra), err)
	}
	for i := range 100 {
		many.Set(fmt.Sprint("p", i), "v")
	}
	if _, err := ParseCallback(many); err == nil {
		t.Error("100 more parameters are accepted")
	}
}

func TestCheckIssuer(t *testing.T) {
	const id = "https://id.example"
	tests := map[string]struct {
		iss      []string
		issuer   string
		required bool
		ok       bool
	}{
		"the right issuer":                       {[]string{id}, id, true, true},
		"the right issuer where it is optional":  {[]string{id}, id, false, true},
		"another issuer":                         {[]string{"https://evil.example"}, id, false, false},
		"a slash more":                           {[]string{id + "/"}, id, false, false},
		"other case":                             {[]string{"https://ID.example"}, id, false, false},
		"an empty one":                           {[]string{""}, id, false, false},
		"two, the right one first":               {[]string{id, "https://evil.example"}, id, false, false},
		"two of no known issuer":                 {[]string{id, id}, "", false, false},
		"none where it is promised":              {nil, id, true, false},
		"none where it is not":                   {nil, id, false, true},
		"one where no issuer is known":           {[]string{id}, "", false, true},
		"one that is promised by nobody we know": {[]string{id}, "", true, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			q := url.Values{"code": {"c"}}
			if tt.iss != nil {
				q["iss"] = tt.iss
			}
			err := CheckIssuer(q, tt.issuer, tt.required)
			if (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrIssuerMismatch) {
				t.Errorf("got %v", err)
			}
		})
	}
}
