package sqlite

import (
	"context"
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

	webhookQuery = `SELECT n, lease_owner, lease_until, ` + webhookColumns + ` FROM webhooks WHERE id = ?`
)

// webhookRow is a webhook as it is read.
type webhookRow struct {
	store.Webhook
	n      int64
	owner  string
	until  time.Time
	cursor int64
}

// dest is where webhookColumns are scanned to; finish makes the webhook of them.
func (r *webhookRow) dest() []any {
	w := &r.Webhook
	return []any{&w.ID, &w.Name, &w.URL, jsonColumn{&w.Types}, jsonColumn{&w.Apps}, jsonColumn{&w.Businesses}, &w.Sealed, &w.FromFile,
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

// webhook reads a webhook with its lease.
func (t *tx) webhook(id string) (*webhookRow, error) {
	var r webhookRow
	if err := t.get(webhookQuery, []any{id}, append([]any{&r.n, &r.owner, timeColumn{&r.until}}, r.dest()...)...); err != nil {
		return nil, fmt.Errorf("webhook %s: %w", id, err)
	}
	r.finish()
	return &r, nil
}

// CreateWebhook implements [store.Webhooks].
func (s *Store) CreateWebhook(ctx context.Context, w store.Webhook, events ...grant.Event) error {
	return s.w.do(ctx, func(t *tx) error {
		taken, err := t.exists(`SELECT 1 FROM webhooks WHERE id = ? OR name = ?`, w.ID, w.Name)
		if err != nil {
			return err
		}
		if taken {
			return fmt.Errorf("webhook %s: %w", w.Name, store.ErrExists)
		}
		cursor, err := cursorNumber(w.Cursor)
		if err != nil {
			return err
		}
		if cursor == 0 {
			cursor = t.w.lastEvent
		}
		_, err = t.exec(`INSERT INTO webhooks (`+webhookColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			w.ID, w.Name, w.URL, jsonColumn{w.Types}, jsonColumn{w.Apps}, jsonColumn{w.Businesses}, w.Sealed, w.FromFile,
			micros(w.CreatedAt), micros(w.UpdatedAt), w.Sent, cursor, w.Failures, micros(w.FailingSince), micros(w.NextAt),
			micros(w.DisabledAt), w.DisabledBecause)
		if err != nil {
			return err
		}
		return t.emit(subject{}, events...)
	})
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
	err = s.w.do(ctx, func(t *tx) error {
		r, err := t.webhook(id)
		if err != nil {
			return err
		}
		w = r.Webhook
		if err := change(&w); err != nil {
			return err
		}
		w.ID, w.FromFile, w.CreatedAt, w.Sent, w.UpdatedAt = r.ID, r.FromFile, r.CreatedAt, r.Sent, t.now
		if w.Name != r.Name {
			taken, err := t.exists(`SELECT 1 FROM webhooks WHERE name = ?`, w.Name)
			if err != nil {
				return err
			}
			if taken {
				return fmt.Errorf("webhook %s: %w", w.Name, store.ErrExists)
			}
		}
		_, err = t.exec(`UPDATE webhooks SET name = ?, url = ?, types = ?, apps = ?, businesses = ?, sealed = ?, updated_at = ?,
			lease_owner = '', lease_until = 0 WHERE n = ?`, w.Name, w.URL, jsonColumn{w.Types}, jsonColumn{w.Apps}, jsonColumn{w.Businesses},
			w.Sealed, micros(w.UpdatedAt), r.n)
		if err != nil {
			return err
		}
		if err := t.progress(r.n, w.Progress); err != nil {
			return err
		}
		return t.emit(subject{}, events...)
	})
	if err != nil {
		return store.Webhook{}, err
	}
	return w, nil
}

// progress records how far a webhook has come.
func (t *tx) progress(n int64, p store.Progress) error {
	cursor, err := cursorNumber(p.Cursor)
	if err != nil {
		return err
	}
	_, err = t.exec(`UPDATE webhooks SET cursor = ?, failures = ?, failing_since = ?, next_at = ?, disabled_at = ?, disabled_because = ?
		WHERE n = ?`, cursor, p.Failures, micros(p.FailingSince), micros(p.NextAt), micros(p.DisabledAt), p.DisabledBecause, n)
	return err
}

// DeleteWebhook implements [store.Webhooks].
func (s *Store) DeleteWebhook(ctx context.Context, id string, events ...grant.Event) error {
	return s.w.do(ctx, func(t *tx) error {
		r, err := t.webhook(id)
		if err != nil {
			return err
		}
		if _, err := t.exec(`DELETE FROM webhooks WHERE n = ?`, r.n); err != nil {
			return err
		}
		return t.emit(subject{}, events...)
	})
}

// LeaseWebhook implements [store.Webhooks].
func (s *Store) LeaseWebhook(ctx context.Context, id, owner string) (w store.Webhook, err error) {
	err = s.w.do(ctx, func(t *tx) error {
		r, err := t.webhook(id)
		if err != nil {
			return err
		}
		if r.owner != "" && r.owner != owner && t.now.Before(r.until) {
			return fmt.Errorf("webhook %s is delivered to by another process: %w", id, store.ErrStale)
		}
		w = r.Webhook
		return t.confirm(r.n, owner)
	})
	return w, err
}

// confirm gives the owner the lease from now on.
func (t *tx) confirm(n int64, owner string) error {
	_, err := t.exec(`UPDATE webhooks SET lease_owner = ?, lease_until = ? WHERE n = ?`, owner, micros(t.now.Add(store.WebhookLease)), n)
	return err
}

// ReleaseWebhook implements [store.Webhooks].
func (s *Store) ReleaseWebhook(ctx context.Context, id, owner string) error {
	return s.w.do(ctx, func(t *tx) error {
		_, err := t.exec(`UPDATE webhooks SET lease_owner = '', lease_until = 0 WHERE id = ? AND lease_owner = ?`, id, owner)
		return err
	})
}

// AdvanceWebhook implements [store.Webhooks].
func (s *Store) AdvanceWebhook(ctx context.Context, id, owner string, p store.Progress, d *store.WebhookDelivery, events ...grant.Event) error {
	return s.w.do(ctx, func(t *tx) error {
		var n, sent int64
		err := t.get(`SELECT coalesce(max(n), 0), coalesce(max(sent), 0) FROM webhooks WHERE id = ? AND lease_owner = ?`, []any{id, owner}, &n, &sent)
		if err == nil && n == 0 {
			err = fmt.Errorf("webhook %s: %w", id, store.ErrStale)
		}
		if err != nil {
			return err
		}
		if err := t.progress(n, p); err != nil {
			return err
		}
		if err := t.confirm(n, owner); err != nil {
			return err
		}
		if d != nil {
			if err := t.delivered(n, sent, *d); err != nil {
				return err
			}
		}
		return t.emit(subject{}, events...)
	})
}

// RecordDelivery implements [store.Webhooks].
func (s *Store) RecordDelivery(ctx context.Context, id string, d store.WebhookDelivery) (number int64, err error) {
	err = s.w.do(ctx, func(t *tx) error {
		r, err := t.webhook(id)
		if err != nil {
			return err
		}
		number = r.Sent + 1
		return t.delivered(r.n, r.Sent, d)
	})
	return number, err
}

// delivered records the delivery after the sent ones.
func (t *tx) delivered(n, sent int64, d store.WebhookDelivery) error {
	number := sent + 1
	if _, err := t.exec(`UPDATE webhooks SET sent = ? WHERE n = ?`, number, n); err != nil {
		return err
	}
	_, err := t.exec(`INSERT OR REPLACE INTO webhook_deliveries (webhook_n, slot, number, event, type, attempt, at, took, status, error, next_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, n, number%store.KeepDeliveries, number, d.EventID, string(d.Type), d.Attempt, micros(d.At),
		d.Took.Microseconds(), d.Status, d.Error, micros(d.NextAt))
	return err
}

// Deliveries implements [store.Webhooks].
func (s *Store) Deliveries(ctx context.Context, id string, p store.Page) ([]store.WebhookDelivery, string, error) {
	if err := checkPage(p); err != nil {
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
	err := s.each(ctx, `SELECT d.number, d.event, d.type, d.attempt, d.at, d.took, d.status, d.error, d.next_at
		FROM webhook_deliveries d JOIN webhooks w ON w.n = d.webhook_n WHERE w.id = ? AND d.number < ? ORDER BY d.number DESC LIMIT ?`,
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
