package dashboard

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/access"
)

// MasterKey is how the master keys stand.
type MasterKey struct {
	Sealing string   // id of the key that the store is sealed with
	Listed  []string // ids of those in the configuration, the one that seals in front
}

// settings is what this installation is and who may use its API.
type settings struct {
	Meta     client.Meta
	Sealed   string // how the master keys stand, "" if that is not known
	Keys     []keyLine
	Revoked  int // keys that are of no use any more
	Scopes   []access.Scope
	Apps     []string
	Previews bool
	Done     string
}

// keyLine is an API key in the list.
type keyLine struct {
	client.Key
	Reach string // what it is limited to
	Ended bool   // by its expiry
}

func (d *Dashboard) settings(v *visit) answer {
	ctx := v.Context()
	page := settings{Scopes: keyScopes(), Previews: d.c.Merchants != nil, Done: done[v.URL.Query().Get("done")]}
	var err error
	if page.Meta, err = d.c.API.Meta(ctx); err != nil {
		return failed(err)
	}
	apps, err := d.c.API.Apps(ctx)
	if err != nil {
		return failed(err)
	}
	for _, a := range apps {
		page.Apps = append(page.Apps, a.Name)
	}
	keys, err := d.c.API.Keys(ctx)
	if err != nil {
		return failed(err)
	}
	for _, k := range keys {
		if !k.RevokedAt.IsZero() {
			page.Revoked++
			continue
		}
		page.Keys = append(page.Keys, keyLine{k, reach(k), !k.ExpiresAt.IsZero() && !d.c.Now().Before(k.ExpiresAt)})
	}
	page.Sealed = d.sealed(ctx)
	return show("settings", "Settings", page)
}

// keyScopes are the rights a key may have.
func keyScopes() []access.Scope {
	return []access.Scope{access.Tokens, access.Connections, access.Links, access.Events, access.Admin}
}

// reach says what a key is limited to.
func reach(k client.Key) string {
	var parts []string
	if k.Apps != nil {
		parts = append(parts, "apps "+strings.Join(k.Apps, ", "))
	}
	if k.Businesses != nil {
		parts = append(parts, "businesses "+strings.Join(k.Businesses, ", "))
	}
	if parts == nil {
		return "everything"
	}
	return strings.Join(parts, "; ")
}

// sealed says how the master keys stand. The page does without it if it cannot be
// told.
func (d *Dashboard) sealed(ctx context.Context) string {
	if d.c.MasterKey == nil {
		return ""
	}
	m, err := d.c.MasterKey(ctx)
	switch {
	case err != nil, len(m.Listed) == 0:
		return "That cannot be told now."
	case m.Sealing != m.Listed[0]:
		return "The store is sealed with " + m.Sealing + ", and " + m.Listed[0] + " is to seal it: restart the server, or evergrant master-key rotate."
	case len(m.Listed) > 1:
		return "The store is sealed with " + m.Sealing + ". " + strings.Join(m.Listed[1:], ", ") + " opened it before; keep them for backups, they may leave the configuration."
	}
	return "The store is sealed with " + m.Sealing + ", the only one."
}

// keyMade is a key that was just made.
type keyMade struct {
	client.Key
	Secret, Reach string
}

// makeKey makes an API key. It is shown this once, so it is an answer and not a
// page of its own.
func (d *Dashboard) makeKey(v *visit) answer {
	if err := v.ParseForm(); err != nil {
		return refuse("the form cannot be read", "/settings", "Settings")
	}
	n := client.NewKey{Name: strings.TrimSpace(v.PostForm.Get("name")), Scopes: v.PostForm["scope"], Apps: v.PostForm["app"],
		Businesses: strings.FieldsFunc(v.PostForm.Get("businesses"), func(r rune) bool { return r == '\n' || r == '\r' })}
	if len(n.Businesses) == 0 {
		n.Businesses = nil
	}
	if day := v.PostForm.Get("until"); day != "" {
		until, err := time.Parse(time.DateOnly, day)
		if err != nil {
			return refuse("the day it ends is not one, such as 2027-01-31", "/settings", "Settings")
		}
		n.ExpiresAt = until.AddDate(0, 0, 1) // it works on that day
	}
	k, err := d.c.API.CreateKey(v.Context(), n)
	if err != nil {
		return failed(err)
	}
	d.did(v, "made an API key", slog.String("key", k.ID))
	made := keyMade{Key: k, Secret: k.Key, Reach: reach(k)}
	made.Key.Key = ""
	return show("keymade", "The key "+k.Name, made)
}

// leaveKey leads from a key that was shown back to the list.
func (d *Dashboard) leaveKey(*visit) answer { return goTo("/settings") }

// askRevokeKey is the page between the button and the deed.
func (d *Dashboard) askRevokeKey(v *visit) answer {
	keys, err := d.c.API.Keys(v.Context())
	if err != nil {
		return failed(err)
	}
	for _, k := range keys {
		if k.ID != v.PathValue("id") {
			continue
		}
		last := "It was never used."
		if !k.LastUsedAt.IsZero() {
			last = "It was last used on " + k.LastUsedAt.UTC().Format(timeForm) + "."
		}
		return show("confirm", "Revoke the key "+k.Name+"?", confirm{
			Lead:   []string{"Programs that use it are refused from now on. " + last},
			Action: keyPath(k.ID) + "/revoke", Button: "Revoke " + k.Name, Danger: true, Back: "/settings", Leave: "Leave it working",
		})
	}
	return answer{view: "message", status: http.StatusNotFound, title: "There is no such key", data: note{Link: "/settings", Label: "Settings"}}
}

// keyPath is where a key's deeds are.
func keyPath(id string) string { return "/settings/keys/" + url.PathEscape(id) }

// revokeKey ends an API key.
func (d *Dashboard) revokeKey(v *visit) answer {
	id := v.PathValue("id")
	if err := d.c.API.RevokeKey(v.Context(), id); err != nil {
		return failed(err)
	}
	d.did(v, "revoked an API key", slog.String("key", id))
	return goTo("/settings?done=key-revoked")
}
