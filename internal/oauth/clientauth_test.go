package oauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/secret"
)

func TestClientAuthentication(t *testing.T) {
	tests := map[string]struct {
		auth       ClientAuth
		id, secret string
		header     string
		form       string
	}{
		"basic": {Basic, "app", "s3cret", "Basic YXBwOnMzY3JldA==", "grant_type=x"},
		// RFC 6749 section 2.3.1: both halves are form-encoded before base64.
		"basic encodes first": {Basic, "a:b", "p%w +ü", "Basic YSUzQWI6cCUyNXcrJTJCJUMzJUJD", "grant_type=x"},
		"post":                {Post, "app", "s3cret", "", "client_id=app&client_secret=s3cret&grant_type=x"},
		"none":                {None, "app", "ignored", "", "client_id=app&grant_type=x"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := Client{ID: tt.id, Secret: secret.New(tt.secret), Auth: tt.auth}
			params, header, err := authenticate(c, "https://id.example/token", url.Values{"grant_type": {"x"}}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if got := header.Get("Authorization"); got != tt.header {
				t.Errorf("Authorization = %q, want %q", got, tt.header)
			}
			if got := params.Encode(); got != tt.form {
				t.Errorf("form = %q, want %q", got, tt.form)
			}
		})
	}
}

// pemOf encodes a key as PKCS #8.
func pemOf(t *testing.T, key any) secret.String {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return secret.New(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}

func TestPrivateKeyJWT(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec := func(c elliptic.Curve) *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		key      crypto.Signer
		alg      jose.SignatureAlgorithm
		audience string
		wantAud  string
	}{
		"an RSA key signs RS256":        {rsaKey, jose.RS256, "https://id.example", "https://id.example"},
		"a P-256 key signs ES256":       {ec(elliptic.P256()), jose.ES256, "", "https://id.example/token"},
		"a P-384 key signs ES384":       {ec(elliptic.P384()), jose.ES384, "", "https://id.example/token"},
		"a P-521 key signs ES512":       {ec(elliptic.P521()), jose.ES512, "", "https://id.example/token"},
		"an Ed25519 key signs as EdDSA": {edKey, jose.EdDSA, "", "https://id.example/token"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := Client{ID: "app", Secret: pemOf(t, tt.key), Auth: PrivateKeyJWT, Audience: tt.audience}
			ids := map[string]bool{}
			for range 2 {
				params, header, err := authenticate(c, "https://id.example/token", nil, now)
				if err != nil {
					t.Fatal(err)
				}
				if len(header) != 0 || params.Get("client_id") != "app" || params.Get("client_assertion_type") != assertionType {
					t.Errorf("header %v, params %v", header, params)
				}
				parsed, err := jwt.ParseSigned(params.Get("client_assertion"), []jose.SignatureAlgorithm{tt.alg})
				if err != nil {
					t.Fatal(err)
				}
				var got jwt.Claims
				if err := parsed.Claims(tt.key.Public(), &got); err != nil {
					t.Fatal(err)
				}
				ids[got.ID] = true
				got.ID = ""
				want := jwt.Claims{Issuer: "app", Subject: "app", Audience: jwt.Audience{tt.wantAud},
					IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Minute))}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("claims (-want +got):\n%s", diff)
				}
			}
			if len(ids) != 2 || ids[""] {
				t.Errorf("jti is not unique: %v", ids)
			}
		})
	}
}

func TestPrivateKeysInOldForms(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecDER, err := x509.MarshalECPrivateKey(ecKey)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := x509.MarshalPKIXPublicKey(rsaKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	block := func(typ string, der []byte) secret.String {
		return secret.New(string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der})))
	}
	tests := map[string]struct {
		key secret.String
		ok  bool
	}{
		"PKCS #1 is read":            {block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), true},
		"SEC 1 is read":              {block("EC PRIVATE KEY", ecDER), true},
		"a public key is refused":    {block("PUBLIC KEY", pub), false},
		"a weak curve is refused":    {pemOf(t, p224), false},
		"a damaged key is refused":   {block("PRIVATE KEY", ecDER[:20]), false},
		"an ordinary secret is none": {secret.New(testSecret), false},
		"no secret is none":          {secret.String{}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, err := authenticate(Client{ID: "app", Secret: tt.key, Auth: PrivateKeyJWT}, "https://id.example/token", nil, time.Now())
			if (err == nil) != tt.ok {
				t.Errorf("got %v", err)
			}
			noCanary(t, err)
		})
	}
}
