package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
)

// Why a webhook is disabled.
const (
	BecauseGone     = "gone"     // it answered 410
	BecauseFailing  = "failing"  // it accepted nothing for GiveUpAfter
	BecauseOperator = "operator" // somebody disabled it
)

// MostWebhooks bounds how many webhooks the store may have, because each of them
// reads the log.
const MostWebhooks = 100

// rotation is how long a signing secret signs beside the one that replaces it.
const rotation = 24 * time.Hour

// Errors callers act on, besides the store's.
var (
	// ErrFile: the webhook is one of the configuration file and is changed there.
	ErrFile = errors.New("the webhook is named in the configuration file")
	// ErrTooMany: there are MostWebhooks already.
	ErrTooMany = fmt.Errorf("there are %d webhooks, which is as many as there can be", MostWebhooks)
)

// CheckURL reports why raw cannot be a webhook's address.
func CheckURL(raw string) error {
	if len(raw) > 2000 {
		return errors.New("the URL has more than 2000 characters")
	}
	return oauth.CheckEndpoint(raw)
}

// ParseTypes returns event types and families such as connection.* as the store
// selects by them; nil, for every event, if one of them is *.
func ParseTypes(types []string) ([]string, error) {
	for _, t := range types {
		if !known(t) {
			return nil, fmt.Errorf("%.60q is neither the type of an event, nor a family such as connection.*, nor *", t)
		}
	}
	if len(types) == 0 || slices.Contains(types, "*") {
		return nil, nil
	}
	return types, nil
}

func known(t string) bool {
	family, ok := strings.CutSuffix(t, "*")
	if t == "*" {
		return true
	}
	return slices.ContainsFunc(grant.EventTypes(), func(e grant.EventType) bool {
		return string(e) == t || ok && strings.HasSuffix(family, ".") && strings.HasPrefix(string(e), family)
	})
}

// disabled is the event that a webhook gets nothing any more.
func disabled(w store.Webhook, because string) grant.Event {
	return grant.Event{Type: grant.WebhookDisabled, Data: map[string]any{"webhook": w.ID, "name": w.Name, "because": because}}
}

// kept is a signing secret as it is sealed.
type kept struct {
	Secret string    `json:"secret"`
	Until  time.Time `json:"until,omitzero"` // zero: for good
}

func slot(id string) seal.Slot { return seal.Slot{Table: seal.Webhooks, Row: id} }

// open returns the signing secrets of a stored webhook, the newest first.
func (s *Service) open(w store.Webhook) ([]kept, error) {
	plain, err := s.c.Ring.Open(slot(w.ID), w.Sealed)
	if err != nil {
		return nil, err
	}
	var all []kept
	if err := json.Unmarshal(plain, &all); err != nil {
		return nil, fmt.Errorf("the signing secrets of webhook %s cannot be read; rotate them", w.ID)
	}
	return all, nil
}

// seal is the opposite of open.
func (s *Service) seal(id string, all []kept) ([]byte, error) {
	plain, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	return s.c.Ring.Seal(slot(id), plain)
}

// secrets returns what a webhook's deliveries are signed with now.
func (s *Service) secrets(w store.Webhook, now time.Time) ([]secret.String, error) {
	if w.FromFile {
		return s.file[w.ID].Secrets, nil
	}
	all, err := s.open(w)
	if err != nil {
		return nil, err
	}
	var out []secret.String
	for _, k := range all {
		if k.Until.IsZero() || now.Before(k.Until) {
			out = append(out, secret.New(k.Secret))
		}
	}
	return out, nil
}

// Create adds a webhook and returns it with its signing secret, which is told only
// here. Of w count Name, URL, Types, Apps and Businesses; without a name its id is
// its name.
func (s *Service) Create(ctx context.Context, w store.Webhook) (store.Webhook, secret.String, error) {
	all, err := s.c.Store.Webhooks(ctx)
	if err != nil {
		return store.Webhook{}, secret.String{}, err
	}
	if len(all) >= MostWebhooks {
		return store.Webhook{}, secret.String{}, ErrTooMany
	}
	now := s.c.Now()
	w.ID, w.FromFile, w.CreatedAt, w.UpdatedAt, w.Sent, w.Progress = grant.NewID(idPrefix, now), false, now, now, 0, store.Progress{}
	if w.Name == "" {
		w.Name = w.ID
	}
	fresh := NewSecret()
	if w.Sealed, err = s.seal(w.ID, []kept{{Secret: fresh.Reveal()}}); err != nil {
		return store.Webhook{}, secret.String{}, err
	}
	if err := s.c.Store.CreateWebhook(ctx, w); err != nil {
		return store.Webhook{}, secret.String{}, err
	}
	s.changed(w.ID)
	w, err = s.Webhook(ctx, w.ID)
	return w, fresh, err
}

// Webhooks returns every webhook: those of the store and of this process's file.
func (s *Service) Webhooks(ctx context.Context) ([]store.Webhook, error) {
	stored, err := s.c.Store.Webhooks(ctx)
	if err != nil {
		return nil, err
	}
	var all []store.Webhook
	seen := make(map[string]bool)
	for _, w := range stored {
		if w, ok := s.defined(w); ok {
			all = append(all, w)
			seen[w.ID] = true
		}
	}
	for _, e := range s.c.File {
		if id := fileID(e.Name); !seen[id] { // it is about to be delivered to for the first time
			w, _ := s.defined(store.Webhook{ID: id, FromFile: true})
			all = append(all, w)
		}
	}
	return all, nil
}

// Webhook returns the webhook with this id or name.
func (s *Service) Webhook(ctx context.Context, id string) (store.Webhook, error) {
	all, err := s.Webhooks(ctx)
	if err != nil {
		return store.Webhook{}, err
	}
	for _, w := range all {
		if w.ID == id || w.Name == id {
			return w, nil
		}
	}
	return store.Webhook{}, fmt.Errorf("webhook %.80q: %w", id, store.ErrNotFound)
}

// Change is a change of a webhook; nil fields stay as they are.
type Change struct {
	Name, URL *string
	Types     *[]string // pointing to nil: every event
	Enabled   *bool
	After     *string // where to go on in the log, an event's id
}

// define reports whether it changes more than the progress.
func (c Change) define() bool { return c.Name != nil || c.URL != nil || c.Types != nil }

// Change changes a webhook. What a webhook of the file is, it cannot change; it
// can enable or disable one and have it go on elsewhere.
func (s *Service) Change(ctx context.Context, id string, c Change) (store.Webhook, error) {
	w, err := s.Webhook(ctx, id)
	if err != nil {
		return w, err
	}
	if w.FromFile && c.define() {
		return w, ErrFile
	}
	var events []grant.Event
	if c.Enabled != nil && !*c.Enabled && w.DisabledAt.IsZero() {
		events = append(events, disabled(w, BecauseOperator))
	}
	now := s.c.Now()
	w, err = s.c.Store.UpdateWebhook(ctx, w.ID, func(w *store.Webhook) error {
		if c.Name != nil {
			w.Name = *c.Name
		}
		if c.URL != nil {
			w.URL = *c.URL
		}
		if c.Types != nil {
			w.Types = *c.Types
		}
		if c.After != nil {
			w.Cursor = *c.After
		}
		disabledAt, because := w.DisabledAt, w.DisabledBecause
		// Whoever changes it has it tried at once.
		w.Progress = store.Progress{Cursor: w.Cursor}
		switch {
		case c.Enabled == nil:
			w.DisabledAt, w.DisabledBecause = disabledAt, because
		case !*c.Enabled && !disabledAt.IsZero():
			w.DisabledAt, w.DisabledBecause = disabledAt, because
		case !*c.Enabled:
			w.DisabledAt, w.DisabledBecause = now, BecauseOperator
		}
		return nil
	}, events...)
	if err != nil {
		return w, err
	}
	s.changed(w.ID)
	w, _ = s.defined(w)
	return w, nil
}

// Delete removes a webhook.
func (s *Service) Delete(ctx context.Context, id string) error {
	w, err := s.Webhook(ctx, id)
	if err != nil {
		return err
	}
	if w.FromFile {
		return ErrFile
	}
	err = s.c.Store.DeleteWebhook(ctx, w.ID)
	s.changed(w.ID)
	return err
}

// Rotate gives a webhook another signing secret, which is told only here. The one
// before signs beside it for a day.
func (s *Service) Rotate(ctx context.Context, id string) (store.Webhook, secret.String, error) {
	w, err := s.Webhook(ctx, id)
	if err != nil {
		return w, secret.String{}, err
	}
	if w.FromFile {
		return w, secret.String{}, ErrFile
	}
	fresh, now := NewSecret(), s.c.Now()
	w, err = s.c.Store.UpdateWebhook(ctx, w.ID, func(w *store.Webhook) error {
		all := []kept{{Secret: fresh.Reveal()}}
		if before, err := s.open(*w); err == nil && len(before) > 0 {
			all = append(all, kept{Secret: before[0].Secret, Until: now.Add(rotation)})
		}
		sealed, err := s.seal(w.ID, all)
		w.Sealed = sealed
		return err
	})
	if err != nil {
		return w, secret.String{}, err
	}
	s.changed(w.ID)
	return w, fresh, nil
}

// Deliveries returns what was sent to a webhook, newest first.
func (s *Service) Deliveries(ctx context.Context, id string, p store.Page) ([]store.WebhookDelivery, string, error) {
	return s.c.Store.Deliveries(ctx, id, p)
}

// Test sends a webhook.test event, which is not in the log, and returns what came
// of it. It sends to a disabled webhook too. If the webhook accepts it, what waits
// for it is tried at once.
func (s *Service) Test(ctx context.Context, id string) (store.WebhookDelivery, error) {
	w, err := s.Webhook(ctx, id)
	if err != nil {
		return store.WebhookDelivery{}, err
	}
	now := s.c.Now()
	d, _ := s.send(ctx, w, grant.Event{ID: grant.NewID(grant.EventID, now), Type: grant.WebhookTest, Time: now,
		Data: map[string]any{"webhook": w.ID, "name": w.Name}})
	if err := ctx.Err(); err != nil {
		return d, err
	}
	d.Attempt = 1
	if d.Number, err = s.c.Store.RecordDelivery(ctx, w.ID, d); err != nil {
		return d, err
	}
	if d.Error != "" || w.Failures == 0 || !w.DisabledAt.IsZero() {
		return d, nil
	}
	_, err = s.c.Store.UpdateWebhook(ctx, w.ID, func(w *store.Webhook) error {
		w.NextAt = time.Time{}
		return nil
	})
	s.changed(w.ID)
	return d, err
}
