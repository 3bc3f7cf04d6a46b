package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/evergrant/evergrant"
)

// tokenAnswer is the server's answer to a request for a token.
type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in"`
	Scope       string `json:"scope"`
	BaseURL     string `json:"base_url"`
	Fingerprint string `json:"fingerprint"`
	Connection  struct {
		ID string `json:"id"`
	} `json:"connection"`
	Grant     string   `json:"grant"`
	Locations []string `json:"locations"`
}

// Token implements [evergrant.Source].
func (c *Client) Token(ctx context.Context, ref evergrant.Ref, opts *evergrant.TokenOptions) (*evergrant.Token, error) {
	r := request{op: "token", ref: ref, method: http.MethodGet, path: []string{"connections", string(ref), "token"}}
	if opts != nil {
		r.query = url.Values{}
		if opts.MinValid > 0 {
			r.query.Set("min_valid", opts.MinValid.String())
		}
		if opts.Location != "" {
			r.query.Set("location", opts.Location)
		}
	}
	return c.token(ctx, r)
}

// Reject implements [evergrant.Source].
func (c *Client) Reject(ctx context.Context, ref evergrant.Ref, fingerprint string) (*evergrant.Token, error) {
	return c.token(ctx, request{
		op: "reject", ref: ref, method: http.MethodPost, path: []string{"connections", string(ref), "token", "reject"},
		body: map[string]string{"fingerprint": fingerprint},
	})
}

func (c *Client) token(ctx context.Context, r request) (*evergrant.Token, error) {
	// Expiry is counted by our own clock from before the request, so that it holds
	// wherever the server's clock stands.
	asked := time.Now()
	var a tokenAnswer
	if err := c.do(ctx, r, &a); err != nil {
		return nil, err
	}
	if a.AccessToken == "" {
		return nil, r.fail("not_evergrant", "the server at "+c.where+" answered without a token", evergrant.ErrTemporary)
	}
	return &evergrant.Token{
		AccessToken: a.AccessToken, Type: a.TokenType, Scope: a.Scope, BaseURL: a.BaseURL, Connection: a.Connection.ID,
		Grant: a.Grant, Fingerprint: a.Fingerprint, Expiry: asked.Add(time.Duration(a.ExpiresIn) * time.Second),
		Locations: a.Locations,
	}, nil
}
