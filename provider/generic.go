package provider

import (
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
)

// Generic is any OAuth 2.0 authorization server, described by the operator. It
// has no endpoints of its own: they come from the configuration, or from the
// issuer's metadata (RFC 8414, OpenID Connect Discovery).
func Generic() Recipe {
	return Recipe{
		Name:         "generic",
		Title:        "OAuth 2.0",
		Login:        "the provider",
		Environments: map[Environment]Endpoints{Production: {}},
		Auth:         oauth.Basic,
		Encoding:     oauth.Form,
		PKCE:         true,
		Policy:       grant.Policy{Rotation: grant.Unknown},
		Identify:     identifyIDToken,
	}
}

// identifyIDToken takes issuer and subject from the ID token, where there is
// one. It came from the token endpoint over TLS, so its signature need not be
// checked (OpenID Connect Core section 3.1.3.7, item 6).
func identifyIDToken(t oauth.Token, _ map[string]string) grant.Identity {
	claims, ok := oauth.JWTClaims(t.IDToken)
	if !ok {
		return grant.Identity{}
	}
	return grant.Identity{Issuer: TextClaim(claims, "iss"), Subject: TextClaim(claims, "sub")}
}

// mostClaim bounds what is taken from a claim.
const mostClaim = 512

// TextClaim returns the claim with this name if it is a string of at most 512
// bytes, and "" otherwise. Cutting a longer one would make two people one.
func TextClaim(claims map[string]any, name string) string {
	s, _ := claims[name].(string)
	if len(s) > mostClaim {
		return ""
	}
	return s
}
