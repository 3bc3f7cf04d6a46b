package api

import (
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// connectionEventParams select events of one connection.
var connectionEventParams = withPaging(
	param{name: "after", doc: "id of the last event seen"},
	param{name: "type", doc: "types, or families such as connection.*", repeat: true},
	param{name: "wait", doc: "how long to wait for an event if there is none, up to 60s"},
	param{name: "order", doc: "asc, the order of the log, or desc, newest first", enum: "asc,desc"},
)

// eventParams select events.
var eventParams = append([]param{{name: "ref", doc: "events of this connection"}}, connectionEventParams...)

func (s *server) listEvents(c *call, _ none) (page[eventWire], error) {
	var filter store.EventFilter
	if q := c.r.URL.Query(); q.Has("ref") {
		// Its events outlive a connection, so an id needs none. A key's limits are in
		// the filter.
		ref, err := grant.ParseRef(q.Get("ref"))
		if filter.ConnectionID = ref.ID; err != nil || ref.ID == "" {
			conn, err := s.named(c.r.Context(), c, q.Get("ref"))
			if err != nil {
				return page[eventWire]{}, err
			}
			filter.ConnectionID = conn.ID
		}
	}
	return s.events(c, filter)
}

func (s *server) listConnectionEvents(c *call, _ none) (page[eventWire], error) {
	ref, err := s.ref(c)
	if err != nil {
		return page[eventWire]{}, err
	}
	conn, err := s.c.Manager.Connection(c.r.Context(), ref)
	if err != nil {
		return page[eventWire]{}, err
	}
	return s.events(c, store.EventFilter{ConnectionID: conn.ID})
}

func (s *server) events(c *call, filter store.EventFilter) (page[eventWire], error) {
	q := c.r.URL.Query()
	var f fields
	p := f.page(q)
	filter.Apps, filter.Keys = c.key.Apps, c.key.Businesses
	filter.Types = split(q["type"])
	for _, t := range filter.Types {
		if len(t) > maxTagKey || !printable(t) {
			f.add("type", "it must be the type of an event, or a family such as connection.*")
		}
	}
	for _, from := range []string{"after", "cursor"} { // a cursor goes on from after
		if id := q.Get(from); id != "" {
			if !isEventID(id) {
				f.add(from, "it must be the id of an event, evt_…")
			}
			p.Cursor = id
		}
	}
	wait := f.wait(q)
	switch q.Get("order") {
	case "", "asc":
	case "desc":
		filter.NewestFirst = true
		if wait > 0 {
			f.add("wait", "it goes only with order=asc")
		}
	default:
		f.add("order", "it must be asc or desc")
	}
	if err := f.err(); err != nil {
		return page[eventWire]{}, err
	}
	if wait > 0 {
		s.extend(c, wait)
	}
	items, next, err := s.c.Manager.Events(c.r.Context(), filter, p, wait)
	if err != nil {
		return page[eventWire]{}, err
	}
	return newPage(c, items, next, wireEvent), nil
}

// isEventID reports whether s has the form of an event's id.
func isEventID(s string) bool {
	id, ok := strings.CutPrefix(s, grant.EventID)
	_, err := ulid.ParseStrict(id)
	return ok && err == nil
}
