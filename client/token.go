package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
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
		ID  string `json:"id"`
		Key string `json:"key"`
		App string `json:"app"`
	} `json:"connection"`
	Grant     string   `json:"grant"`
	Locations []string `json:"locations"`
}

// Token implements [evergrant.Source].
func (c *Client) Token(ctx context.Context, ref evergrant.Ref, opts *evergrant.TokenOptions) (*evergrant.Token, error) {
	if c.keeper != nil {
		return c.keptToken(ctx, ref, opts)
	}
	tok, _, err := c.token(ctx, tokenRequest(ref, opts))
	return tok, err
}

// keptToken is Token with what is kept.
func (c *Client) keptToken(ctx context.Context, ref evergrant.Ref, opts *evergrant.TokenOptions) (*evergrant.Token, error) {
	if tok := c.keeper.get(ref, opts); tok != nil {
		return tok, nil
	}
	w := want{ref: ref}
	if opts != nil {
		w.location = opts.Location
	}
	turn := c.keeper.ask(w)
	tok, how, err := c.token(ctx, tokenRequest(ref, opts))
	if err == nil {
		c.keeper.put(w, turn, tok, how)
	}
	return tok, err
}

func tokenRequest(ref evergrant.Ref, opts *evergrant.TokenOptions) request {
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
	return r
}

// Reject implements [evergrant.Source].
func (c *Client) Reject(ctx context.Context, ref evergrant.Ref, fingerprint string) (*evergrant.Token, error) {
	if c.keeper != nil {
		c.keeper.drop(ref, fingerprint)
	}
	tok, how, err := c.token(ctx, request{
		op: "reject", ref: ref, method: http.MethodPost, path: []string{"connections", string(ref), "token", "reject"},
		body: map[string]string{"fingerprint": fingerprint}, repeats: true,
	})
	if c.keeper != nil && err == nil {
		c.keeper.drop(ref, fingerprint) // somebody may have asked before it was replaced
		c.keeper.put(want{ref: ref}, c.keeper.ask(want{ref: ref}), tok, how)
	}
	return tok, err
}

// token returns a token and how it may be kept.
func (c *Client) token(ctx context.Context, r request) (*evergrant.Token, keeping, error) {
	// Expiry is counted by our own clock from before the request, so that it holds
	// wherever the server's clock stands.
	var a tokenAnswer
	answered, err := c.patiently(ctx, r, &a)
	if err != nil {
		return nil, keeping{}, err
	}
	if a.AccessToken == "" {
		return nil, keeping{}, r.fail("not_evergrant", "the server at "+c.where+" answered without a token", evergrant.ErrTemporary)
	}
	how := keeping{of: names{
		id: evergrant.Ref(a.Connection.ID), address: evergrant.Ref(a.Connection.Key + "@" + a.Connection.App),
	}}
	if n, err := strconv.ParseInt(answered.header.Get("Evergrant-Use-For"), 10, 32); err == nil && n > 0 {
		how.until = answered.asked.Add(time.Duration(min(n, a.ExpiresIn)) * time.Second)
	}
	return &evergrant.Token{
		AccessToken: a.AccessToken, Type: a.TokenType, Scope: a.Scope, BaseURL: a.BaseURL, Connection: a.Connection.ID,
		Grant: a.Grant, Fingerprint: a.Fingerprint, Expiry: answered.asked.Add(time.Duration(a.ExpiresIn) * time.Second),
		Locations: a.Locations,
	}, how, nil
}
