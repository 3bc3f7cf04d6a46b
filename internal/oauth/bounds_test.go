package oauth

import (
	"encoding/base64"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/secret"
)

// What is allowed up to a bound is allowed at it.
func TestACallbackMayBeAsLargeAsItsBounds(t *testing.T) {
	q := url.Values{"code": {strings.Repeat("c", maxCallbackValue)}}
	name, value := strings.Repeat("n", maxExtraName), strings.Repeat("v", maxExtraValue)
	q.Set(name, value)
	q.Set(name+"n", "v")
	q.Set("long", value+"v")
	got, err := ParseCallback(q)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{name: value}, got.Extra); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}

	q = url.Values{"code": {"c"}}
	for len(q) < maxCallbackParams {
		q.Set(strings.Repeat("p", len(q)), "v")
	}
	if _, err := ParseCallback(q); err != nil {
		t.Errorf("%d parameters: %v", len(q), err)
	}
	q.Set("another", "v")
	if _, err := ParseCallback(q); err == nil {
		t.Errorf("%d parameters are accepted", len(q))
	}
}

func TestMembersOfATokenResponseMayBeAsLongAsTheirBounds(t *testing.T) {
	name, value := strings.Repeat("n", maxExtraName), strings.Repeat("v", maxExtraValue)
	got, err := ParseToken(tokensIn(`{"access_token":"a","` + name + `":"` + value + `","` + name + `n":1,"long":"` + value + `v"}`))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{name: value}, got.Extra); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestAScopeMayHaveEveryCharacterThatRFC6749Allows(t *testing.T) {
	got, err := ParseToken(tokensIn(`{"access_token":"a","scope":"!orders ~staff"}`))
	if err != nil || got.Scope != "!orders ~staff" || len(got.Odd) > 0 {
		t.Errorf("got %q, odd %q, %v", got.Scope, got.Odd, err)
	}
}

func TestAJWTIsReadUpToItsLongest(t *testing.T) {
	const head = "e30."
	payload := base64.RawURLEncoding.EncodeToString([]byte(`{"a":1}`))
	token := head + payload + "."
	token += strings.Repeat("s", maxJWT-len(token))
	if _, ok := JWTClaims(secret.New(token)); !ok {
		t.Errorf("one of %d bytes is not read", len(token))
	}
	if _, ok := JWTClaims(secret.New(token + "s")); ok {
		t.Errorf("one of %d bytes is read", len(token)+1)
	}
}

// From some size on a number is a moment, and from another on one in milliseconds.
func TestWhereNumbersBecomeMoments(t *testing.T) {
	before := time.Unix(earliestMoment-60, 0)
	for name, tt := range map[string]struct {
		number   string
		relative bool
		now      time.Time
		want     time.Duration
		ok       bool
	}{
		"the last lifetime":                 {"999999999", true, before, grant.MaxLifetime, true},
		"the first moment":                  {"1000000000", true, before, time.Minute, true},
		"the first where only moments are":  {"1000000000", false, before, time.Minute, true},
		"none before it":                    {"999999999", false, before.Add(-time.Hour), 0, false},
		"the first in milliseconds":         {"1000000000000", false, before, time.Minute, true},
		"now is no time to live":            {"1000000000", false, time.Unix(earliestMoment, 0), 0, false},
		"the next moment is, though little": {"1000000000", false, time.Unix(earliestMoment, -1), 1, true},
	} {
		if got, ok := lifetime(tt.number, tt.relative, true, tt.now); got != tt.want || ok != tt.ok {
			t.Errorf("%s: %s, %t; want %s, %t", name, got, ok, tt.want, tt.ok)
		}
	}
}

func TestWhichStatusesAreSuccesses(t *testing.T) {
	for status, want := range map[int]grant.Outcome{199: grant.Unclear, 200: grant.Granted, 299: grant.Granted, 300: grant.Unclear} {
		if got := Classify(Answer{Sent: true, Complete: true, Status: status, Body: []byte(goodTokens)}, nil); got.Outcome != want {
			t.Errorf("tokens in a %d: %s, want %s", status, got.Outcome, want)
		}
	}
	for status, want := range map[int]grant.Outcome{399: grant.Unclear, 400: grant.Refused, 499: grant.Refused, 500: grant.Unclear} {
		if got := Classify(Answer{Sent: true, Complete: true, Status: status, Body: []byte(`{"error":"invalid_grant"}`)}, nil); got.Outcome != want {
			t.Errorf("invalid_grant in a %d: %s, want %s", status, got.Outcome, want)
		}
	}
}

func TestTokensUnderAnEscapedNameAreNotTakenForAPage(t *testing.T) {
	a := Answer{Sent: true, Complete: true, Status: 200, Body: []byte(`{"access\u005ftoken":"a","token_type":"DPoP"}`)}
	if got := Classify(a, nil); got.Outcome != grant.Lost {
		t.Errorf("got %s, want %s", got.Outcome, grant.Lost)
	}
}

func TestWhatAServerSaysItCanIsBounded(t *testing.T) {
	most := strings.Repeat("m", maxExtraName)
	if d := cmp.Diff([]string{most, "b"}, texts([]any{most, most + "m", 1, "b"})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	var many []any
	for range maxExtras + 1 {
		many = append(many, "a")
	}
	if got := texts(many); len(got) != maxExtras {
		t.Errorf("%d of %d are kept, want %d", len(got), len(many), maxExtras)
	}
	doc := `{"issuer":"https://id.example","authorization_endpoint":"https://id.example/a","token_endpoint":"https://id.example/t","code_challenge_methods_supported":["plain"]}`
	if m, err := parseMetadata([]byte(doc), "https://id.example"); err != nil || m.PKCES256 {
		t.Errorf("plain is taken for S256: %+v, %v", m, err)
	}
}

func TestWhichCharactersAHostMayHave(t *testing.T) {
	for raw, ok := range map[string]bool{"https://a~b.example/": true, "https://[fe80::1%25e!n]/": true, "https://[fe80::1%25e%20n]/": false} {
		if err := CheckEndpoint(raw); (err == nil) != ok {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

func TestAConnectionThatCannotBeWatchedCountsAsWrittenTo(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	e := &exchange{now: time.Now, notAfter: time.Now().Add(time.Hour)}
	attach(ours, e)
	if _, sent := e.settle(); !sent {
		t.Error("nobody knows whether anything was written, and it counts as not sent")
	}
	attach(ours, nil) // somebody else's
}

func TestTokensAreRecognisedByEveryLetterTheyMayHave(t *testing.T) {
	for _, token := range []string{strings.Repeat("A", 32), strings.Repeat("Z", 32), strings.Repeat("AZaz09", 6)} {
		if got := describe("token " + token + " is bad"); got != "token […] is bad" {
			t.Errorf("%s: %q", token, got)
		}
	}
}

func TestATextOfTheLongestLengthIsNotCut(t *testing.T) {
	if got := printable("café", 4); got != "café" {
		t.Errorf("got %q", got)
	}
	if got := printable("cafés", 4); got != "caf…" {
		t.Errorf("got %q", got)
	}
}

func TestWhatIsAnErrorCode(t *testing.T) {
	longest := strings.Repeat("ab_c", maxCode/4)
	for code, want := range map[string]string{
		longest:                            longest,
		longest + "d":                      "",
		"a~b":                              "a~b",
		"INSUFFICIENT_USER_AUTHENTICATION": "INSUFFICIENT_USER_AUTHENTICATION",
		"Insufficient_User_Authentication": "", // as likely a token
	} {
		if got := cleanCode(code, false); got != want {
			t.Errorf("%s: %q, want %q", code, got, want)
		}
	}
}
