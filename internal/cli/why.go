package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
)

type whyCmd struct {
	Ref string `arg:"" help:"Connection, like biz_42@k-series."`
}

// Run tells a connection's story. It exits with 5 if the merchant must act.
func (c *whyCmd) Run(s *session) error {
	r, err := s.remoteFor(c.Ref)
	if err != nil {
		return err
	}
	conn, err := r.Connection(s.ctx, evergrant.Ref(c.Ref))
	if err != nil {
		return r.failedRef(c.Ref, err)
	}
	if s.root.JSON {
		err = s.printJSON(r.answers.last)
	} else {
		_, err = fmt.Fprint(s.stdout, s.story(r, conn).String())
	}
	if err != nil {
		return err
	}
	if conn.ActBy == "merchant" {
		return exit(exitReauthorize)
	}
	return nil
}

// story is what is told of a connection.
type story struct {
	headline string
	facts    [][2]string
	next     string
}

// String writes the story as one paragraph.
func (st story) String() string {
	var b strings.Builder
	b.WriteString(printable(st.headline) + "\n")
	for _, f := range st.facts {
		fmt.Fprintf(&b, "  %-9s %s\n", f[0], printable(f[1]))
	}
	b.WriteString("Next: " + st.next + "\n")
	return b.String()
}

// story gathers what is known. Events and links may be out of the key's reach;
// the story is told without them then.
func (s *session) story(r *remote, conn client.Connection) story {
	st := story{
		headline: title(conn) + " " + verdict(conn),
		next:     nextStep(conn),
	}
	add := func(what, text string) {
		if text != "" {
			st.facts = append(st.facts, [2]string{what, text})
		}
	}
	if !conn.Since.IsZero() {
		add("since", fmt.Sprintf("%s (%s), reason %s", when(conn.Since), span(time.Since(conn.Since)), conn.Reason))
	}
	ref := evergrant.Ref(conn.Ref)
	if events, err := r.ConnectionEvents(s.ctx, ref, client.EventFilter{NewestFirst: true, Limit: 50}); err == nil {
		add("evidence", evidence(conn, events.Data))
	}
	add("probably", probably(conn.Reason))
	for _, g := range conn.Grants {
		if live(g.State) {
			add("token", tokenStory(g))
		}
	}
	if !conn.Deadline.IsZero() && live(conn.State) {
		add("deadline", fmt.Sprintf("%s, if nothing renewed it until then", when(conn.Deadline)))
	}
	if !conn.NextTryAt.IsZero() {
		add("next try", when(conn.NextTryAt))
	}
	if len(conn.Flags) > 0 {
		add("missing", strings.Join(conn.Flags, ", "))
	}
	links, err := r.Links(s.ctx, client.LinkFilter{Ref: ref, Limit: 1})
	if err == nil && len(links.Data) > 0 && conn.ActBy == "merchant" {
		add("link", linkStory(links.Data[0]))
	}
	return st
}

// live reports whether a state's tokens are renewed.
func live(state string) bool { return state == "connected" || state == "degraded" }

// verdict ends the sentence that begins with the connection's name.
func verdict(c client.Connection) string {
	switch c.Reason {
	case "ok":
		if len(c.Flags) > 0 {
			return "works, but something is missing that only its merchant can give."
		}
		return "works. Nothing to do."
	case "never_connected":
		return "is not connected yet: its merchant has not authorized."
	case "merchant_declined":
		return "is not connected: its merchant declined."
	case "provider_unavailable":
		return "is waiting for the provider, which is not answering well. Nothing to do."
	case "rate_limited":
		return "is waiting because the provider asks for fewer requests. Nothing to do."
	case "network":
		return "is waiting because the provider cannot be reached from here."
	case "answer_lost":
		return "is being checked: a renewal was sent and its answer never came. Nothing to do."
	case "app_credentials_rejected":
		return "waits for us: the provider refuses our client id or secret."
	case "app_paused":
		return "waits for us: the app is paused."
	case "store_unavailable":
		return "waits for us: our store cannot be written."
	case "key_unavailable":
		return "waits for us: the key that seals tokens is not available."
	case "refresh_rejected", "revoked", "deadline_passed", "rotation_lost":
		return "needs its merchant to log in again."
	case "disconnected_by_us":
		return "was disconnected by us."
	case "disconnected_by_merchant":
		return "was disconnected by its merchant."
	}
	return "is " + strings.ReplaceAll(c.State, "_", " ") + "."
}

// probably is the usual cause of a reason, for reasons that have one.
func probably(reason string) string {
	switch reason {
	case "refresh_rejected", "revoked":
		return "access was removed at the provider, or the person who connected has left"
	case "deadline_passed":
		return "nothing renewed the grant for as long as its refresh token lives"
	case "rotation_lost":
		return "the provider renewed the token and its answer was lost on the way"
	case "app_credentials_rejected":
		return "the client secret was changed at the provider"
	}
	return ""
}

// nextStep is the command or the sentence a story ends with.
func nextStep(c client.Connection) string {
	switch {
	case c.ActBy == "merchant", len(c.Flags) > 0:
		return "evergrant link create " + c.Ref
	case c.State == "disconnected":
		return "evergrant link create " + c.Ref + ", if it should be connected again"
	case c.Reason == "app_credentials_rejected":
		return "correct apps." + c.App + ".client_id or client_secret and restart the server"
	case c.ActBy == "operator":
		return "read the server's log"
	case c.State == "degraded":
		return "wait; evergrant token " + c.Ref + " works as long as the token it holds does"
	}
	return "evergrant token " + c.Ref
}

// evidence is the newest event that shows why a connection is as it is.
// Events come newest first.
func evidence(c client.Connection, events []client.Event) string {
	refusals, first := 0, client.Event{}
	for _, e := range events {
		switch e.Type {
		case "grant.refresh_failed":
			if c.State == "connected" {
				continue
			}
			if refusals == 0 {
				first = e
			}
			refusals++
		case "grant.refreshed", "grant.issued":
			if refusals > 0 {
				return refused(first, refusals)
			}
			if c.State == "connected" {
				return fmt.Sprintf("its token was %s on %s", past(e.Type), when(e.Time))
			}
		case "link.failed":
			if c.State == "pending" {
				return fmt.Sprintf("the last authorization ended on %s: %v", when(e.Time), e.Data["problem"])
			}
		}
	}
	if refusals > 0 {
		return refused(first, refusals)
	}
	return ""
}

// refused tells of failed renewals, the last of them in detail.
func refused(last client.Event, n int) string {
	what := "failed"
	if code, ok := last.Data["error"].(string); ok {
		what = "was answered with " + code
	} else if outcome, ok := last.Data["outcome"].(string); ok {
		what = "came to nothing (" + outcome + ")"
	}
	if n == 1 {
		return fmt.Sprintf("a renewal %s, on %s", what, when(last.Time))
	}
	return fmt.Sprintf("a renewal %s, %d times, last on %s", what, n, when(last.Time))
}

// past is the participle of an event that brought a token.
func past(eventType string) string {
	if eventType == "grant.issued" {
		return "issued"
	}
	return "renewed"
}

// tokenStory tells how a grant's token is.
func tokenStory(g client.Grant) string {
	by := ""
	if g.Identity.Name != "" {
		by = "approved by " + g.Identity.Name + ", "
	}
	renewed := fmt.Sprintf("renewed %d times", g.Seq)
	if g.Seq == 1 {
		renewed = "renewed once"
	}
	if g.Seq == 0 {
		renewed = "not renewed yet"
	}
	return fmt.Sprintf("%s%s, good until %s", by, renewed, when(g.ExpiresAt))
}

// linkStory tells how far the newest link has come.
func linkStory(l client.Link) string {
	how := map[string]string{
		"created": "not opened yet", "opened": "opened, not started", "at_provider": "stopped at the provider's login",
		"completed": "used", "failed": "failed", "expired": "expired without being used", "revoked": "taken back",
	}[l.State]
	if l.Problem != "" {
		how += " (" + l.Problem + ")"
	}
	return fmt.Sprintf("made on %s, %s", when(l.CreatedAt), how)
}
