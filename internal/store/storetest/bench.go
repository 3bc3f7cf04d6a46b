package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// BenchOverview times what pages of the dashboard ask of a store that is full of
// connections of one app, whose names begin with "Bar". The ids are of some of them.
func BenchOverview(b *testing.B, s store.Overview, ids []string) {
	b.Helper()
	now := time.Now()
	since := now.AddDate(0, 0, -30)
	page := store.Page{Limit: 50}
	latest := func(f store.LatestFilter) func(context.Context) error {
		return func(ctx context.Context) error { _, _, err := s.Latest(ctx, f, page); return err }
	}
	find := func(text string) func(context.Context) error {
		return func(ctx context.Context) error { _, err := s.Find(ctx, text, 20); return err }
	}
	for _, ask := range []struct {
		name string
		call func(context.Context) error
	}{
		{"latest of few", latest(store.LatestFilter{State: grant.NeedsReauthorization})},
		{"latest of most, of an app", latest(store.LatestFilter{State: grant.Connected, App: app})},
		{"flagged", latest(store.LatestFilter{Flagged: true})},
		{"find a key", find("biz_77777")},
		{"find how all begin", find("bar")},
		{"changes", func(ctx context.Context) error { _, err := s.Changes(ctx, ids, since, 100); return err }},
		{"newest links", func(ctx context.Context) error { _, err := s.NewestLinks(ctx, ids); return err }},
		{"links of 30 days", func(ctx context.Context) error { _, err := s.CountLinks(ctx, since, now); return err }},
		{"links ever", func(ctx context.Context) error { _, err := s.CountLinks(ctx, time.Time{}, now); return err }},
	} {
		b.Run(ask.name, func(b *testing.B) {
			for b.Loop() {
				if err := ask.call(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
