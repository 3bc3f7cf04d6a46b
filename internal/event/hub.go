// Package event tells whoever listens in this process that the log has grown,
// and writes each event that this process has made as one log line. The log itself
// is the store's.
package event

import (
	"context"
	"log/slog"
	"sync"

	"github.com/evergrant/evergrant/internal/grant"
)

// Hub passes on that the log has grown. It is safe for concurrent use.
type Hub struct {
	log *slog.Logger

	mu    sync.Mutex
	grown chan struct{} // closed and replaced at every publication
}

// NewHub returns a Hub that logs to log.
func NewHub(log *slog.Logger) *Hub {
	return &Hub{log: log, grown: make(chan struct{})}
}

// Publish logs events that this process has committed and wakes every waiter. It
// does not block, so a store may call it from its writer.
func (h *Hub) Publish(events []grant.Event) {
	for _, e := range events {
		h.log.LogAttrs(context.Background(), level(e), string(e.Type), attrs(e)...)
	}
	h.Wake()
}

// Wake wakes every waiter: the log has events that another process made, and logs.
func (h *Hub) Wake() {
	h.mu.Lock()
	close(h.grown)
	h.grown = make(chan struct{})
	h.mu.Unlock()
}

// Grown returns a channel that is closed at the next publication. Take it before
// reading the log, so that nothing falls between.
func (h *Hub) Grown() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.grown
}

// level is how loud an event is: what needs a person is a warning.
func level(e grant.Event) slog.Level {
	switch e.Type {
	case grant.ConnectionNeedsReauthorization, grant.ConnectionDegraded, grant.GrantRefreshFailed,
		grant.LinkFailed, grant.EventAppRejected, grant.ConnectionDeadlineNear, grant.WebhookDisabled:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

func attrs(e grant.Event) []slog.Attr {
	a := []slog.Attr{slog.String("event", e.ID)}
	if e.Ref != "" {
		a = append(a, slog.String("ref", e.Ref))
	}
	if e.Connection != "" {
		a = append(a, slog.String("connection", e.Connection))
	}
	if e.Grant != "" {
		a = append(a, slog.String("grant", e.Grant))
	}
	if e.App != "" {
		a = append(a, slog.String("app", e.App))
	}
	if e.Reason != "" {
		a = append(a, slog.String("reason", string(e.Reason)), slog.String("act_by", string(e.ActBy())))
	}
	for k, v := range e.Data {
		a = append(a, slog.Any(k, v))
	}
	return a
}
