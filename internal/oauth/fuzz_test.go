package oauth

import (
	"bytes"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/secret"
)

func asciiTable() *unicode.RangeTable {
	return &unicode.RangeTable{R16: []unicode.Range16{{Lo: 0x20, Hi: 0x7e, Stride: 1}}, LatinOffset: 1}
}

func escape(s string) string { return url.QueryEscape(s) }

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// longRuns matches what must never be shown.
var longRuns = regexp.MustCompile(`[A-Za-z0-9_~+/=.%-]{20}`)

// bodies seeds the fuzz targets with answers seen in the wild.
func bodies() []string {
	return []string{
		goodTokens, "", "{}", "null", "[]", `{"error":"invalid_grant","error_description":"Token is not active"}`,
		"access_token=a&expires=5108", "error=invalid_grant", "<html>", `{"access_token":"a","expires_in":"3600.5"}`,
		`{"access_token":"a","expires_at":"2026-11-21T12:00:00Z","scope":["a","b"]}`, "\ufeff{\"access_token\":\"a\"}",
		`{"access_token":"a","access_token":"b"}`, `{"access_token":"a","expires":1790086400}`, `{"access_token":"a","expires_in":1e999}`,
		`{"access_token":"a"}trailing`, `{"access_token":"a\n"}`, `{"access_token":"a","token_type":"DPoP"}`, "\x1f\x8b\x08",
		`{"access_token":"a","refresh_expires_in":-0.0,"refresh_token":" "}`, strings.Repeat("[", 20000),
	}
}

func FuzzParseToken(f *testing.F) {
	for _, b := range bodies() {
		f.Add([]byte(b), int64(1790086400))
	}
	f.Fuzz(func(t *testing.T, body []byte, sent int64) {
		a := Answer{Sent: true, Complete: true, Status: 200, Body: body, SentAt: time.Unix(sent, 0)}
		kept := bytes.Clone(body)
		got, err := ParseToken(a)
		if !bytes.Equal(kept, body) {
			t.Fatal("the raw answer was changed")
		}
		if err != nil {
			if got.AccessToken != (secret.String{}) || longRuns.MatchString(strings.ReplaceAll(err.Error(), "token_type", "")) {
				t.Fatalf("got %v, %v", got, err)
			}
			return
		}
		access := got.AccessToken.Reveal()
		if strings.TrimSpace(access) == "" || len(access) > maxAccessToken || strings.ContainsFunc(access, unicode.IsControl) {
			t.Fatalf("access token %q", access)
		}
		if got.Type != "Bearer" {
			t.Fatalf("type %q", got.Type)
		}
		if r := got.RefreshToken; !r.IsZero() && strings.TrimSpace(r.Reveal()) == "" {
			t.Fatalf("blank refresh token %q", r.Reveal())
		}
		for _, d := range []time.Duration{got.ExpiresIn, got.RefreshExpiresIn} {
			if d < 0 || d > grant.MaxLifetime {
				t.Fatalf("lifetime %v", d)
			}
		}
		for _, name := range got.Odd {
			if !slices.Contains(known(), name) {
				t.Fatalf("odd names %q", name)
			}
		}
		if len(got.Extra) > maxExtras {
			t.Fatalf("%d extras", len(got.Extra))
		}
		for k, v := range got.Extra {
			if len(k) > maxExtraName || len(v) > maxExtraValue || secretName(k) || slices.Contains(known(), k) {
				t.Fatalf("extra %q = %q", k, v)
			}
		}
		if s := got.Scope; strings.Join(strings.Fields(s), " ") != s {
			t.Fatalf("scope %q", s)
		}
		// What was read once is read again from what we would write.
		again, err := ParseToken(tokensIn(`{"access_token":` + quote(access) + `}`))
		if err != nil || again.AccessToken != got.AccessToken {
			t.Fatalf("again: %v, %v", again, err)
		}
	})
}

func FuzzClassify(f *testing.F) {
	for i, b := range bodies() {
		f.Add([]byte(b), 200+100*(i%4), "application/json", true, i%3 != 0, "invalid_grant", 3)
	}
	f.Fuzz(func(t *testing.T, body []byte, status int, contentType string, sent, complete bool, key string, value int) {
		a := Answer{Sent: sent, Complete: complete, Status: status, Body: body, ContentType: contentType, RetryAfter: time.Second, SentAt: sentAt}
		got := Classify(a, nil)
		success := status >= 200 && status <= 299
		if (got.Outcome == grant.NotSent) == sent {
			t.Fatalf("sent %t is %v", sent, got.Outcome)
		}
		switch got.Outcome {
		case grant.Granted:
			if _, err := ParseToken(a); err != nil || !success {
				t.Fatalf("%d granted, but %v", status, err)
			}
		case grant.Refused:
			if got.Code != "invalid_grant" || !complete || status >= 500 || status < 200 || status >= 300 && status < 400 {
				t.Fatalf("%d %q refused, complete %t", status, got.Code, complete)
			}
		case grant.Misconfigured:
			if !complete || status >= 500 || got.Code == "" {
				t.Fatalf("%d %q misconfigured, complete %t", status, got.Code, complete)
			}
		case grant.Unclear:
			if !complete && status != 429 {
				t.Fatalf("an incomplete %d is unclear", status)
			}
		case grant.NotSent, grant.Throttled, grant.Lost:
		default:
			t.Fatalf("outcome %v", got.Outcome)
		}
		if _, err := ParseToken(a); sent && complete && success && err == nil && got.Outcome != grant.Granted {
			t.Fatalf("usable tokens are %v", got.Outcome)
		}
		shown(t, got)
		// A map changes what errors mean and never makes or unmakes a grant.
		mapped := Classify(a, Errors{key: grant.Outcome(value)})
		if (mapped.Outcome == grant.Granted) != (got.Outcome == grant.Granted) ||
			(mapped.Outcome == grant.NotSent) != (got.Outcome == grant.NotSent) ||
			(mapped.Outcome == grant.Lost) != (got.Outcome == grant.Lost) {
			t.Fatalf("mapping %q to %d makes %v of %v", key, value, mapped.Outcome, got.Outcome)
		}
	})
}

// shown checks what a Result shows to people.
func shown(t *testing.T, r Result) {
	t.Helper()
	if len(r.Code) > maxCode || strings.ContainsFunc(r.Code, func(c rune) bool { return c < 0x20 || c > 0x7e }) {
		t.Fatalf("code %q", r.Code)
	}
	for _, run := range longRuns.FindAllString(r.Code, -1) {
		if strings.Trim(strings.ToLower(run), "abcdefghijklmnopqrstuvwxyz_") != "" {
			t.Fatalf("code %q", r.Code)
		}
	}
	if d := r.Description; !utf8.ValidString(d) || utf8.RuneCountInString(d) > maxDescription ||
		strings.ContainsFunc(d, func(c rune) bool { return !unicode.IsPrint(c) }) || longRuns.MatchString(d) {
		t.Fatalf("description %q", d)
	}
}

func FuzzParseCallback(f *testing.F) {
	for _, q := range []string{"", "code=c&state=s", "code=c&code=d", "error=access_denied&error_description=no&state=s", "code=c&error=e",
		"code=c&state=s&iss=https%3A%2F%2Fid.example&session_state=x", "code=c&domain_prefix=velonord", "error=%00", "code=c&domain_prefix=a&domain_prefix=b"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		p, err := ParseCallback(q)
		if err != nil {
			if strings.Contains(err.Error(), "\n") || p.Code != (secret.String{}) {
				t.Fatalf("got %v, %v", p, err)
			}
			return
		}
		if p.Code.IsZero() == (p.Error == "") {
			t.Fatalf("code %v, error %q", p.Code, p.Error)
		}
		for _, name := range callbackParams() {
			if len(q[name]) > 1 || len(q.Get(name)) > maxCallbackValue {
				t.Fatalf("accepted %s = %q", name, q[name])
			}
			if _, ok := p.Extra[name]; ok {
				t.Fatalf("%s is extra", name)
			}
		}
		if p.Code.Reveal() != q.Get("code") || p.State.Reveal() != q.Get("state") || len(p.Extra) > maxExtras {
			t.Fatalf("%q became %v", raw, p)
		}
		for k, v := range p.Extra {
			if len(q[k]) != 1 || q.Get(k) != v || len(v) > maxExtraValue {
				t.Fatalf("extra %q = %q", k, v)
			}
		}
		shown(t, Result{Code: p.Error, Description: p.ErrorDescription})
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, h := range []string{"", "7", "-1", "1e999", "Sat, 21 Nov 2026 12:00:30 GMT", "NaN", "86401", "0x1p9"} {
		f.Add(h, int64(1790086400))
	}
	f.Fuzz(func(t *testing.T, h string, now int64) {
		at := time.Unix(now, 0)
		d := parseRetryAfter(h, at)
		if d < 0 || d > maxRetryAfter {
			t.Fatalf("%q is %v", h, d)
		}
		if later := parseRetryAfter(h, at.Add(time.Hour)); later > d {
			t.Fatalf("%q is %v and an hour later %v", h, d, later)
		}
	})
}

func FuzzDiscoverDoc(f *testing.F) {
	f.Add([]byte(`{"issuer":"https://id.example","authorization_endpoint":"https://id.example/a","token_endpoint":"https://id.example/t"}`), "https://id.example")
	f.Add([]byte(`{"issuer":"http://127.0.0.1:9","authorization_endpoint":"http://localhost/a","token_endpoint":"https://[::1]/t","code_challenge_methods_supported":["S256"]}`), "http://127.0.0.1:9")
	f.Add([]byte(`{"issuer":"https://id.example","authorization_endpoint":"https://127.0.0.1/a","token_endpoint":5}`), "https://id.example")
	f.Add([]byte("null"), "")
	f.Fuzz(func(t *testing.T, body []byte, issuer string) {
		m, err := parseMetadata(body, issuer)
		if err != nil {
			if len(err.Error()) > 2000 {
				t.Fatalf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if m.Issuer != issuer {
			t.Fatalf("issuer %q speaks for %q", m.Issuer, issuer)
		}
		self, err := url.Parse(issuer)
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range []string{m.Authorize, m.Token, m.Revoke} {
			if raw == "" && m.Revoke == "" {
				continue
			}
			if err := CheckEndpoint(raw); err != nil {
				t.Fatalf("%q: %v", raw, err)
			}
			u, err := url.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			if loopbackHost(u.Hostname()) && !loopbackHost(self.Hostname()) {
				t.Fatalf("%q points at this machine", raw)
			}
		}
		if m.Authorize == "" || m.Token == "" {
			t.Fatalf("got %+v", m)
		}
	})
}
