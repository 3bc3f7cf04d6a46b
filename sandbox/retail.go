package sandbox

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// Account is what one employee of R-Series is part of: an account, with the
// shops the employee may see.
type Account struct {
	ID    int64  `json:"id"`
	Name  string `json:"name"`
	Shops []Shop `json:"shops"`
}

// Shop is a shop of R-Series.
type Shop struct {
	ID       int64  `json:"id"`
	Name     string `json:"name"`
	Timezone string `json:"timezone"` // IANA
	Archived bool   `json:"archived,omitempty"`
}

func (a *Account) clone() *Account {
	if a == nil {
		return nil
	}
	return &Account{a.ID, a.Name, append([]Shop{}, a.Shops...)}
}

// Retailer is what one user of X-Series is part of: a retailer with its outlets.
type Retailer struct {
	DomainPrefix string   `json:"domain_prefix"`
	Name         string   `json:"name"`
	Currency     string   `json:"currency"` // ISO 4217
	Country      string   `json:"country"`  // ISO 3166-1 alpha-2
	Timezone     string   `json:"timezone"` // IANA
	Outlets      []Outlet `json:"outlets"`
}

// Outlet is an outlet of X-Series, with one register.
type Outlet struct {
	ID      string `json:"id"` // a UUID; "" is one made of the retailer's name and the outlet's
	Name    string `json:"name"`
	Deleted bool   `json:"deleted,omitempty"`
}

func (r *Retailer) clone() *Retailer {
	if r == nil {
		return nil
	}
	out := *r
	out.Outlets = append([]Outlet{}, r.Outlets...)
	for i, o := range out.Outlets {
		if o.ID == "" {
			out.Outlets[i].ID = stableUUID(r.DomainPrefix + "/" + o.Name)
		}
	}
	return &out
}

// check names the field that is wrong. A nil account is none.
func (a *Account) check() error {
	if a == nil {
		return nil
	}
	if a.ID <= 0 {
		return errors.New("account.id: must be positive")
	}
	for i, s := range a.Shops {
		if s.ID <= 0 {
			return fmt.Errorf("account.shops[%d].id: must be positive", i)
		}
	}
	return nil
}

// check names the field that is wrong. A nil retailer is none.
func (r *Retailer) check() error {
	if r == nil {
		return nil
	}
	if p := r.DomainPrefix; p == "" || len(p) > 63 || strings.Trim(p, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || strings.Trim(p, "-") != p {
		return fmt.Errorf("retailer.domain_prefix: %q is not one label of a host name", clip(p))
	}
	return nil
}

// notOfK reports whether a client id may be one of Retail's, which have no form
// that is documented.
func notOfK(id string) bool { return id != "" && !strings.HasPrefix(id, "devp-") }

// readBody reads the parameters of a token request from its body: a form and, if
// more is true, JSON and multipart.
func readBody(r *http.Request, more bool) (url.Values, *oauthError) {
	malformed := &oauthError{http.StatusBadRequest, "invalid_request", "The body cannot be read"}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err != nil:
	case media == "application/x-www-form-urlencoded":
		if r.ParseForm() == nil {
			return r.PostForm, nil
		}
	case !more:
	case media == "multipart/form-data":
		if r.ParseMultipartForm(maxBody) == nil {
			return r.MultipartForm.Value, nil
		}
	case media == "application/json":
		var fields map[string]string
		if raw, err := io.ReadAll(r.Body); err == nil && json.Unmarshal(raw, &fields) == nil {
			values := url.Values{}
			for name, value := range fields {
				values.Set(name, value)
			}
			return values, nil
		}
	}
	return nil, malformed
}

// readRetail reads a token request whose client is named in the body.
func readRetail(r *http.Request, more bool) tokenRequest {
	values, refused := readBody(r, more)
	req := tokenRequest{err: refused}
	readParameters(&req, values)
	req.clientID, req.secret = values.Get("client_id"), values.Get("client_secret")
	req.hasCredentials = req.clientID != ""
	return req
}

// randomHex returns n random bytes in hexadecimal.
func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
