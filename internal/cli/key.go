package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/words"
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
	expires, err := duration("--expires", c.Expires)
	if err != nil {
		return err
	}
	r, err := s.remote()
	if err != nil {
		return err
	}
	n := client.NewKey{Name: c.Name, Scopes: c.Scope, Apps: c.App, Businesses: c.Business}
	if expires > 0 {
		n.ExpiresAt = time.Now().Add(expires).UTC().Truncate(time.Second)
	}
	k, err := r.CreateKey(s.ctx, n)
	if err != nil {
		return r.failed("", "", err)
	}
	if s.root.JSON {
		return s.printJSON(r.answers.last)
	}
	s.say("API key %s for %s with %s:", k.ID, words.Printable(k.Name), strings.Join(k.Scopes, ", "))
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
	err = list(s, r, 0, []string{"ID", "NAME", "SCOPES", "ONLY", "FROM", "LAST USED", "STATE"}, keyRow,
		func(int, string) (client.Page[client.Key], error) { // keys come all at once
			keys, err := r.Keys(s.ctx)
			return client.Page[client.Key]{Data: keys}, err
		})
	return r.failed("", "", err)
}

// keyRow is a key in a table.
func keyRow(k client.Key) []string {
	state := "works"
	switch {
	case !k.RevokedAt.IsZero():
		state = "revoked " + when(k.RevokedAt)
	case !k.ExpiresAt.IsZero():
		state = "until " + when(k.ExpiresAt)
	}
	only := strings.Join(slices.Concat(k.Apps, k.Businesses), ", ")
	return []string{k.ID, k.Name, strings.Join(k.Scopes, ", "), only, k.Source, when(k.LastUsedAt), state}
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
	if err := r.RevokeKey(s.ctx, c.ID); err != nil {
		return r.failed("key "+c.ID, "evergrant key list", err)
	}
	if s.root.JSON {
		return s.printValue(struct {
			ID      string `json:"id"`
			Revoked bool   `json:"revoked"`
		}{c.ID, true})
	}
	s.say("Key %s is revoked.", c.ID)
	return nil
}
