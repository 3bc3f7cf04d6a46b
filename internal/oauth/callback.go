package oauth

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"

	"github.com/evergrant/evergrant/internal/secret"
)

// ErrIssuerMismatch: the answer on the redirect is not from the authorization
// server that was asked, as in a mix-up attack.
var ErrIssuerMismatch = errors.New("the redirect does not come from the expected issuer")

// CheckIssuer compares the iss parameter of a redirect with the issuer the user
// was sent to, character by character (RFC 9207 section 2.4). required says that
// the server promises to send it. Where no issuer is known, a stray iss is
// ignored.
func CheckIssuer(q url.Values, issuer string, required bool) error {
	iss := q["iss"]
	switch {
	case len(iss) > 1:
		return fmt.Errorf("%w: iss is repeated", ErrIssuerMismatch)
	case len(iss) == 0 && required:
		return fmt.Errorf("%w: iss is missing", ErrIssuerMismatch)
	case len(iss) == 0, issuer == "" && !required:
		return nil
	case iss[0] != issuer:
		return fmt.Errorf("%w: iss differs", ErrIssuerMismatch)
	}
	return nil
}

// Bounds of what a browser may bring back.
const (
	maxCallbackParams = 64
	maxCallbackValue  = 8 << 10
)

// CallbackParams is the answer to an authorization request (RFC 6749 sections
// 4.1.2 and 4.1.2.1). Exactly one of Code and Error is set.
type CallbackParams struct {
	Code             secret.String
	State            secret.String // zero if absent
	Error            string        // as Result.Code; "unknown_error" if it cannot be shown
	ErrorDescription string        // as Result.Description
	// Extra holds the other parameters that came once, such as X-Series'
	// domain_prefix, and whose name does not speak of a secret: at most 32, names of at most 64 and values of at most 512
	// bytes. They are the browser's word and no more.
	Extra map[string]string
}

// unreadable is the code of an error whose own code is not fit to be shown.
const unreadable = "unknown_error"

// ParseCallback reads the query of a redirect. It refuses one in which a
// parameter of OAuth is repeated (RFC 6749 section 3.1) or too long, and one
// that has both or neither of code and error. Its errors quote nothing.
func ParseCallback(q url.Values) (CallbackParams, error) {
	if len(q) > maxCallbackParams {
		return CallbackParams{}, errors.New("callback: too many parameters")
	}
	for _, name := range callbackParams() {
		switch v := q[name]; {
		case len(v) > 1:
			return CallbackParams{}, fmt.Errorf("callback: %s is repeated", name)
		case len(v) == 1 && len(v[0]) > maxCallbackValue:
			return CallbackParams{}, fmt.Errorf("callback: %s is longer than %d bytes", name, maxCallbackValue)
		}
	}
	p := CallbackParams{Code: secret.New(q.Get("code")), State: secret.New(q.Get("state"))}
	switch failed := q.Get("error") != ""; {
	case failed && !p.Code.IsZero():
		return CallbackParams{}, errors.New("callback: both code and error are present")
	case failed:
		p.ErrorDescription = describe(q.Get("error_description"))
		if p.Error = cleanCode(q.Get("error"), false); p.Error == "" {
			p.Error = unreadable
		}
	case p.Code.IsZero():
		return CallbackParams{}, errors.New("callback: neither code nor error is present")
	}
	p.Extra = callbackExtra(q)
	return p, nil
}

// callbackParams are the parameters that OAuth defines for a redirect.
func callbackParams() []string {
	return []string{"code", "state", "error", "error_description", "error_uri", "iss"}
}

func callbackExtra(q url.Values) map[string]string {
	var extra map[string]string
	for _, name := range slices.Sorted(maps.Keys(q)) {
		v := q[name]
		if slices.Contains(callbackParams(), name) || len(v) != 1 || secretName(name) ||
			len(name) > maxExtraName || len(v[0]) > maxExtraValue || len(extra) == maxExtras {
			continue
		}
		if extra == nil {
			extra = map[string]string{}
		}
		extra[name] = v[0]
	}
	return extra
}
