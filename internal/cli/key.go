package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/config"
)

type keyCmd struct {
	Create keyCreateCmd `cmd:"" help:"Make an API key; prints it, this once."`
	List   keyListCmd   `cmd:"" help:"List API keys."`
	Revoke keyRevokeCmd `cmd:"" help:"Make an API key useless."`
}

type keyCreateCmd struct {
	Name     string   `arg:"" help:"What it is for, like acme-app."`
	Scope    []string `required:"" placeholder:"SCOPE" help:"tokens, connections, links, events or admin; may be repeated."`
	App      []string `placeholder:"NAME" help:"Only for this app; may be repeated."`
	Business []string `placeholder:"KEY" help:"Only for this business; may be repeated."`
	Expires  string   `placeholder:"90d" help:"How long it works; for ever if not given."`
}

// Run makes a key. The key goes to standard output, the rest is talk.
func (c *keyCreateCmd) Run(s *session) error {
	r, err := s.remote()
	if err != nil {
		return err
	}
	body := map[string]any{"name": c.Name, "scopes": c.Scope}
	if len(c.App) > 0 {
		body["apps"] = c.App
	}
	if len(c.Business) > 0 {
		body["businesses"] = c.Business
	}
	if c.Expires != "" {
		d, err := config.ParseDuration(c.Expires)
		if err != nil {
			return usage("--expires %v", err)
		}
		body["expires_at"] = time.Now().Add(time.Duration(d)).UTC().Format(time.RFC3339)
	}
	k, raw, err := fetch[apiKey](s.ctx, r, http.MethodPost, "/v1/keys", body)
	if err != nil {
		return about("", err)
	}
	if s.root.JSON {
		return s.printJSON(raw)
	}
	s.say("API key %s for %s with %s:", k.ID, printable(k.Name), strings.Join(k.Scopes, ", "))
	if _, err := fmt.Fprintln(s.stdout, k.Key); err != nil {
		return err
	}
	s.say("It is shown this once. To make it useless: evergrant key revoke %s", k.ID)
	return nil
}

type keyListCmd struct{}

// Run lists keys.
func (c *keyListCmd) Run(s *session) error {
	r, err := s.remote()
	if err != nil {
		return err
	}
	items, err := listAll(s.ctx, r, "/v1/keys", url.Values{}, 0)
	if err != nil {
		return about("", err)
	}
	return printList(s, items, []string{"ID", "NAME", "SCOPES", "ONLY", "FROM", "LAST USED", "STATE"}, func(k apiKey) []string {
		state := "works"
		switch {
		case k.RevokedAt != nil:
			state = "revoked " + when(k.RevokedAt)
		case k.ExpiresAt != nil:
			state = "until " + when(k.ExpiresAt)
		}
		only := strings.Join(append(append([]string{}, k.Apps...), k.Businesses...), ", ")
		return []string{k.ID, k.Name, strings.Join(k.Scopes, ", "), only, k.Source, when(k.LastUsedAt), state}
	})
}

type keyRevokeCmd struct {
	ID string `arg:"" name:"id" help:"Key, like key_01K…, as listed."`
}

// Run revokes a key.
func (c *keyRevokeCmd) Run(s *session) error {
	r, err := s.remote()
	if err != nil {
		return err
	}
	if _, err := r.call(s.ctx, http.MethodDelete, "/v1/keys/"+url.PathEscape(c.ID), nil); err != nil {
		return aboutThing("key "+c.ID, "evergrant key list", err)
	}
	s.say("Key %s is revoked.", c.ID)
	return nil
}
