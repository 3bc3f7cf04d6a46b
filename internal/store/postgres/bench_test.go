package postgres

import (
	"context"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/pgtest"
	"github.com/evergrant/evergrant/internal/store"
)

const (
	benchGrants    = 20_000
	benchSealed    = 1536
	benchWriters   = maxGroup
	benchWorkers   = 64
	benchGroup     = 100
	benchClaimSize = 64
)

// benchDatabase is a database of a server whose commits wait for the disk, as in
// production.
func benchDatabase(b *testing.B) string {
	b.Helper()
	c, err := pgtest.Start(pgtest.Options{Fsync: true, Settings: []string{"max_wal_size=4GB", "shared_buffers=256MB"}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Remove)
	return c.EmptyDatabase(b)
}

// benchStores opens stores on one database with many live grants, due in random
// order.
func benchStores(b *testing.B, n int) []*Store {
	b.Helper()
	url := benchDatabase(b)
	stores := make([]*Store, n)
	for i := range stores {
		stores[i] = openTest(b, url, Options{})
	}
	conn := connect(b, url)
	defer conn.Close(context.Background())
	fillDatabase(b, conn, benchGrants, benchSealed)
	return stores
}

// perSecond reports how many rows were made in a second.
func perSecond(b *testing.B) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func benchBarrier() grant.Barrier { return grant.Barrier{Settle: time.Minute} }

func benchRenewal(c store.Claim) store.Renewal {
	r := renewal(c, time.Now())
	r.Sealed = make([]byte, benchSealed)
	return r
}

// refreshAtFullLoad is a refresh engine at full load: one claimer opens attempts
// in batches, and as many workers as share a transaction at most commit their
// outcomes one by one. An engine has no bound of its own: it claims again as soon
// as an answer is in its journal.
func refreshAtFullLoad(ctx context.Context, s *Store, owner string, n int) error {
	claims := make(chan store.Claim, benchWriters)
	var g errgroup.Group
	g.Go(func() error {
		defer close(claims)
		for left := n; left > 0; {
			batch, err := s.Claim(ctx, store.ClaimRequest{App: testApp, Owner: owner, Limit: min(left, benchClaimSize), Barrier: benchBarrier()})
			if err != nil {
				return err
			}
			left -= len(batch)
			for _, c := range batch {
				claims <- c
			}
		}
		return nil
	})
	for range benchWriters {
		g.Go(func() error {
			for c := range claims {
				if err := s.Commit(ctx, benchRenewal(c)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// BenchmarkCommitBatchClaims is one process at full load, and two that share a
// database.
func BenchmarkCommitBatchClaims(b *testing.B) {
	for _, n := range []int{1, 2} {
		b.Run(fmt.Sprintf("processes=%d", n), func(b *testing.B) {
			stores := benchStores(b, n)
			b.ResetTimer()
			var g errgroup.Group
			for i, s := range stores {
				g.Go(func() error { return refreshAtFullLoad(b.Context(), s, fmt.Sprint("own_", i), (b.N+i)/n) })
			}
			if err := g.Wait(); err != nil {
				b.Fatal(err)
			}
			perSecond(b)
		})
	}
}

// BenchmarkOneGrantAtATime is the same store used as most would: each grant is
// claimed, and its renewal committed, in transactions of their own, by one worker
// and by 64.
func BenchmarkOneGrantAtATime(b *testing.B) {
	for _, workers := range []int{1, benchWorkers} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			s := benchStores(b, 1)[0]
			var mu sync.Mutex
			order, next := mathrand.Perm(benchGrants), 0
			take := func() (string, bool) {
				mu.Lock()
				defer mu.Unlock()
				if next >= b.N {
					return "", false
				}
				next++
				return fmt.Sprintf("grant_%026d", 1+order[next%benchGrants]), true
			}
			b.ResetTimer()
			var g errgroup.Group
			for range workers {
				g.Go(func() error {
					for id, ok := take(); ok; id, ok = take() {
						gr, err := s.Grant(b.Context(), id)
						if err != nil {
							return err
						}
						c, err := s.ClaimOne(b.Context(), store.ClaimRequest{App: testApp, Owner: "own_a", Barrier: benchBarrier()}, id, gr.Version)
						if err != nil {
							return err
						}
						if err := s.commitAlone(b.Context(), benchRenewal(c)); err != nil {
							return err
						}
					}
					return nil
				})
			}
			if err := g.Wait(); err != nil {
				b.Fatal(err)
			}
			perSecond(b)
		})
	}
}

// BenchmarkDriverAppendAndNarrowUpdate is the yardstick: the driver alone, writing
// the same bytes and updating a narrow row twice, in groups sent at once.
func BenchmarkDriverAppendAndNarrowUpdate(b *testing.B) {
	url := benchDatabase(b)
	conn, err := pgx.Connect(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, query := range []string{
		`CREATE TABLE t (n bigint PRIMARY KEY, seq bigint, due bigint) WITH (fillfactor = 60)`,
		`CREATE TABLE v (n bigint PRIMARY KEY, sealed bytea) WITH (fillfactor = 60)`,
		`ALTER TABLE v ALTER sealed SET STORAGE EXTERNAL`,
		fmt.Sprintf(`INSERT INTO t SELECT i, 0, 0 FROM generate_series(0, %d) AS i`, benchGrants-1),
		fmt.Sprintf(`INSERT INTO v SELECT n, decode(repeat('ab', %d), 'hex') FROM t`, benchSealed),
		`VACUUM ANALYZE`,
	} {
		if _, err := conn.Exec(b.Context(), query); err != nil {
			b.Fatal(err)
		}
	}
	sealed := make([]byte, benchSealed)
	b.ResetTimer()
	for done := 0; done < b.N; {
		ns, data := make([]int64, 0, benchGroup), make([][]byte, 0, benchGroup)
		for _, n := range mathrand.Perm(benchGrants)[:min(benchGroup, b.N-done)] {
			ns, data = append(ns, int64(n)), append(data, sealed)
		}
		var group pgx.Batch
		group.Queue(`UPDATE t SET due = 1 WHERE n = ANY ($1)`, ns)
		if err := conn.SendBatch(b.Context(), &group).Close(); err != nil {
			b.Fatal(err)
		}
		group = pgx.Batch{}
		group.Queue(`UPDATE t SET seq = seq + 1, due = 2 WHERE n = ANY ($1)`, ns)
		group.Queue(`UPDATE v SET sealed = u.sealed FROM unnest($1::bigint[], $2::bytea[]) AS u (n, sealed) WHERE v.n = u.n`, ns, data)
		if err := conn.SendBatch(b.Context(), &group).Close(); err != nil {
			b.Fatal(err)
		}
		done += len(ns)
	}
	perSecond(b)
}

// BenchmarkRead is what reads take of sessions that have seen the whole database,
// as a server's have: one row of one table by its key, with the driver alone;
// a grant with its current credentials; and all that a token is handed out from
// when it is not in memory, by its connection's address.
func BenchmarkRead(b *testing.B) {
	s := benchStores(b, 1)[0]
	for _, read := range []struct {
		name string
		run  func(n int) error
	}{
		{"DriverPointSelect", func(n int) error {
			var connection string
			return s.pool.QueryRow(b.Context(), `SELECT connection_id FROM grant_ids WHERE id = $1`, fmt.Sprintf("grant_%026d", n)).Scan(&connection)
		}},
		{"Credentials", func(n int) error {
			_, _, err := s.Credentials(b.Context(), fmt.Sprintf("grant_%026d", n))
			return err
		}},
		{"Holdings", func(n int) error {
			_, held, err := s.Holdings(b.Context(), grant.Ref{App: testApp, Key: fmt.Sprintf("biz_%d", n)})
			if err == nil && len(held) != 1 {
				err = fmt.Errorf("%d grants", len(held))
			}
			return err
		}},
	} {
		for n := range benchGrants {
			if err := read.run(n + 1); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(read.name, func(b *testing.B) {
			for range b.N {
				if err := read.run(1 + mathrand.IntN(benchGrants)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOpen opens a store with many connections: it must not depend on how
// many there are.
func BenchmarkOpen(b *testing.B) {
	s := benchStores(b, 1)[0]
	for b.Loop() {
		s, err := Open(b.Context(), Options{URL: s.o.URL})
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := s.NextDue(b.Context(), testApp); err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
