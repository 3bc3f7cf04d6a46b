package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/evergrant/evergrant"
)

// NewLink asks for a link. Only Ref is required.
type NewLink struct {
	Ref          evergrant.Ref
	BusinessName string        // shown to the merchant
	ReturnURL    string        // where the merchant goes when done
	TTL          time.Duration // 0: the server's
	Locale       string
	// ExpectBusiness is the provider's id of the business that must authorize.
	ExpectBusiness string
	NoLanding      bool     // the URL redirects to the provider at once
	Locations      []string // the locations a further user's grant is asked for
	Purpose        string   // "" or add_grant
}

func (n NewLink) body() map[string]any {
	b := map[string]any{"ref": n.Ref}
	for name, v := range map[string]string{"business_name": n.BusinessName, "return_url": n.ReturnURL, "locale": n.Locale, "purpose": n.Purpose} {
		if v != "" {
			b[name] = v
		}
	}
	if n.TTL != 0 {
		b["ttl"] = n.TTL.String()
	}
	if n.ExpectBusiness != "" {
		b["expect"] = map[string]string{"business_id": n.ExpectBusiness}
	}
	if n.NoLanding {
		b["landing"] = false
	}
	if len(n.Locations) > 0 {
		b["locations"] = n.Locations
	}
	return b
}

// LinkFilter selects links; zero fields select all.
type LinkFilter struct {
	Ref    evergrant.Ref
	State  string
	Limit  int // at most 1000; 0 means 100
	Cursor string
}

func (f LinkFilter) values() url.Values {
	q := paging(f.Limit, f.Cursor)
	set(q, "ref", string(f.Ref))
	set(q, "state", f.State)
	return q
}

// CreateLink makes a link. URL and Message of the result are told only here.
func (c *Client) CreateLink(ctx context.Context, n NewLink) (Link, error) {
	return answer[Link](ctx, c, request{op: "create link", ref: n.Ref, method: http.MethodPost, path: []string{"links"}, body: n.body()})
}

// Links lists links, newest first.
func (c *Client) Links(ctx context.Context, f LinkFilter) (Page[Link], error) {
	return answer[Page[Link]](ctx, c, request{op: "list links", ref: f.Ref, method: http.MethodGet, path: []string{"links"}, query: f.values()})
}

// Link returns one link.
func (c *Client) Link(ctx context.Context, id string) (Link, error) {
	return answer[Link](ctx, c, request{op: "show link", ref: evergrant.Ref(id), method: http.MethodGet, path: []string{"links", id}})
}

// RevokeLink takes a link back.
func (c *Client) RevokeLink(ctx context.Context, id string) (Link, error) {
	return answer[Link](ctx, c, request{op: "revoke link", ref: evergrant.Ref(id), method: http.MethodPost, path: []string{"links", id, "revoke"}})
}
