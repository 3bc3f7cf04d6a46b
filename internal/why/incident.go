package why

import (
	"fmt"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/words"
)

// The reasons of an app's incidents.
const (
	appRejected = "app_credentials_rejected"
	appPaused   = "app_paused"
)

// incident is trouble with the app itself, or a pause of it: every business of
// it waits, and none is at fault.
type incident struct {
	from   time.Time
	reason string
	code   string // what the provider said, "" if nothing
	cause  string // of a pause: operator, refusals or restore
}

func (t *teller) incidentBegins(reason string, e client.Event) {
	for _, tl := range t.tales {
		tl.flush()
	}
	if t.incidents[reason] == nil {
		t.incidents[reason] = &incident{
			from: e.Time, reason: reason, code: foreign(textOf(e.Data, "error")), cause: textOf(e.Data, "cause"),
		}
	}
}

// incidentEnds tells of an incident that is over.
func (t *teller) incidentEnds(reason string, at time.Time) {
	i := t.incidents[reason]
	if i == nil {
		return
	}
	delete(t.incidents, reason)
	t.rest = append(t.rest, Chapter{From: i.from, To: at, What: aboutIncidents,
		Text: i.was(fmt.Sprintf(" until %s (%s)", t.when.near(at, i.from), words.Span(at.Sub(i.from))))})
}

// proven ends the incidents that a renewal shows to be over. Their own events
// may be missing, because a server that was started again knows of none.
func (t *teller) proven(at time.Time) {
	t.incidentEnds(appRejected, at)
	// What is stopped for another cause is not ended by a renewal that was under way.
	if i := t.incidents[appPaused]; i != nil && i.cause != "operator" && i.cause != "restore" {
		t.incidentEnds(appPaused, at)
	}
}

// incidentNow tells of incidents that the log has no end of.
func (t *teller) incidentNow() {
	if r := t.app.Reason; (r == appRejected || r == appPaused) && t.incidents[r] == nil {
		t.incidents[r] = &incident{from: t.app.Since, reason: r, cause: t.app.PausedBecause}
	}
	for _, reason := range []string{appRejected, appPaused} {
		i := t.incidents[reason]
		if i == nil {
			continue
		}
		text := i.is()
		if t.app.Reason != "" && t.app.Reason != reason {
			text = i.was(" for a while")
		}
		t.rest = append(t.rest, Chapter{From: i.from, To: i.from, What: aboutIncidents, Text: text})
	}
}

// is tells of an incident that goes on.
func (i incident) is() string {
	switch {
	case i.reason == appRejected:
		return "The provider refuses our client id or secret" + i.quote() + ". Every business of the app waits."
	case i.cause == "operator":
		return "Renewals of the whole app are stopped by us."
	case i.cause == "restore":
		return "Renewals of the whole app are stopped: the database was restored, and the tokens in it may have been used already. " +
			"Somebody of us has to decide."
	}
	return "The provider refuses so many businesses at once that it is not believed. Every business of the app waits."
}

// was tells of an incident that is over and lasted as long as said.
func (i incident) was(lasting string) string {
	switch {
	case i.reason == appRejected:
		return "The provider refused our client id or secret" + i.quote() + lasting + ". Every business of the app waited."
	case i.cause == "operator":
		return "Renewals of the whole app were stopped by us" + lasting + "."
	case i.cause == "restore":
		return "Renewals of the whole app were stopped" + lasting +
			": the database had been restored, and the tokens in it might have been used already."
	}
	return "The provider refused so many businesses at once that it was not believed" + lasting + ". Every business of the app waited."
}

func (i incident) quote() string {
	if i.code == "" {
		return ""
	}
	return " (" + i.code + ")"
}
