package lightspeed

import (
	"encoding/base64"
	"testing"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/provider"
)

func TestClientIDsBelongToOneGeneration(t *testing.T) {
	tests := []struct {
		id     string
		recipe provider.Recipe
		env    provider.Environment
		ok     bool
	}{
		{"devp-v2-prod-acme", K(), provider.Production, true},
		{"devp-v2-demo-acme", K(), provider.Trial, true},
		{"devp-v2-demo-acme", K(), provider.Sandbox, true},
		{"devp-v2-prod-acme", K(), provider.Sandbox, true},
		{"acme", K(), provider.Production, true},
		{"devp-v2-demo-acme", K(), provider.Production, false},
		{"devp-v2-prod-acme", K(), provider.Trial, false},
		{"devp-acme", K(), provider.Production, false},
		{"devp-acme", K1(), provider.Production, true},
		{"acme", K1(), provider.Trial, true},
		{"devp-v2-prod-acme", K1(), provider.Production, false},
	}
	for _, tt := range tests {
		if err := tt.recipe.CheckClientID(tt.id, tt.env); (err == nil) != tt.ok {
			t.Errorf("%s of %s in %s: %v", tt.id, tt.recipe.Name, tt.env, err)
		}
	}
}

func TestTokenEndpointErrorsMeanWhatTheDocumentationSays(t *testing.T) {
	tests := []struct {
		status int
		body   string
		want   grant.Outcome
	}{
		{400, `{"error":"invalid_grant","error_description":"Code not valid"}`, grant.Refused},
		{400, `{"error":"invalid_grant","error_description":"Incorrect redirect_uri"}`, grant.Refused},
		{400, `{"error":"invalid_grant","error_description":"Token is not active"}`, grant.Refused},
		{401, `{"error":"invalid_client","error_description":"Invalid client or Invalid client credentials"}`, grant.Misconfigured},
		{400, `{"error":"unauthorized_client","error_description":"Client not allowed for direct access grants"}`, grant.Misconfigured},
	}
	for _, r := range []provider.Recipe{K(), K1()} {
		for _, tt := range tests {
			a := oauth.Answer{Sent: true, Complete: true, Status: tt.status, ContentType: "application/json", Body: []byte(tt.body)}
			if got := oauth.Classify(a, r.Errors).Outcome; got != tt.want {
				t.Errorf("%s: %s is %s, want %s", r.Name, tt.body, got, tt.want)
			}
		}
	}
}

func TestTheUserIsReadFromTheAccessToken(t *testing.T) {
	jwt := func(claims string) oauth.Token {
		return oauth.Token{AccessToken: secret.New("e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".x")}
	}
	got := K().Identify(jwt(`{"iss":"https://auth.lsk-prod.app/realms/k-series","sub":"0b7f"}`), nil)
	if got.Issuer != "https://auth.lsk-prod.app/realms/k-series" || got.Subject != "0b7f" {
		t.Errorf("identity = %+v", got)
	}
	for _, odd := range []oauth.Token{{}, {AccessToken: secret.New("opaque")}, jwt(`{"sub":7}`), jwt(`[]`)} {
		if got := K().Identify(odd, nil); got.Subject != "" {
			t.Errorf("identity = %+v", got)
		}
	}
	if K1().Identify != nil {
		t.Error("V1 identifies somebody without a call")
	}
}
