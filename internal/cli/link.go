package cli

import (
	"fmt"
	"net/http"
	"net/url"
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
	r, err := s.remoteFor(c.Ref)
	if err != nil {
		return err
	}
	body := map[string]any{"ref": c.Ref}
	for k, v := range map[string]string{
		"business_name": c.BusinessName, "return_url": c.ReturnURL, "ttl": c.TTL, "locale": c.Locale,
	} {
		if v != "" {
			body[k] = v
		}
	}
	if c.ExpectBusiness != "" {
		body["expect"] = map[string]string{"business_id": c.ExpectBusiness}
	}
	if c.NoLanding {
		body["landing"] = false
	}
	if c.AddGrant {
		body["purpose"] = "add_grant"
	}
	if len(c.Location) > 0 {
		body["locations"] = c.Location
	}
	l, raw, err := fetch[link](s.ctx, r, http.MethodPost, "/v1/links", body)
	if err != nil {
		return about(c.Ref, err)
	}
	if s.root.JSON {
		return s.printJSON(raw)
	}
	s.say("Link %s to %s %s, good until %s:", l.ID, l.Purpose, l.Ref, when(l.ExpiresAt))
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
	q := url.Values{}
	if c.Ref != "" {
		q.Set("ref", c.Ref)
	}
	if c.State != "" {
		q.Set("state", c.State)
	}
	items, err := listAll(s.ctx, r, "/v1/links", q, c.Limit)
	if err != nil {
		return about(c.Ref, err)
	}
	return printList(s, items, []string{"ID", "REF", "PURPOSE", "STATE", "PROBLEM", "CREATED", "EXPIRES"}, func(l link) []string {
		return []string{l.ID, l.Ref, l.Purpose, l.State, text(l.Problem), when(l.CreatedAt), when(l.ExpiresAt)}
	})
}

type linkShowCmd struct {
	ID string `arg:"" name:"id" help:"Link, like link_01K…."`
}

// Run shows a link.
func (c *linkShowCmd) Run(s *session) error { return s.oneLink(http.MethodGet, c.ID, "") }

type linkRevokeCmd struct {
	ID string `arg:"" name:"id" help:"Link, like link_01K…."`
}

// Run revokes a link.
func (c *linkRevokeCmd) Run(s *session) error { return s.oneLink(http.MethodPost, c.ID, "/revoke") }

// oneLink calls an endpoint that answers with one link and prints it.
func (s *session) oneLink(method, id, action string) error {
	r, err := s.remote()
	if err != nil {
		return err
	}
	l, raw, err := fetch[link](s.ctx, r, method, "/v1/links/"+url.PathEscape(id)+action, nil)
	if err != nil {
		return aboutThing("link "+id, "evergrant link list", err)
	}
	if s.root.JSON {
		return s.printJSON(raw)
	}
	_, err = fmt.Fprintf(s.stdout, "%s  %s  %s  %s\n", printable(l.ID), printable(l.Ref), l.Purpose, printable(stateOf(l)))
	return err
}

// stateOf is a link's state, with the problem of the last try.
func stateOf(l link) string {
	if p := text(l.Problem); p != "" {
		return l.State + " (" + p + ")"
	}
	return l.State
}
