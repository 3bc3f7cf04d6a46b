package move_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/store/move"
	"github.com/evergrant/evergrant/internal/store/postgres"
	"github.com/evergrant/evergrant/internal/store/sqlite"
)

// BenchmarkMove moves grants with 1.2 KB of credentials and three events each.
// The rates are of the copy alone and with the
// comparison of every row.
func BenchmarkMove(b *testing.B) {
	const grants = 20_000
	path := filepath.Join(b.TempDir(), "evergrant.db")
	crowd(b, path, grants)
	for b.Loop() {
		b.StopTimer()
		from, err := sqlite.OpenSource(b.Context(), path)
		must(b, err)
		to, err := postgres.OpenTarget(b.Context(), options(server.Database(b)))
		must(b, err)
		b.StartTimer()
		began := time.Now()
		result, err := move.Run(b.Context(), unmarked{from}, to, move.Options{Source: path})
		must(b, err)
		b.ReportMetric(float64(result.Rows)/result.Took.Seconds(), "rows/s")
		b.ReportMetric(grants/result.Took.Seconds(), "grants/s")
		b.ReportMetric(float64(result.Rows)/time.Since(began).Seconds(), "rows/s-compared")
		must(b, from.Close())
		must(b, to.Close())
	}
}

// unmarked is a source that can be moved again and again.
type unmarked struct{ move.Source }

func (unmarked) EndMove(context.Context) error { return nil }

// crowd fills a store with connections of one grant each.
func crowd(b *testing.B, path string, grants int) {
	b.Helper()
	s, err := sqlite.Open(b.Context(), sqlite.Options{Path: path})
	must(b, err)
	must(b, s.SetDataKey(b.Context(), nil, "k1", []byte("wrapped")))
	var work errgroup.Group
	work.SetLimit(256)
	now := time.Now()
	for n := range grants {
		work.Go(func() error {
			c := grant.Connection{ID: grant.NewID(grant.ConnectionID, now), App: "app", Key: fmt.Sprint("biz_", n), Name: "Quay Bar",
				Status: grant.StatusOf(grant.NeverConnected, now), CreatedAt: now, UpdatedAt: now}
			if err := s.CreateConnection(b.Context(), c, grant.Event{Type: grant.ConnectionConnected}); err != nil {
				return err
			}
			g := grant.Grant{ID: grant.NewID(grant.GrantID, now), ConnectionID: c.ID, App: c.App, Scope: "financial-api",
				Version: grant.Version{Epoch: 1}, IssuedAt: now, ExpiresAt: now.Add(time.Hour), ConsentAt: now, DueAt: now.Add(time.Hour),
				Status: grant.StatusOf(grant.OK, now)}
			return s.Install(b.Context(), store.Installation{Grant: g, Sealed: make([]byte, 1200), Events: []grant.Event{
				{Type: grant.GrantIssued}, {Type: grant.ConnectionConnected, Data: map[string]any{"fingerprint": "9f3a1c0b12aa"}}}})
		})
	}
	must(b, work.Wait())
	must(b, s.Close())
}
