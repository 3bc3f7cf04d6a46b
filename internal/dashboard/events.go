package dashboard

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/words"
)

// events is the log, newest first.
type events struct {
	Types   []string // that may be asked for
	Apps    []string
	Type    string
	Ref     string
	App     string
	Rows    []eventLine
	Next    string
	Nothing string
}

// eventLine is an event in the list.
type eventLine struct {
	grant.Event
	Means string // of its reason
	Facts []eventFact
}

// eventFact is a member of what an event carries.
type eventFact struct{ Name, Value string }

func (d *Dashboard) events(v *visit) answer {
	ctx, q := v.Context(), v.URL.Query()
	page := events{Types: eventChoices(), Type: q.Get("type"), Ref: strings.TrimSpace(q.Get("ref")), App: q.Get("app"), Nothing: "Nothing like that is in the log."}
	apps, err := d.c.API.Apps(ctx)
	if err != nil {
		return failed(err)
	}
	for _, a := range apps {
		page.Apps = append(page.Apps, a.Name)
	}
	f := store.EventFilter{NewestFirst: true, Types: eventful()}
	if page.Type != "" {
		if !slices.Contains(page.Types, page.Type) {
			return refuse("there is no such type of event", "/events", "All events")
		}
		f.Types = []string{page.Type}
	}
	if page.App != "" {
		f.Apps = []string{page.App}
	}
	if page.Ref != "" {
		c, err := d.c.API.Connection(ctx, evergrant.Ref(page.Ref))
		switch {
		case err == nil:
			f.ConnectionID = c.ID
		case strings.HasPrefix(page.Ref, grant.ConnectionID): // its events outlive a connection
			f.ConnectionID = page.Ref
		case errors.Is(err, evergrant.ErrNotFound), errors.Is(err, evergrant.ErrInvalid):
			page.Nothing = "There is no such business. Its key and its app are asked for, as in biz_42@k-series, or its id."
			return show("events", "Events", page)
		default:
			return failed(err)
		}
	}
	p := store.Page{Limit: pageSize, Cursor: q.Get("cursor")}
	if p.Cursor != "" && !isEventID(p.Cursor) {
		return refuse("the address was cut off on its way", "/events", "All events")
	}
	list, next, err := d.c.Store.ListEvents(ctx, f, p)
	if err != nil {
		return failed(err)
	}
	for _, e := range list {
		page.Rows = append(page.Rows, lineOf(e))
	}
	page.Next = nextPage(v, next)
	return show("events", "Events", page)
}

// isEventID reports whether a text has the form of an event's id.
func isEventID(s string) bool {
	id, ok := strings.CutPrefix(s, grant.EventID)
	return ok && len(id) == 26 && strings.Trim(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") == ""
}

// eventful are all types but renewals that went well, which are most of the log and
// tell the least.
func eventful() []string {
	var types []string
	for _, t := range grant.EventTypes() {
		if t != grant.GrantRefreshed {
			types = append(types, string(t))
		}
	}
	return types
}

// eventChoices are the families of events, each before its types.
func eventChoices() []string {
	var all []string
	last := ""
	types := grant.EventTypes()
	slices.Sort(types)
	for _, t := range types {
		family, _, _ := strings.Cut(string(t), ".")
		if family != last {
			all, last = append(all, family+".*"), family
		}
		all = append(all, string(t))
	}
	return all
}

// lineOf makes a line of an event.
func lineOf(e grant.Event) eventLine {
	l := eventLine{Event: e}
	if e.Reason != "" && e.Reason != grant.OK {
		w, _ := words.Of(string(e.Reason))
		l.Means = cmp.Or(w.Means, "A reason that this version does not know.")
	}
	for name, value := range e.Data {
		l.Facts = append(l.Facts, eventFact{name, factText(value)})
	}
	slices.SortFunc(l.Facts, func(x, y eventFact) int { return strings.Compare(x.Name, y.Name) })
	return l
}

// factText writes a JSON value for people.
func factText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64, int, int64, bool, nil:
		return fmt.Sprint(v)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "–"
	}
	return string(b)
}
