package api

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/webhook"
)

// newWebhook is the body that makes a webhook.
type newWebhook struct {
	URL        string   `json:"url" doc:"where events are sent: https, or http on a loopback host"`
	Name       string   `json:"name,omitempty" doc:"unique; the id if it is not given"`
	Types      []string `json:"types,omitempty" doc:"types of events, or families such as connection.*; every event if it is not given"`
	Apps       []string `json:"apps,omitempty" doc:"only events of these apps; all if it is not given"`
	Businesses []string `json:"businesses,omitempty" doc:"only events of these business keys; all if it is not given"`
}

// webhookChange is the body that changes a webhook.
type webhookChange struct {
	URL     *string  `json:"url,omitempty"`
	Name    *string  `json:"name,omitempty"`
	Types   []string `json:"types,omitempty" doc:"[\"*\"] for every event"`
	Enabled *bool    `json:"enabled,omitempty"`
	After   *string  `json:"after,omitempty" doc:"go on after this event, evt_…, earlier or later than where it stopped"`
}

// webhookWire is a webhook as it is answered.
type webhookWire struct {
	ID            string     `json:"id"`
	Name          string     `json:"name"`
	URL           string     `json:"url"`
	Types         []string   `json:"types" nullable:"false" doc:"[\"*\"] for every event"`
	Apps          []string   `json:"apps" doc:"null: every app"`
	Businesses    []string   `json:"businesses" doc:"null: every business"`
	Source        string     `json:"source" enum:"store,file" doc:"file: named in the configuration file and changed there"`
	State         string     `json:"state" enum:"enabled,failing,disabled"`
	DisabledAt    *time.Time `json:"disabled_at"`
	DisabledFor   *string    `json:"disabled_because" enum:"gone,failing,operator"`
	Failures      int        `json:"failures" doc:"consecutive failed deliveries of the event that is next"`
	FailingSince  *time.Time `json:"failing_since"`
	NextTryAt     *time.Time `json:"next_try_at"`
	LastEvent     *string    `json:"last_event" doc:"the last event that it needs no more"`
	SigningSecret string     `json:"signing_secret,omitempty" doc:"told once, when it is made or rotated"`
	CreatedAt     *time.Time `json:"created_at"`
	UpdatedAt     *time.Time `json:"updated_at"`
}

func wireWebhook(w store.Webhook) webhookWire {
	out := webhookWire{
		ID: w.ID, Name: w.Name, URL: w.URL, Types: w.Types, Apps: w.Apps, Businesses: w.Businesses, Source: "store", State: "enabled",
		DisabledAt: at(w.DisabledAt), DisabledFor: known(w.DisabledBecause), Failures: w.Failures, FailingSince: at(w.FailingSince),
		NextTryAt: at(w.NextAt), LastEvent: known(w.Cursor), CreatedAt: at(w.CreatedAt), UpdatedAt: at(w.UpdatedAt),
	}
	if w.Types == nil {
		out.Types = []string{"*"}
	}
	if w.FromFile {
		out.Source = "file"
	}
	switch {
	case !w.DisabledAt.IsZero():
		out.State = "disabled"
	case w.Failures > 0:
		out.State = "failing"
	}
	return out
}

// deliveryWire is an attempt to deliver as it is answered.
type deliveryWire struct {
	ID         string     `json:"id"`
	Webhook    string     `json:"webhook"`
	Event      string     `json:"event"`
	Type       string     `json:"type"`
	Attempt    int        `json:"attempt" doc:"at this event, from 1"`
	At         *time.Time `json:"at"`
	DurationMS float64    `json:"duration_ms"`
	Delivered  bool       `json:"delivered"`
	Status     *int       `json:"status" doc:"of the answer; null if there was none"`
	Error      *string    `json:"error"`
	NextTryAt  *time.Time `json:"next_try_at"`
}

func wireDelivery(webhookID string) func(store.WebhookDelivery) deliveryWire {
	return func(d store.WebhookDelivery) deliveryWire {
		w := deliveryWire{
			ID: webhookID + "." + strconv.FormatInt(d.Number, 10), Webhook: webhookID, Event: d.EventID, Type: string(d.Type), Attempt: d.Attempt, At: at(d.At),
			DurationMS: float64(d.Took.Microseconds()) / 1000, Delivered: d.Error == "", Error: known(d.Error), NextTryAt: at(d.NextAt),
		}
		if d.Status != 0 {
			w.Status = &d.Status
		}
		return w
	}
}

// webhook returns the webhook the path names, if it is within the key's limits.
func (s *server) webhook(c *call) (store.Webhook, error) {
	w, err := s.c.Webhooks.Webhook(c.r.Context(), c.r.PathValue("id"))
	if errors.Is(err, store.ErrNotFound) || err == nil && !hears(c, w) {
		return store.Webhook{}, errNoSuch("webhook")
	}
	return w, err
}

// hears reports whether a webhook hears of nothing that the key does not reach.
func hears(c *call, w store.Webhook) bool {
	return within(w.Apps, c.key.Apps) && within(w.Businesses, c.key.Businesses)
}

// webhookError translates what the webhooks' service returns.
func webhookError(err error) error {
	switch {
	case errors.Is(err, webhook.ErrFile):
		return errConflict("this webhook is named in the configuration file; change it there")
	case errors.Is(err, webhook.ErrTooMany):
		return errConflict(err.Error())
	case errors.Is(err, store.ErrExists):
		return errConflict("another webhook has this name")
	case errors.Is(err, store.ErrNotFound):
		return errNoSuch("webhook")
	}
	return err
}

func (s *server) listWebhooks(c *call, _ none) (page[webhookWire], error) {
	all, err := s.c.Webhooks.Webhooks(c.r.Context())
	if err != nil {
		return page[webhookWire]{}, err
	}
	all = slices.DeleteFunc(all, func(w store.Webhook) bool { return !hears(c, w) })
	return listOf(c, all, func(w store.Webhook) string { return w.ID }, wireWebhook)
}

func (s *server) createWebhook(c *call, b newWebhook) (webhookWire, error) {
	var f fields
	w := store.Webhook{Name: b.Name, URL: b.URL, Types: f.types(b.Types), Apps: b.Apps, Businesses: b.Businesses}
	f.webhookURL(b.URL)
	f.name(b.Name)
	s.checkLimits(&f, c.key, newKey{Apps: b.Apps, Businesses: b.Businesses})
	if err := f.err(); err != nil {
		return webhookWire{}, err
	}
	// What a limited key makes is limited as it is.
	if w.Apps == nil {
		w.Apps = c.key.Apps
	}
	if w.Businesses == nil {
		w.Businesses = c.key.Businesses
	}
	if !hears(c, w) {
		return webhookWire{}, newProblem(http.StatusForbidden, codeForbidden, "a limited key can only make webhooks within its own limits")
	}
	w, secret, err := s.c.Webhooks.Create(c.r.Context(), w)
	if err != nil {
		return webhookWire{}, webhookError(err)
	}
	out := wireWebhook(w)
	out.SigningSecret = secret.Reveal()
	return out, nil
}

// webhookURL checks where events are to be sent.
func (f *fields) webhookURL(url string) {
	if url == "" {
		f.add("url", "an address is required")
	} else if err := webhook.CheckURL(url); err != nil {
		f.add("url", "%s", err)
	}
}

// types reads types of events; nil is every event.
func (f *fields) types(given []string) []string {
	types, err := webhook.ParseTypes(given)
	if err != nil {
		f.add("types", "%s", err)
	}
	return types
}

func (s *server) getWebhook(c *call, _ none) (webhookWire, error) {
	w, err := s.webhook(c)
	if err != nil {
		return webhookWire{}, err
	}
	return wireWebhook(w), nil
}

func (s *server) changeWebhook(c *call, b webhookChange) (webhookWire, error) {
	w, err := s.webhook(c)
	if err != nil {
		return webhookWire{}, err
	}
	var f fields
	change := webhook.Change{Name: b.Name, URL: b.URL, Enabled: b.Enabled, After: b.After}
	if b.URL != nil {
		f.webhookURL(*b.URL)
	}
	if b.Name != nil {
		if *b.Name == "" {
			f.add("name", "it must not be empty")
		}
		f.name(*b.Name)
	}
	if b.Types != nil {
		if len(b.Types) == 0 {
			f.add("types", `an empty list selects nothing; write ["*"] for every event`)
		}
		types := f.types(b.Types)
		change.Types = &types
	}
	if b.After != nil && !isEventID(*b.After) {
		f.add("after", "it must be the id of an event, evt_…")
	}
	if err := f.err(); err != nil {
		return webhookWire{}, err
	}
	w, err = s.c.Webhooks.Change(c.r.Context(), w.ID, change)
	if err != nil {
		return webhookWire{}, webhookError(err)
	}
	return wireWebhook(w), nil
}

func (s *server) deleteWebhook(c *call, _ none) (none, error) {
	w, err := s.webhook(c)
	if err != nil {
		return none{}, err
	}
	return none{}, webhookError(s.c.Webhooks.Delete(c.r.Context(), w.ID))
}

func (s *server) rotateWebhookSecret(c *call, _ none) (webhookWire, error) {
	w, err := s.webhook(c)
	if err != nil {
		return webhookWire{}, err
	}
	w, secret, err := s.c.Webhooks.Rotate(c.r.Context(), w.ID)
	if err != nil {
		return webhookWire{}, webhookError(err)
	}
	out := wireWebhook(w)
	out.SigningSecret = secret.Reveal()
	return out, nil
}

func (s *server) listDeliveries(c *call, _ none) (page[deliveryWire], error) {
	w, err := s.webhook(c)
	if err != nil {
		return page[deliveryWire]{}, err
	}
	var f fields
	p := f.page(c.r.URL.Query())
	if _, err := strconv.ParseUint(p.Cursor, 10, 62); p.Cursor != "" && err != nil {
		f.add("cursor", "it must be the next_cursor of an earlier answer")
	}
	if err := f.err(); err != nil {
		return page[deliveryWire]{}, err
	}
	all, next, err := s.c.Webhooks.Deliveries(c.r.Context(), w.ID, p)
	if err != nil {
		return page[deliveryWire]{}, err
	}
	return newPage(c, all, next, wireDelivery(w.ID)), nil
}

func (s *server) testWebhook(c *call, _ none) (deliveryWire, error) {
	w, err := s.webhook(c)
	if err != nil {
		return deliveryWire{}, err
	}
	d, err := s.c.Webhooks.Test(c.r.Context(), w.ID)
	if err != nil {
		return deliveryWire{}, webhookError(err)
	}
	return wireDelivery(w.ID)(d), nil
}

// EncodeEvent is an event as the API answers with it and webhooks are sent it.
func EncodeEvent(e grant.Event) []byte { return encode(wireEvent(e)) }
