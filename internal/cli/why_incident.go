package cli

import (
	"fmt"
	"time"

	"github.com/evergrant/evergrant/client"
)

// incident is trouble with the app itself: every business of it waits, and none
// is at fault.
type incident struct {
	from   time.Time
	reason string
	code   string
}

func (t *teller) incidentBegins(e client.Event) {
	for _, tl := range t.tales {
		tl.flush()
	}
	if t.incident == nil {
		t.incident = &incident{from: e.Time, reason: e.Reason, code: foreign(textOf(e.Data, "error"))}
	}
}

// incidentEnds tells of an incident that is over. Its own event may be missing,
// because a server that was restarted with another secret knows of none; then a
// renewal shows it.
func (t *teller) incidentEnds(at time.Time) {
	i := t.incident
	if i == nil {
		return
	}
	t.incident = nil
	t.rest = append(t.rest, chapter{From: i.from, To: at, What: aboutIncidents,
		Text: i.was(fmt.Sprintf(" until %s (%s)", t.when.near(at, i.from), span(at.Sub(i.from))))})
}

// incidentNow tells of an incident that the log has no end of.
func (t *teller) incidentNow() {
	i := t.incident
	if i == nil && t.app.Reason != "" && t.app.Reason != "ok" {
		i = &incident{from: t.app.Since, reason: t.app.Reason}
	}
	if i == nil {
		return
	}
	text := i.is()
	if t.app.Reason != "" && t.app.Reason != i.reason {
		text = i.was(" for a while")
	}
	t.rest = append(t.rest, chapter{From: i.from, To: i.from, What: aboutIncidents, Text: text})
}

// is tells of an incident that goes on.
func (i incident) is() string {
	if i.reason == "app_paused" {
		return "The provider refuses so many businesses at once that it is not believed, and renewals are held back. " +
			"No approval ends by it."
	}
	return "The provider refuses our client id or secret" + i.quote() + ". Every business of the app waits; no approval ends by it."
}

// was tells of an incident that is over.
func (i incident) was(lasting string) string {
	if i.reason == "app_paused" {
		return "The provider refused so many businesses at once" + lasting + " that it was not believed, and renewals were held " +
			"back. No approval ended by it."
	}
	return "The provider refused our client id or secret" + i.quote() + lasting + ". Every business of the app waited; " +
		"no approval ended by it."
}

func (i incident) quote() string {
	if i.code == "" {
		return ""
	}
	return " (" + i.code + ")"
}
