package oauth

import (
	"fmt"
	"io"
	"log"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/secret"
)

func discard() *log.Logger { return log.New(io.Discard, "", 0) }

// noCanary fails if a value shows one of the test secrets in any form.
func noCanary(t *testing.T, v any) {
	t.Helper()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if s := fmt.Sprintf(verb, v); strings.Contains(s, "canary") {
			t.Errorf("%s shows a secret: %s", verb, s)
		}
	}
}

func TestNothingPrintsASecret(t *testing.T) {
	body := []byte(`{"access_token":"canary-access-2b9Qe8","refresh_token":"` + testRefresh + `","id_token":"canary-id",
		"client_secret":"canary-x","my_password":"canary-y","other":"eyJhbGciOi.canary.z"}`)
	a := Answer{Sent: true, Complete: true, Status: 200, Body: body}
	noCanary(t, a)
	noCanary(t, &a)
	noCanary(t, refreshOf("https://id.example/token?x="+testSecret))
	token, err := ParseToken(a)
	if err != nil {
		t.Fatal(err)
	}
	noCanary(t, token)
	p, err := ParseCallback(map[string][]string{"code": {"canary-code"}, "state": {"canary-state"}, "id_token": {"canary"}})
	if err != nil {
		t.Fatal(err)
	}
	noCanary(t, p)
}

func TestErrorsAndDescriptionsShowNoSecret(t *testing.T) {
	for _, status := range []int{200, 400, 401, 429, 500} {
		for _, body := range []string{
			`{"error":"` + testRefresh + `","error_description":"token ` + testRefresh + ` of ` + testSecret + ` unknown"}`,
			`{"error":"invalid_grant","message":"no such token:` + testRefresh + `"}`,
			`error=invalid_grant&error_description=` + testRefresh,
			`{"access_token":"` + testRefresh + `","token_type":"` + testSecret + `"}`,
			`{"access_token":"` + testRefresh + `\n"}`,
			`{"access_token":"` + testRefresh,
			`{"data":{"access_token":"` + testRefresh + `"}}`,
		} {
			a := Answer{Sent: true, Complete: true, Status: status, Body: []byte(body)}
			noCanary(t, Classify(a, nil))
			_, err := ParseToken(a)
			noCanary(t, err)
		}
	}
	srv, _ := serve(t, answerJSON(400, `{"error":"`+testRefresh+`"}`))
	err := newSender(t, SenderConfig{}).Revoke(t.Context(), srv.URL, Client{ID: "app", Auth: None}, secret.New(testRefresh), "")
	if err == nil {
		t.Error("a 400 is no error")
	}
	noCanary(t, err)
}

func TestDescribeRemovesWhatLooksLikeAToken(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"words stay":                   {"Token is not active", "Token is not active"},
		"error numbers stay":           {"AADSTS700082: expired", "AADSTS700082: expired"},
		"long runs go":                 {"token 0123456789abcdef0123 is bad", "token […] is bad"},
		"a JWT goes as a whole":        {"got eyJhbGciOiJIUzI1NiJ9.e30.abc!", "got […]!"},
		"short mixed runs go":          {"code aB3dE5gH7j is late", "code […] is late"},
		"percent-encoding hides none":  {"x=%41%42%43%44%45%46%47", "[…]"},
		"control characters are space": {"a\x00b\r\nc\u202ed", "a b c d"},
		"broken UTF-8 is space":        {"a\xff\xfeb", "a b"},
		"long texts are cut":           {strings.Repeat("ab ", 100), strings.Repeat("ab ", 66) + "a…"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := describe(tt.in); got != tt.want {
				t.Errorf("describe(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}
