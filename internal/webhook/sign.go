package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/secret"
)

// secretPrefix begins every signing secret.
const secretPrefix = "whsec_"

// The bounds of a signing secret's bytes.
const (
	leastSecret = 24
	mostSecret  = 64
	freshSecret = 32
)

// NewSecret makes a signing secret of 32 random bytes.
func NewSecret() secret.String {
	var b [freshSecret]byte
	rand.Read(b[:])
	return secret.New(secretPrefix + base64.StdEncoding.EncodeToString(b[:]))
}

// CheckSecret reports why s cannot be a signing secret.
func CheckSecret(s secret.String) error {
	_, err := signingKey(s)
	return err
}

// errSecret quotes nothing: it is about a secret.
var errSecret = errors.New("a signing secret is whsec_ followed by 24 to 64 bytes in base64; make one with: " +
	`echo "whsec_$(openssl rand -base64 32)"`)

// signingKey returns the bytes that sign. Base64 without padding, its URL-safe form
// and a missing prefix are understood too, because makers of secrets differ.
func signingKey(s secret.String) ([]byte, error) {
	text := strings.TrimPrefix(s.Reveal(), secretPrefix)
	text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	key, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(key) < leastSecret || len(key) > mostSecret {
		return nil, errSecret
	}
	return key, nil
}

// Sign returns the value of the webhook-signature header: one signature for each
// secret, so that a receiver may know either while they rotate.
func Sign(secrets []secret.String, id string, at time.Time, body []byte) (string, error) {
	signatures := make([]string, len(secrets))
	for i, s := range secrets {
		key, err := signingKey(s)
		if err != nil {
			return "", err
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		mac.Write(body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(signatures, " "), nil
}
