package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/store/eventid"
)

const (
	webhookColumns = `id, name, url, types, apps, businesses, sealed, from_file, created_at, updated_at, sent,
	cursor, failures, failing_since, next_at, disabled_at, disabled_because`

	// A statement that changes a webhook locks it until the end of the transaction.
	webhookQuery = `SELECT ` + webhookColumns + ` FROM webhooks WHERE id = $1 FOR UPDATE`
)

// webhookRow is a webhook as it is read.
type webhookRow struct {
	store.Webhook
	cursor int64
}

// dest is where webhookColumns are scanned to; finish makes the webhook of them.
func (r *webhookRow) dest() []any {
	w := &r.Webhook
	return []any{&w.ID, &w.Name, &w.URL, &w.Types, &w.Apps, &w.Businesses, &w.Sealed, &w.FromFile,
		timeColumn{&w.CreatedAt}, timeColumn{&w.UpdatedAt}, &w.Sent, &r.cursor, &w.Failures, timeColumn{&w.FailingSince},
		timeColumn{&w.NextAt}, timeColumn{&w.DisabledAt}, &w.DisabledBecause}
}

func (r *webhookRow) finish() store.Webhook {
	if r.cursor != 0 {
		r.Cursor = eventid.Format(r.cursor)
	}
	return r.Webhook
}

// cursorNumber is a cursor as it is kept.
func cursorNumber(id string) (int64, error) {
	if id == "" {
		return 0, nil
	}
	return eventid.Parse(id)
}

// webhook reads a webhook for a change.
func (t *tx) webhook(id string) (store.Webhook, error) {
	var r webhookRow
	if err := t.get(webhookQuery, []any{id}, r.dest()...); err != nil {
		return store.Webhook{}, fmt.Errorf("webhook %s: %w", id, err)
	}
	return r.finish(), nil
}

// CreateWebhook implements [store.Webhooks].
func (s *Store) CreateWebhook(ctx context.Context, w store.Webhook, events ...grant.Event) error {
	err := s.change(ctx, func(t *tx) error {
		cursor, err := cursorNumber(w.Cursor)
		if err == nil && cursor == 0 {
			err = t.get(`SELECT last FROM event_log`, nil, &cursor)
		}
		if err != nil {
			return err
		}
		t.write(`INSERT INTO webhooks (`+webhookColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
			w.ID, w.Name, w.URL, words(w.Types), words(w.Apps), words(w.Businesses), w.Sealed, w.FromFile, stamp(w.CreatedAt), stamp(w.UpdatedAt),
			w.Sent, cursor, w.Failures, stamp(w.FailingSince), stamp(w.NextAt), stamp(w.DisabledAt), w.DisabledBecause)
		return t.emit(subject{}, events...)
	})
	if taken(err) {
		return fmt.Errorf("webhook %s: %w", w.Name, store.ErrExists)
	}
	return err
}

// Webhooks implements [store.Webhooks].
func (s *Store) Webhooks(ctx context.Context) ([]store.Webhook, error) {
	var all []store.Webhook
	err := s.each(ctx, `SELECT `+webhookColumns+` FROM webhooks ORDER BY created_at, id`, nil, func(row scanner) error {
		var r webhookRow
		err := row.Scan(r.dest()...)
		all = append(all, r.finish())
		return err
	})
	return all, err
}

// UpdateWebhook implements [store.Webhooks].
func (s *Store) UpdateWebhook(ctx context.Context, id string, change func(*store.Webhook) error, events ...grant.Event) (w store.Webhook, err error) {
	err = s.change(ctx, func(t *tx) error {
		was, err := t.webhook(id)
		if err != nil {
			return err
		}
		w = was
		if err := change(&w); err != nil {
			return err
		}
		w.ID, w.FromFile, w.CreatedAt, w.Sent, w.UpdatedAt = was.ID, was.FromFile, was.CreatedAt, was.Sent, t.now
		t.write(`UPDATE webhooks SET name = $2, url = $3, types = $4, apps = $5, businesses = $6, sealed = $7, updated_at = $8,
			lease_owner = '', lease_until = NULL WHERE id = $1`,
			id, w.Name, w.URL, words(w.Types), words(w.Apps), words(w.Businesses), w.Sealed, stamp(w.UpdatedAt))
		if err := t.progress(id, w.Progress); err != nil {
			return err
		}
		return t.emit(subject{}, events...)
	})
	if taken(err) {
		err = fmt.Errorf("webhook %s: %w", w.Name, store.ErrExists)
	}
	if err != nil {
		return store.Webhook{}, err
	}
	return w, nil
}

// progress queues how far a webhook has come.
func (t *tx) progress(id string, p store.Progress) error {
	cursor, err := cursorNumber(p.Cursor)
	if err != nil {
		return err
	}
	t.write(`UPDATE webhooks SET cursor = $2, failures = $3, failing_since = $4, next_at = $5, disabled_at = $6, disabled_because = $7
		WHERE id = $1`, id, cursor, p.Failures, stamp(p.FailingSince), stamp(p.NextAt), stamp(p.DisabledAt), p.DisabledBecause)
	return nil
}

// DeleteWebhook implements [store.Webhooks].
func (s *Store) DeleteWebhook(ctx context.Context, id string, events ...grant.Event) error {
	return s.change(ctx, func(t *tx) error {
		n, err := t.made(`DELETE FROM webhooks WHERE id = $1`, id)
		if err == nil && n == 0 {
			err = fmt.Errorf("webhook %s: %w", id, store.ErrNotFound)
		}
		if err != nil {
			return err
		}
		return t.emit(subject{}, events...)
	})
}

// LeaseWebhook implements [store.Webhooks].
func (s *Store) LeaseWebhook(ctx context.Context, id, owner string) (w store.Webhook, err error) {
	err = s.change(ctx, func(t *tx) error {
		if w, err = t.webhook(id); err != nil {
			return err
		}
		n, err := t.made(`UPDATE webhooks SET lease_owner = $2, lease_until = $3
			WHERE id = $1 AND (lease_owner IN ('', $2) OR lease_until IS NULL OR lease_until <= $4)`,
			id, owner, stamp(t.now.Add(store.WebhookLease)), stamp(t.now))
		if err == nil && n == 0 {
			err = fmt.Errorf("webhook %s is delivered to by another process: %w", id, store.ErrStale)
		}
		return err
	})
	if err != nil {
		return store.Webhook{}, err
	}
	return w, nil
}

// ReleaseWebhook implements [store.Webhooks].
func (s *Store) ReleaseWebhook(ctx context.Context, id, owner string) error {
	return s.change(ctx, func(t *tx) error {
		t.write(`UPDATE webhooks SET lease_owner = '', lease_until = NULL WHERE id = $1 AND lease_owner = $2`, id, owner)
		return nil
	})
}

// AdvanceWebhook implements [store.Webhooks].
func (s *Store) AdvanceWebhook(ctx context.Context, id, owner string, p store.Progress, d *store.WebhookDelivery, events ...grant.Event) error {
	return s.change(ctx, func(t *tx) error {
		var sent int64
		err := t.get(`UPDATE webhooks SET lease_until = $3 WHERE id = $1 AND lease_owner = $2 RETURNING sent`,
			[]any{id, owner, stamp(t.now.Add(store.WebhookLease))}, &sent)
		if errors.Is(err, store.ErrNotFound) {
			err = fmt.Errorf("webhook %s: %w", id, store.ErrStale)
		}
		if err != nil {
			return err
		}
		if err := t.progress(id, p); err != nil {
			return err
		}
		if d != nil {
			t.delivered(id, sent, *d)
		}
		return t.emit(subject{}, events...)
	})
}

// RecordDelivery implements [store.Webhooks].
func (s *Store) RecordDelivery(ctx context.Context, id string, d store.WebhookDelivery) (number int64, err error) {
	err = s.change(ctx, func(t *tx) error {
		w, err := t.webhook(id)
		if err != nil {
			return err
		}
		number = w.Sent + 1
		t.delivered(id, w.Sent, d)
		return nil
	})
	return number, err
}

// delivered queues the delivery after the sent ones.
func (t *tx) delivered(id string, sent int64, d store.WebhookDelivery) {
	number := sent + 1
	t.write(`UPDATE webhooks SET sent = $2 WHERE id = $1`, id, number)
	t.write(`INSERT INTO webhook_deliveries (webhook_id, slot, number, event, type, attempt, at, took, status, error, next_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (webhook_id, slot) DO UPDATE SET number = excluded.number, event = excluded.event, type = excluded.type,
			attempt = excluded.attempt, at = excluded.at, took = excluded.took, status = excluded.status, error = excluded.error,
			next_at = excluded.next_at`,
		id, number%store.KeepDeliveries, number, d.EventID, string(d.Type), d.Attempt, stamp(d.At), d.Took.Microseconds(), d.Status, d.Error, stamp(d.NextAt))
}

// Deliveries implements [store.Webhooks].
func (s *Store) Deliveries(ctx context.Context, id string, p store.Page) ([]store.WebhookDelivery, string, error) {
	if err := checkPage(p.Limit); err != nil {
		return nil, "", err
	}
	before := int64(1 << 62)
	if p.Cursor != "" {
		n, err := strconv.ParseInt(p.Cursor, 10, 64)
		if err != nil {
			return nil, "", fmt.Errorf("cursor %.40q is not the number of a delivery", p.Cursor)
		}
		before = n
	}
	var all []store.WebhookDelivery
	err := s.each(ctx, `SELECT number, event, type, attempt, at, took, status, error, next_at
		FROM webhook_deliveries WHERE webhook_id = $1 AND number < $2 ORDER BY number DESC LIMIT $3`,
		[]any{id, before, p.Limit + 1}, func(row scanner) error {
			var d store.WebhookDelivery
			var took int64
			err := row.Scan(&d.Number, &d.EventID, &d.Type, &d.Attempt, timeColumn{&d.At}, &took, &d.Status, &d.Error, timeColumn{&d.NextAt})
			d.Took = time.Duration(took) * time.Microsecond
			all = append(all, d)
			return err
		})
	if err != nil {
		return nil, "", err
	}
	all, next := clip(all, p.Limit, func(d store.WebhookDelivery) string { return strconv.FormatInt(d.Number, 10) })
	return all, next, nil
}
