package grant

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/evergrant/evergrant/internal/secret"
)

// Credential is what a provider hands out for a grant. It lives sealed in the
// store and in the clear only in memory.
type Credential struct {
	AccessToken  secret.String
	RefreshToken secret.String // zero if the provider gave none
	TokenType    string        // as it is written in the Authorization header
	Scope        string
	ExpiresAt    time.Time
	// Variables are what the provider's endpoints are made of for this grant,
	// such as X-Series' domain_prefix.
	Variables map[string]string
}

// credentialJSON is the plaintext inside the sealed blob. Its members are short
// because there is one per refresh; they may be added to, not renamed.
type credentialJSON struct {
	Access    string            `json:"at"`
	Refresh   string            `json:"rt,omitempty"`
	Type      string            `json:"tt,omitempty"`
	Scope     string            `json:"sc,omitempty"`
	Expires   time.Time         `json:"ex"`
	Variables map[string]string `json:"va,omitempty"`
}

// Plaintext encodes the credential for sealing. The result is secret.
func (c Credential) Plaintext() ([]byte, error) {
	return json.Marshal(credentialJSON{
		c.AccessToken.Reveal(), c.RefreshToken.Reveal(), c.TokenType, c.Scope, c.ExpiresAt.UTC(), c.Variables,
	})
}

// errBadCredential does not wrap the decoder's error, whose text could quote a token.
var errBadCredential = errors.New("credential: the opened bytes are not a credential")

// ParseCredential reads what [Credential.Plaintext] wrote.
func ParseCredential(plaintext []byte) (Credential, error) {
	var j credentialJSON
	if err := json.Unmarshal(plaintext, &j); err != nil {
		return Credential{}, errBadCredential
	}
	return Credential{
		secret.New(j.Access), secret.New(j.Refresh), j.Type, j.Scope, j.Expires, j.Variables,
	}, nil
}
