package why

import (
	"fmt"
	"slices"
	"strings"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/words"
)

// live reports whether a state's tokens are renewed.
func live(state string) bool { return state == "connected" || state == "degraded" }

// over reports whether a state is one that only its merchant ends.
func over(state string) bool { return state == "needs_reauthorization" }

// verdict ends the sentence that begins with the connection's name.
func verdict(c client.Connection) string {
	if c.Reason == "ok" {
		if n := len(ended(c)); n > 0 {
			return fmt.Sprintf("works, but %d of its %d approvals ended.", n, len(c.Grants))
		}
		if len(c.Flags) > 0 {
			return "works, but something is missing that only its merchant can give."
		}
	}
	if e, ok := words.Of(c.Reason); ok && e.Is != "" {
		return e.Is
	}
	return "is " + strings.ReplaceAll(c.State, "_", " ") + "."
}

// ended are the grants of a connection that works which need a login of their own.
func ended(c client.Connection) []client.Grant {
	if !live(c.State) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(c.Grants), func(g client.Grant) bool { return !over(g.State) })
}

// probably is the usual cause of a reason, for reasons that have one.
func probably(reason string) string {
	e, _ := words.Of(reason)
	return e.Cause
}

// nextStep is the command or the sentence a story ends with.
func nextStep(c client.Connection) string {
	gone := ended(c)
	e, known := words.Of(c.Reason)
	switch {
	case c.ActBy == "merchant", len(c.Flags) > 0:
		return "evergrant link create " + c.Ref
	case len(gone) > 0 && c.ActBy != "operator":
		return "evergrant link create " + c.Ref + ", for " + person(gone[0], c.Grants) + " to log in again"
	case !known: // of a newer server
		return "evergrant connection events " + c.Ref
	}
	return e.NextFor(c.Ref, c.App)
}

// Fact is something that is true now. Its tail is not to be broken.
type Fact struct{ Name, Text, Tail string }

// facts are what is true now. proofs are what grants were given up for.
func (a Account) facts(proofs map[string][]try) []Fact {
	var facts []Fact
	c := a.conn
	add := func(name, text string) {
		if text != "" {
			facts = append(facts, Fact{Name: name, Text: text})
		}
	}
	if !c.Since.IsZero() {
		add("since", fmt.Sprintf("%s (%s), reason %s", a.when.full(c.Since), words.Span(a.now.Sub(c.Since)), c.Reason))
	}
	why := probably(c.Reason)
	for _, g := range c.Grants {
		if !over(g.State) {
			continue
		}
		if live(c.State) {
			why = probably(g.Reason)
			facts = append(facts, Fact{"ended", fmt.Sprintf("%s on %s (%s), reason %s; what only this approval reached is out of reach",
				approval(g), a.when.full(g.Since), words.Span(a.now.Sub(g.Since)), g.Reason), grantID(g)})
		}
		for _, tr := range proofs[g.ID] {
			facts = append(facts, Fact{"evidence", tr.evidence(a.when), tryID(tr.id)})
			switch {
			case tr.cause == spent:
				why = "the app lacks the permission to renew, often a scope named offline_access"
			case tr.elsewhere && tr.adopted && g.Seq == 0:
				why = "the program it was taken over from renewed it, before that or since; stop that program before the merchant logs in again"
			case tr.elsewhere:
				why = probably(g.Reason) + ", or another program renewed the same approval"
			}
		}
	}
	add("probably", why)
	for _, g := range c.Grants {
		if live(g.State) {
			add("token", tokenStory(a.when, g))
		}
	}
	if !c.Deadline.IsZero() && live(c.State) {
		add("deadline", a.when.full(c.Deadline)+", if nothing renewed it until then")
	}
	if !c.NextTryAt.IsZero() {
		add("next try", a.when.full(c.NextTryAt))
	}
	if len(c.Flags) > 0 {
		add("missing", strings.Join(c.Flags, ", "))
	}
	if a.link != nil && c.ActBy == "merchant" {
		add("link", linkStory(a.when, *a.link))
	}
	return facts
}

// evidence is what to show the provider of one try.
func (tr try) evidence(when calendar) string {
	switch tr.cause {
	case lost:
		return when.full(tr.from) + " asked, and no answer came back"
	case refused:
		return when.full(tr.at) + " refused" + tr.quote()
	}
	return when.full(tr.at) + " there was nothing to renew it with"
}

// tryID names a try at the end of a line, for tickets.
func tryID(id string) string {
	if id == "" {
		return ""
	}
	return "(try " + id + ")"
}

// person names who gave a grant, if the name is nobody else's.
func person(g client.Grant, among []client.Grant) string {
	name := foreign(g.Identity.Name)
	for _, other := range among {
		if other.ID != g.ID && foreign(other.Identity.Name) == name {
			name = ""
		}
	}
	if name == "" {
		return "the one whose approval ended"
	}
	return name
}

// grantID is what tells a grant from another of the same name.
func grantID(g client.Grant) string {
	if foreign(g.Identity.Name) == "" {
		return "" // it is called by its id
	}
	return "(" + g.ID + ")"
}

// approval names a grant by who gave it.
func approval(g client.Grant) string {
	if who := foreign(g.Identity.Name); who != "" {
		return who + "'s approval"
	}
	return "approval " + g.ID
}

// tokenStory tells how a grant's token is.
func tokenStory(when calendar, g client.Grant) string {
	by := ""
	if who := foreign(g.Identity.Name); who != "" {
		by = "approved by " + who + ", "
	}
	renewed := fmt.Sprintf("renewed %d times", g.Seq)
	if g.Seq == 1 {
		renewed = "renewed once"
	}
	if g.Seq == 0 {
		renewed = "not renewed yet"
	}
	return fmt.Sprintf("%s%s, good until %s", by, renewed, when.full(g.ExpiresAt))
}

// linkStory tells how far the newest link has come.
func linkStory(when calendar, l client.Link) string {
	how := words.LinkProgress(l.State)
	if l.Problem != "" {
		how += " (" + l.Problem + ")"
	}
	return fmt.Sprintf("made on %s, %s", when.full(l.CreatedAt), how)
}
