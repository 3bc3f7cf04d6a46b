package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/words"
)

type linkCmd struct {
	Create linkCreateCmd `cmd:"" help:"Make a link for a merchant to connect or reconnect; prints its URL."`
	List   linkListCmd   `cmd:"" help:"List links."`
	Show   linkShowCmd   `cmd:"" help:"Show how far a link has come."`
	Revoke linkRevokeCmd `cmd:"" help:"Take a link back."`
}

type linkCreateCmd struct {
	Ref            string   `arg:"" help:"Connection, like biz_42@k-series; made if it does not exist."`
	BusinessName   string   `placeholder:"NAME" help:"What the merchant's business is called."`
	ReturnURL      string   `placeholder:"URL" help:"Where the merchant goes when done."`
	TTL            string   `name:"ttl" placeholder:"7d" help:"How long the link lives."`
	Locale         string   `placeholder:"TAG" help:"The merchant's language, like nl-BE."`
	ExpectBusiness string   `placeholder:"ID" help:"The provider's id of the business that must authorize."`
	NoLanding      bool     `help:"Redirect to the provider at once."`
	AddGrant       bool     `help:"Ask for a further user's grant beside those that exist."`
	Location       []string `placeholder:"ID" help:"Location a further user's grant is asked for; may be repeated."`
}

// Run makes a link. Its URL goes to standard output, the rest is talk.
func (c *linkCreateCmd) Run(s *session) error {
	ttl, err := duration("--ttl", c.TTL)
	if err != nil {
		return err
	}
	r, err := s.remoteFor(c.Ref)
	if err != nil {
		return err
	}
	n := client.NewLink{
		Ref: evergrant.Ref(c.Ref), BusinessName: c.BusinessName, ReturnURL: c.ReturnURL, TTL: ttl, Locale: c.Locale,
		ExpectBusiness: c.ExpectBusiness, NoLanding: c.NoLanding, Locations: c.Location,
	}
	if c.AddGrant {
		n.Purpose = "add_grant"
	}
	l, err := r.CreateLink(s.ctx, n)
	if err != nil {
		return r.failedRef(c.Ref, err)
	}
	if s.root.JSON {
		return s.printJSON(r.answers.last)
	}
	s.say("Link %s to %s %s, good until %s:", l.ID, strings.ReplaceAll(l.Purpose, "add_grant", "add a user's grant to"), l.Ref, when(l.ExpiresAt))
	if _, err := fmt.Fprintln(s.stdout, l.URL); err != nil {
		return err
	}
	s.say("It is shown this once. How far the merchant is: evergrant link show %s", l.ID)
	return nil
}

type linkListCmd struct {
	Ref   string `placeholder:"REF" help:"Only of this connection."`
	State string `placeholder:"STATE" help:"Only in this state: created, opened, at_provider, completed, failed, expired, revoked."`
	Limit int    `placeholder:"N" help:"At most so many."`
}

// Run lists links, newest first.
func (c *linkListCmd) Run(s *session) error {
	r, err := s.remote()
	if err != nil {
		return err
	}
	err = list(s, r, c.Limit, []string{"ID", "REF", "PURPOSE", "STATE", "PROBLEM", "CREATED", "EXPIRES"},
		func(l client.Link) []string {
			return []string{l.ID, l.Ref, l.Purpose, l.State, l.Problem, when(l.CreatedAt), when(l.ExpiresAt)}
		},
		func(limit int, cursor string) (client.Page[client.Link], error) {
			return r.Links(s.ctx, client.LinkFilter{Ref: evergrant.Ref(c.Ref), State: c.State, Limit: limit, Cursor: cursor})
		})
	return r.failedRef(c.Ref, err)
}

type linkShowCmd struct {
	ID string `arg:"" name:"id" help:"Link, like link_01K…."`
}

// Run shows a link.
func (c *linkShowCmd) Run(s *session) error { return s.oneLink(c.ID, (*client.Client).Link) }

type linkRevokeCmd struct {
	ID string `arg:"" name:"id" help:"Link, like link_01K…."`
}

// Run revokes a link.
func (c *linkRevokeCmd) Run(s *session) error { return s.oneLink(c.ID, (*client.Client).RevokeLink) }

// oneLink makes a call that answers with one link and prints it.
func (s *session) oneLink(id string, call func(*client.Client, context.Context, string) (client.Link, error)) error {
	r, err := s.remote()
	if err != nil {
		return err
	}
	l, err := call(r.Client, s.ctx, id)
	if err != nil {
		return r.failed("link "+id, "evergrant link list", err)
	}
	if s.root.JSON {
		return s.printJSON(r.answers.last)
	}
	state := l.State
	if l.Problem != "" {
		state += " (" + l.Problem + ")"
	}
	_, err = fmt.Fprintf(s.stdout, "%s  %s  %s  %s\n", words.Printable(l.ID), words.Printable(l.Ref), l.Purpose, words.Printable(state))
	return err
}
