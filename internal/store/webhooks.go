package store

import (
	"context"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
)

const (
	// WebhookLease is how long a process that leased a webhook may go without
	// saying that it still delivers to it.
	WebhookLease = time.Minute
	// KeepDeliveries is how many of a webhook's last deliveries are kept.
	KeepDeliveries = 200
)

// Webhook is an address that events of the log are sent to, and how far it has
// come. What a webhook of the configuration file is, the file says; of it only
// the name and the progress count here.
type Webhook struct {
	ID         string // wh_…
	Name       string // unique
	URL        string
	Types      []string // as in EventFilter; nil for every event
	Apps       []string // only events of these, nil for all; a limited key's view
	Businesses []string // only events of these business keys, nil for all
	Sealed     []byte   // signing secrets; nil if the file has them
	FromFile   bool
	CreatedAt  time.Time
	UpdatedAt  time.Time
	// Sent is how often something was sent to it.
	Sent int64
	Progress
}

// Progress is how far a webhook has come in the log.
type Progress struct {
	// Cursor is the id of the last event that it needs no more; "" for none.
	Cursor       string
	Failures     int       // consecutive failed deliveries of the event that is next
	FailingSince time.Time // when the first of them failed
	NextAt       time.Time // nothing is sent before
	// DisabledAt is when delivery ended until somebody enables it again, and
	// DisabledBecause why; zero while it goes on.
	DisabledAt      time.Time
	DisabledBecause string
}

// WebhookDelivery is one attempt to deliver an event. It holds nothing of the
// bodies that were sent and received.
type WebhookDelivery struct {
	Number  int64  // counts from 1; given by the store
	EventID string // evt_…
	Type    grant.EventType
	Attempt int // at this event, from 1
	At      time.Time
	Took    time.Duration // to the microsecond
	Status  int           // of the answer; 0 if there was none
	Error   string        // "" if it was accepted
	NextAt  time.Time     // of the next attempt; zero if there will be none
}

// Webhooks keeps webhooks and how far each has come in the log.
//
// A webhook is delivered to by who holds its lease: of any number of processes at
// most one. A lease ends [WebhookLease] after it was taken or last confirmed, by
// the store's clock, and when the webhook is changed.
type Webhooks interface {
	// CreateWebhook adds a webhook. Without a cursor it begins after the newest
	// event. ErrExists if its id or its name is taken.
	CreateWebhook(ctx context.Context, w Webhook, events ...grant.Event) error
	// Webhooks returns every webhook, oldest first.
	Webhooks(ctx context.Context) ([]Webhook, error)
	// UpdateWebhook applies change to a webhook in one transaction and ends its
	// lease. ID, FromFile, CreatedAt and Sent are not changed; UpdatedAt becomes the
	// store's time. An error of change is returned as it is, and nothing is changed.
	UpdateWebhook(ctx context.Context, id string, change func(*Webhook) error, events ...grant.Event) (Webhook, error)
	// DeleteWebhook removes a webhook with its deliveries. ErrNotFound if there is none.
	DeleteWebhook(ctx context.Context, id string, events ...grant.Event) error

	// LeaseWebhook takes or confirms the lease of a webhook and returns the webhook.
	// ErrStale if another owner holds it.
	LeaseWebhook(ctx context.Context, id, owner string) (Webhook, error)
	// ReleaseWebhook ends the lease if the owner holds it.
	ReleaseWebhook(ctx context.Context, id, owner string) error
	// AdvanceWebhook records how far the holder of the lease has come, with the
	// delivery that brought it there if d is not nil, and confirms the lease.
	// ErrStale if the owner does not hold the lease any more, or the webhook is gone:
	// then nothing is recorded.
	AdvanceWebhook(ctx context.Context, id, owner string, p Progress, d *WebhookDelivery, events ...grant.Event) error
	// RecordDelivery records a delivery that has nothing to do with the progress, and
	// returns its number.
	RecordDelivery(ctx context.Context, id string, d WebhookDelivery) (int64, error)
	// Deliveries returns what was sent to a webhook, newest first, at most the last
	// [KeepDeliveries], and the cursor of the next page, "" after the last.
	Deliveries(ctx context.Context, id string, p Page) ([]WebhookDelivery, string, error)
}
