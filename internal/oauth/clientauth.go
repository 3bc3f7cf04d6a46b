package oauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/evergrant/evergrant/internal/secret"
)

// assertionLife is how long a client assertion is good for.
const assertionLife = time.Minute

// assertionType is the value of client_assertion_type (RFC 7523 section 2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// authenticate returns the parameters with, and the header of, a request that
// proves who we are. The given parameters are not changed.
func authenticate(c Client, tokenURL string, params url.Values, now time.Time) (url.Values, http.Header, error) {
	if c.ID == "" {
		return nil, nil, errors.New("client_id is empty; set it in the app's configuration")
	}
	params = maps.Clone(params)
	if params == nil {
		params = url.Values{}
	}
	header := http.Header{}
	switch c.Auth {
	case Basic:
		// Both are form-encoded first (RFC 6749 section 2.3.1), or a ":" in the id
		// and a "%" in the secret would be read as something else.
		pair := url.QueryEscape(c.ID) + ":" + url.QueryEscape(c.Secret.Reveal())
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
	case Post:
		params.Set("client_id", c.ID)
		params.Set("client_secret", c.Secret.Reveal())
	case None:
		params.Set("client_id", c.ID)
	case PrivateKeyJWT:
		assertion, err := clientAssertion(c, tokenURL, now)
		if err != nil {
			return nil, nil, err
		}
		params.Set("client_id", c.ID)
		params.Set("client_assertion_type", assertionType)
		params.Set("client_assertion", assertion.Reveal())
	default:
		return nil, nil, errors.New("client_auth must be basic, post, none or private_key_jwt")
	}
	return params, header, nil
}

// clientAssertion signs a client assertion (RFC 7523 section 3). Its audience
// is the issuer where it is known, as FAPI 2.0 asks, else the endpoint.
func clientAssertion(c Client, tokenURL string, now time.Time) (secret.String, error) {
	key, alg, err := signingKey(c.Secret)
	if err != nil {
		return secret.String{}, fmt.Errorf("client_secret: %w", err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return secret.String{}, errors.New("client_secret: the private key cannot sign client assertions")
	}
	audience := c.Audience
	if audience == "" {
		audience = tokenURL
	}
	assertion, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer:   c.ID,
		Subject:  c.ID,
		Audience: jwt.Audience{audience},
		ID:       rand.Text(),
		IssuedAt: jwt.NewNumericDate(now),
		Expiry:   jwt.NewNumericDate(now.Add(assertionLife)),
	}).Serialize()
	if err != nil {
		return secret.String{}, errors.New("client_secret: the private key failed to sign a client assertion")
	}
	return secret.New(assertion), nil
}

// signingKey reads a private key in PEM (PKCS #8, PKCS #1 or SEC 1) and the
// algorithm that goes with it.
func signingKey(s secret.String) (crypto.Signer, jose.SignatureAlgorithm, error) {
	block, _ := pem.Decode([]byte(s.Reveal()))
	if block == nil {
		return nil, "", errors.New("private_key_jwt needs a private key in PEM")
	}
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, "", errors.New("the PEM block is not an unencrypted private key (PKCS #8, PKCS #1 or SEC 1)")
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return k, jose.RS256, nil
	case ed25519.PrivateKey:
		return k, jose.EdDSA, nil
	case *ecdsa.PrivateKey:
		switch k.Curve {
		case elliptic.P256():
			return k, jose.ES256, nil
		case elliptic.P384():
			return k, jose.ES384, nil
		case elliptic.P521():
			return k, jose.ES512, nil
		}
	}
	return nil, "", errors.New("the private key must be RSA, Ed25519 or an EC key on P-256, P-384 or P-521")
}
