package connect

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

func TestALinkMakesItsConnection(t *testing.T) {
	k := newKit(t, nil)
	l := k.link("k-series", nil)
	c, err := k.store.Connection(t.Context(), grant.Ref{Key: "biz_42", App: "k-series"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Status.Reason != grant.NeverConnected || c.Name != "Café Nord" {
		t.Errorf("connection = %+v", c)
	}
	if l.Link.Purpose != grant.PurposeConnect || l.Link.ExpiresAt.Sub(l.Link.CreatedAt) != 7*24*time.Hour || !l.Link.Landing {
		t.Errorf("link = %+v", l.Link)
	}
	equal(t, "events", k.events(), []string{"link.created"})
	if again := k.link("k-series", nil); again.Link.ConnectionID != c.ID {
		t.Error("a second link made a second connection")
	}
	token := strings.TrimPrefix(l.URL, k.url+"/connect/")
	if len(token) < 43 {
		t.Errorf("the token %q has less than 32 bytes", token)
	}
	if !regexp.MustCompile(`^[2-9A-Z]{4}-[2-9A-Z]{2}$`).MatchString(l.Link.ShortCode) {
		t.Errorf("short code %q", l.Link.ShortCode)
	}
	for _, text := range []string{l.URL, "Café Nord", "Acme Loyalty", "Lightspeed", l.Link.ShortCode, "help@acme.example"} {
		if !strings.Contains(l.Text, text) {
			t.Errorf("the message lacks %q:\n%s", text, l.Text)
		}
	}
	if l.Subject != "Café Nord: please connect Lightspeed to Acme Loyalty" {
		t.Errorf("subject = %q", l.Subject)
	}
}

func TestThePurposeFollowsTheConnection(t *testing.T) {
	live := grant.Connection{Status: grant.StatusOf(grant.OK, time.Time{})}
	ill := grant.Connection{Status: grant.StatusOf(grant.ProviderUnavailable, time.Time{})}
	dead := grant.Connection{Status: grant.StatusOf(grant.RefreshRejected, time.Time{})}
	fresh := grant.Connection{Status: grant.StatusOf(grant.NeverConnected, time.Time{})}
	ended := grant.Connection{Status: grant.StatusOf(grant.DisconnectedByUs, time.Time{})}
	tests := []struct {
		name string
		c    grant.Connection
		r    LinkRequest
		want grant.Purpose
	}{
		{"a pending connection connects", fresh, LinkRequest{}, grant.PurposeConnect},
		{"a pending connection connects, whatever is asked", fresh, LinkRequest{Purpose: grant.PurposeAddGrant, Locations: []string{"1"}}, grant.PurposeConnect},
		{"a live one reconnects", live, LinkRequest{}, grant.PurposeReconnect},
		{"a live one with locations gets a further grant", live, LinkRequest{Locations: []string{"1"}}, grant.PurposeAddGrant},
		{"a degraded one too", ill, LinkRequest{Locations: []string{"1"}}, grant.PurposeAddGrant},
		{"a live one gets a further grant if asked", live, LinkRequest{Purpose: grant.PurposeAddGrant}, grant.PurposeAddGrant},
		{"reconnect is obeyed", live, LinkRequest{Purpose: grant.PurposeReconnect, Locations: []string{"1"}}, grant.PurposeReconnect},
		{"a dead one reconnects", dead, LinkRequest{Locations: []string{"1"}}, grant.PurposeReconnect},
		{"a disconnected one reconnects", ended, LinkRequest{}, grant.PurposeReconnect},
	}
	for _, tt := range tests {
		if got := purpose(tt.r, tt.c); got != tt.want {
			t.Errorf("%s: purpose = %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestAWrongRequestNamesItsField(t *testing.T) {
	k := newKit(t, nil)
	tests := []struct {
		field  string
		change func(*LinkRequest)
	}{
		{"ref", func(r *LinkRequest) { r.Ref.App = "nobody" }},
		{"ref", func(r *LinkRequest) { r.Ref.Key = "a/b" }},
		{"ttl", func(r *LinkRequest) { r.TTL = -time.Second }},
		{"ttl", func(r *LinkRequest) { r.TTL = 91 * 24 * time.Hour }},
		{"return_url", func(r *LinkRequest) { r.ReturnURL = "https://evil.example/" }},
		{"locale", func(r *LinkRequest) { r.Locale = "nl_BE<" }},
		{"purpose", func(r *LinkRequest) { r.Purpose = "steal" }},
		{"locations", func(r *LinkRequest) { r.Locations = []string{""} }},
		{"business_name", func(r *LinkRequest) { r.BusinessName = "a\nb" }},
		{"expect.business_id", func(r *LinkRequest) { r.ExpectBusiness = strings.Repeat("1", 201) }},
	}
	for _, tt := range tests {
		r := LinkRequest{Ref: grant.Ref{Key: "biz_1", App: "k-series"}}
		tt.change(&r)
		_, err := k.svc.CreateLink(t.Context(), r)
		var e *evergrant.Error
		if !errors.As(err, &e) || e.Code != "invalid_request" || !errors.Is(err, evergrant.ErrInvalid) {
			t.Errorf("%s: error = %v", tt.field, err)
			continue
		}
		if !strings.HasPrefix(e.Message, tt.field+": ") {
			t.Errorf("%s: message = %q", tt.field, e.Message)
		}
	}
	if n, _, err := k.store.ListConnections(t.Context(), store.ConnectionFilter{}, store.Page{Limit: 10}); err != nil || len(n) != 0 {
		t.Errorf("wrong requests left %d connections, %v", len(n), err)
	}
}

func TestErrorsOfTheStoreKeepTheirMeaning(t *testing.T) {
	k := newKit(t, nil)
	k.store.set("CreateLink", true)
	_, err := k.svc.CreateLink(t.Context(), LinkRequest{Ref: grant.Ref{Key: "biz_1", App: "k-series"}})
	var e *evergrant.Error
	if !errors.As(err, &e) || !errors.Is(err, evergrant.ErrTemporary) || e.RetryAfter <= 0 || e.Code != "temporarily_unavailable" {
		t.Errorf("a store that is down: %v", err)
	}
	if _, err := k.svc.Link(t.Context(), "link_none"); !errors.Is(err, evergrant.ErrNotFound) {
		t.Errorf("a link that is not there: %v", err)
	}
	if _, err := k.svc.CreateLink(t.Context(), LinkRequest{Ref: grant.Ref{ID: "conn_none"}}); !errors.Is(err, evergrant.ErrNotFound) {
		t.Errorf("a connection that is not there: %v", err)
	}
}

func TestALinkIsRevokedOnce(t *testing.T) {
	k := newKit(t, nil)
	l := k.link("k-series", nil)
	for range 2 {
		got, err := k.svc.Revoke(t.Context(), l.Link.ID)
		if err != nil || got.State != grant.LinkStateRevoked {
			t.Fatalf("revoked: %s, %v", got.State, err)
		}
	}
	resp, body := k.get(k.browser(false), l.URL)
	if resp.StatusCode != 410 {
		t.Errorf("answered %d", resp.StatusCode)
	}
	wants(t, body, "This link is no longer in use")

	used := k.link("k-series", nil)
	k.visit(k.browser(false), anna, used.URL)
	var e *evergrant.Error
	if _, err := k.svc.Revoke(t.Context(), used.Link.ID); !errors.As(err, &e) || e.Code != "conflict" {
		t.Errorf("a completed link: %v", err)
	}
	if _, err := k.svc.Revoke(t.Context(), "link_none"); !errors.Is(err, evergrant.ErrNotFound) {
		t.Errorf("a link that is not there: %v", err)
	}
}

func TestLinksAreListedAsTheyAreNow(t *testing.T) {
	k := newKit(t, nil)
	k.link("k-series", func(r *LinkRequest) { r.TTL = time.Minute })
	k.advance(time.Hour)
	k.link("k-series", nil)
	ls, next, err := k.svc.Links(t.Context(), store.LinkFilter{}, store.Page{Limit: 10})
	if err != nil || next != "" {
		t.Fatal(next, err)
	}
	var states []string
	for _, l := range ls {
		states = append(states, string(l.State))
	}
	equal(t, "states", states, []string{"created", "expired"})
}
