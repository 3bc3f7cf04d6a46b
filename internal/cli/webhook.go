package cli

import (
	"fmt"
	"strings"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/words"
)

type webhookCmd struct {
	List webhookListCmd `cmd:"" help:"List webhooks and how their deliveries go."`
	Add  webhookAddCmd  `cmd:"" help:"Have events delivered to a URL; prints the signing secret, told once."`
	Test webhookTestCmd `cmd:"" help:"Deliver a test event now and show the answer."`
}

// nextWebhook is the command that shows which webhooks there are.
const nextWebhook = "evergrant webhook list"

type webhookListCmd struct{}

// Run lists webhooks.
func (c *webhookListCmd) Run(s *session) error {
	r, err := s.remote()
	if err != nil {
		return err
	}
	err = list(s, r, 0, []string{"ID", "NAME", "URL", "TYPES", "STATE", "FAILURES", "NEXT TRY"},
		func(w client.Webhook) []string {
			return []string{w.ID, w.Name, w.URL, strings.Join(w.Types, " "), w.State, fmt.Sprint(w.Failures), when(w.NextTryAt)}
		},
		func(int, string) (client.Page[client.Webhook], error) { // they come all at once
			hooks, err := r.Webhooks(s.ctx)
			return client.Page[client.Webhook]{Data: hooks}, err
		})
	return r.failed("", "", err)
}

type webhookAddCmd struct {
	URL      string   `arg:"" name:"url" help:"Where events are posted."`
	Name     string   `placeholder:"NAME" help:"What to call it."`
	Type     []string `placeholder:"TYPE" help:"Only of this type, or of a family like 'connection.*'; may be repeated."`
	App      []string `placeholder:"NAME" help:"Only of this app; may be repeated."`
	Business []string `placeholder:"KEY" help:"Only of this business; may be repeated."`
}

// Run makes a webhook. Its signing secret goes to standard output, the rest is
// talk.
func (c *webhookAddCmd) Run(s *session) error {
	r, err := s.remote()
	if err != nil {
		return err
	}
	w, err := r.CreateWebhook(s.ctx, client.NewWebhook{URL: c.URL, Name: c.Name, Types: c.Type, Apps: c.App, Businesses: c.Business})
	if err != nil {
		return r.failed("", nextWebhook, err)
	}
	if s.root.JSON {
		return s.printJSON(r.answers.last)
	}
	s.say("Webhook %s delivers to %s, signed with this secret, which is told this once:", w.ID, words.Printable(w.URL))
	if _, err := fmt.Fprintln(s.stdout, w.SigningSecret); err != nil {
		return err
	}
	s.say("To try it: evergrant webhook test %s", w.ID)
	return nil
}

type webhookTestCmd struct {
	ID string `arg:"" name:"id" help:"Webhook, like wh_01K…."`
}

// Run delivers a test event and fails if it was not taken.
func (c *webhookTestCmd) Run(s *session) error {
	r, err := s.remote()
	if err != nil {
		return err
	}
	d, err := r.TestWebhook(s.ctx, c.ID)
	if err != nil {
		return r.failed("webhook "+c.ID, nextWebhook, err)
	}
	if s.root.JSON {
		err = s.printJSON(r.answers.last)
	} else {
		_, err = fmt.Fprintf(s.stdout, "%s  %s  status %d in %.0f ms\n", words.Printable(d.Webhook), words.Printable(d.Type), d.Status, d.DurationMS)
	}
	if err == nil && !d.Delivered {
		return fmt.Errorf("webhook %s: the test was not taken: %s", c.ID, words.Printable(d.Error))
	}
	return err
}
