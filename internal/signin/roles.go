package signin

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/secret"
)

// OIDC is an identity provider and whom it lets in.
type OIDC struct {
	Issuer       string // exactly as its discovery document says it
	ClientID     string
	ClientSecret secret.String // zero: a public client
	Scopes       []string      // must contain openid
	// Claim is the claim whose entries are looked for in Roles, such as groups; "": none.
	Claim string
	// Roles lists, for each role, e-mail addresses and entries of the claim. An
	// address counts if the provider says that it has verified it. Of several roles
	// a person has the one that includes the others.
	Roles map[access.Role][]string
}

// check reports what cannot be meant.
func (o *OIDC) check() error {
	if err := oauth.CheckEndpoint(o.Issuer); err != nil {
		return fmt.Errorf("signin: OIDC.Issuer: %w", err)
	}
	if o.ClientID == "" {
		return errors.New("signin: OIDC.ClientID is required")
	}
	if !slices.Contains(o.Scopes, "openid") {
		return errors.New("signin: OIDC.Scopes must contain openid")
	}
	for role, values := range o.Roles {
		switch {
		case !role.May(access.Viewer):
			return fmt.Errorf("signin: OIDC.Roles: there is no role %q", role)
		case slices.Contains(values, ""):
			return fmt.Errorf("signin: OIDC.Roles: an entry of %s is empty", role)
		}
	}
	return nil
}

// policy names everything that decides whom the provider lets in, and as what.
func (o *OIDC) policy() string {
	if o == nil {
		return ""
	}
	roles := map[access.Role][]string{}
	for role, values := range o.Roles {
		roles[role] = slices.Compact(slices.Sorted(slices.Values(values)))
	}
	text, _ := json.Marshal([]any{o.Issuer, o.ClientID, o.Claim, roles}) // cannot fail: texts only
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// evidence is what the provider says of a person, as far as it is looked at.
type evidence struct {
	name     string // to call them by
	email    string
	verified bool
	claim    string   // the name of the claim
	entries  []string // of it
}

// look picks the evidence out of claims.
func (o *OIDC) look(claims map[string]any) evidence {
	text := func(name string) string {
		s, _ := claims[name].(string)
		return s
	}
	e := evidence{email: text("email"), claim: o.Claim}
	switch v := claims["email_verified"].(type) {
	case bool:
		e.verified = v
	case string: // as some providers write it
		e.verified = v == "true"
	}
	if o.Claim != "" {
		switch v := claims[o.Claim].(type) {
		case string:
			e.entries = []string{v}
		case []any:
			for _, entry := range v {
				if s, ok := entry.(string); ok {
					e.entries = append(e.entries, s)
				}
			}
		}
	}
	// An address says best who it is, if it was verified; else it may be anybody's.
	names := []string{text("preferred_username"), text("name"), text("sub")}
	if e.verified {
		names = append([]string{e.email}, names...)
	}
	for _, n := range names {
		if e.name = clean(n); e.name != "" {
			break
		}
	}
	return e
}

// lacks reports whether there may be more to look at than these claims have.
func (o *OIDC) lacks(claims map[string]any) bool {
	return slices.ContainsFunc([]string{"email", "email_verified", o.Claim}, func(name string) bool {
		return name != "" && claims[name] == nil
	})
}

// role is the highest role the evidence gives, false if it gives none.
func (o *OIDC) role(e evidence) (access.Role, bool) {
	roles := access.Roles()
	slices.Reverse(roles)
	for _, role := range roles {
		for _, value := range o.Roles[role] {
			if e.verified && strings.EqualFold(value, e.email) || slices.Contains(e.entries, value) {
				return role, true
			}
		}
	}
	return "", false
}

// mostEntries bounds how many entries of a claim are told.
const mostEntries = 20

// facts says what was looked at, for a person who was not let in.
func (e evidence) facts() []string {
	mail := "e-mail: " + clean(e.email)
	switch {
	case e.email == "":
		mail = "e-mail: none was given"
	case !e.verified:
		mail += ", which is not verified there"
	}
	facts := []string{mail}
	if e.claim == "" {
		return facts
	}
	var shown []string
	for _, entry := range e.entries[:min(len(e.entries), mostEntries)] {
		shown = append(shown, clean(entry))
	}
	if n := len(e.entries) - len(shown); n > 0 {
		shown = append(shown, fmt.Sprintf("and %d more", n))
	}
	if len(shown) == 0 {
		shown = []string{"none was given"}
	}
	return append(facts, clean(e.claim)+": "+strings.Join(shown, ", "))
}
