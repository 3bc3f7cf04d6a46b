package why

import (
	"fmt"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/words"
)

// trip is how far a link has brought its merchant.
type trip struct {
	link            string
	from, to        time.Time
	opened, started time.Time // zero if it was not
	ends            []string
	more            int // earlier ends that are not told
	created         bool
	completed       bool
}

// mostEnds bounds what is told of one link.
const mostEnds = 3

// follow takes in an event of a link.
func (t *teller) follow(e client.Event) {
	link := textOf(e.Data, "link")
	var tr *trip
	for _, known := range t.trips {
		if known.link == link {
			tr = known
		}
	}
	if tr == nil {
		tr = &trip{link: link, from: e.Time}
		t.trips = append(t.trips, tr)
	}
	tr.to = e.Time
	at := t.when.near(e.Time, tr.from)
	switch e.Type {
	case "link.created":
		tr.created = true
	case "link.opened":
		tr.opened = e.Time
	case "authorization.started":
		tr.started = e.Time
	case "link.failed":
		tr.happened(fmt.Sprintf("The login ended at %s: %s.", at, problemWords(textOf(e.Data, "problem"))))
	case "link.help_requested":
		tr.happened(fmt.Sprintf("The merchant asked for help at %s.", at))
	case "link.completed":
		tr.completed = true
	}
}

func (tr *trip) happened(text string) {
	if len(tr.ends) == mostEnds {
		tr.ends = tr.ends[1:]
		tr.more++
	}
	tr.ends = append(tr.ends, text)
}

// text tells of a link, unless all there is to tell is the login that came of it.
func (tr *trip) text(when calendar) string {
	if tr.completed && len(tr.ends) == 0 {
		return ""
	}
	text := "A link was made for the merchant"
	if !tr.created {
		text = "A link made earlier was used"
	}
	if !tr.opened.IsZero() {
		text += ", and opened at " + when.near(tr.opened, tr.from)
	}
	if !tr.started.IsZero() {
		text += "; the provider's login was reached at " + when.near(tr.started, tr.from)
		if !tr.completed && len(tr.ends) == 0 {
			text += " and not finished"
		}
	}
	text += "."
	if tr.more > 0 {
		text = sentences(text, words.Counted(tr.more, "earlier try ended likewise.", "earlier tries ended likewise."))
	}
	text = sentences(append([]string{text}, tr.ends...)...)
	if tr.completed {
		text = sentences(text, "Then the login was finished.")
	}
	return text
}

// problemWords says why a login did not finish.
func problemWords(problem string) string {
	switch problem {
	case "declined":
		return "the merchant said no"
	case "other_identity":
		return "another business logged in than the one expected"
	case "scope_missing":
		return "a permission that is required was not given"
	case "lost_session":
		return "the browser came back too late, or was another one"
	case "provider_unavailable":
		return "the provider did not answer"
	case "code_rejected":
		return "the provider did not accept the code it had given, or it came too late"
	case "our_setup":
		return "the provider refused our app"
	case "our_fault":
		return "we could not store it"
	}
	return "it did not finish"
}
