package oauth

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/secret"
)

func TestJWTClaims(t *testing.T) {
	b64 := base64.RawURLEncoding.EncodeToString
	jwtOf := func(payload string) string {
		return b64([]byte(`{"alg":"none"}`)) + "." + b64([]byte(payload)) + ".sig"
	}
	rSeries := map[string]any{"acct": "90210", "exp": json.Number("1790003600.5"), "id": json.Number("310004455667788990")}
	tests := map[string]struct {
		token string
		want  map[string]any
	}{
		"R-Series' claims keep their numbers": {jwtOf(`{"acct":"90210","exp":1790003600.5,"id":310004455667788990}`), rSeries},
		"padding is accepted":                 {"x." + base64.URLEncoding.EncodeToString([]byte(`{"a":"bc"}`)) + ".s", map[string]any{"a": "bc"}},
		"no claims":                           {jwtOf(`{}`), map[string]any{}},
		"an opaque token":                     {"Zq81exampleAccess", nil},
		"nothing":                             {"", nil},
		"two parts":                           {"e30.e30", nil},
		"an encrypted one":                    {"a.b.c.d.e", nil},
		"a list":                              {jwtOf(`[1]`), nil},
		"null":                                {jwtOf(`null`), nil},
		"no JSON":                             {jwtOf(`{"a"`), nil},
		"no base64":                           {"x.???.y", nil},
		"too long":                            {jwtOf(`{"a":"` + strings.Repeat("a", 64<<10) + `"}`), nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := JWTClaims(secret.New(tt.token))
			if ok != (tt.want != nil) {
				t.Errorf("ok = %t", ok)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAJWTSaysHowLongItLives(t *testing.T) {
	from := time.Unix(1_800_000_000, 0)
	jwt := func(claims string) secret.String {
		return secret.New("e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln")
	}
	for claims, want := range map[string]time.Duration{
		`{"exp":1800000090}`: 90 * time.Second,
		`{"exp":1800000000}`: 0,
		`{"exp":1700000000}`: 0,
		`{"exp":"soon"}`:     0,
		`{"exp":1e300}`:      grant.MaxLifetime,
		`{}`:                 0,
	} {
		if got := JWTLife(jwt(claims), from); got != want {
			t.Errorf("%s: %v, want %v", claims, got, want)
		}
	}
	if got := JWTLife(secret.New("opaque"), from); got != 0 {
		t.Errorf("an opaque token: %v", got)
	}
}
