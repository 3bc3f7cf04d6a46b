package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	mathrand "math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

const (
	benchGrants    = 20_000
	benchSealed    = 1536
	benchWriters   = 64
	benchGroup     = 100
	benchClaimSize = 64
)

// benchStore is a store with many live grants, due in random order.
func benchStore(b *testing.B) *Store {
	b.Helper()
	s, err := Open(b.Context(), Options{Path: filepath.Join(b.TempDir(), "bench.db")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	fillStore(b, s, benchGrants)
	return s
}

// fillStore imports grants as the API does: concurrently, each a connection and
// then an installation.
func fillStore(b testing.TB, s *Store, n int) {
	b.Helper()
	importGrants(b, s, 2*maxGroup, n)
}

func importGrants(b testing.TB, s *Store, workers, n int) {
	b.Helper()
	ctx := b.Context()
	now := time.Now()
	var g errgroup.Group
	g.SetLimit(workers)
	for i := range n {
		due := now.Add(-time.Duration(mathrand.Int64N(int64(time.Hour))))
		g.Go(func() error {
			c := grant.Connection{ID: fmt.Sprintf("conn_%026d", i), App: "k-series", Key: fmt.Sprintf("biz_%d", i), Name: "Quay Bar",
				Status: grant.StatusOf(grant.NeverConnected, now), CreatedAt: now, UpdatedAt: now}
			if err := s.CreateConnection(ctx, c); err != nil {
				return err
			}
			return s.Install(ctx, store.Installation{
				Grant: grant.Grant{ID: fmt.Sprintf("grant_%026d", i), ConnectionID: c.ID, App: c.App, Scope: "financial-api orders-api offline_access",
					Identity: grant.Identity{Issuer: "https://auth.lsk.lightspeed.app", Subject: "1234567890", Businesses: []string{"310004455667788"}},
					Version:  grant.Version{Epoch: 1}, IssuedAt: now, ExpiresAt: due.Add(time.Minute), DueAt: due, ConsentAt: now,
					Status: grant.StatusOf(grant.OK, now)},
				Sealed: randomBytes(benchSealed),
			})
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkImport is a bulk import by 64 workers, and by one, whose every change
// is a transaction of its own.
func BenchmarkImport(b *testing.B) {
	for _, workers := range []int{benchWriters, 1} {
		b.Run(fmt.Sprint(workers), func(b *testing.B) {
			s, err := Open(b.Context(), Options{Path: filepath.Join(b.TempDir(), "bench.db")})
			if err != nil {
				b.Fatal(err)
			}
			rate := meter(b)
			importGrants(b, s, workers, b.N)
			rate(b)
			if err := s.Close(); err != nil {
				b.Error(err)
			}
		})
	}
}

// meter starts a measurement and returns what reports it: rows per second, which
// depends on the machine's disk and load, and processor time and bytes written
// per row, which depend on the code.
func meter(b *testing.B) func(*testing.B) {
	b.Helper()
	cpu, written := used(b)
	b.ResetTimer()
	return func(b *testing.B) {
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		cpuNow, writtenNow := used(b)
		b.ReportMetric(float64((cpuNow-cpu).Microseconds())/float64(b.N), "cpu-µs/row")
		b.ReportMetric(float64(writtenNow-written)/float64(b.N), "written-B/row")
	}
}

// used is what the process has used so far: processor time and bytes written.
func used(b *testing.B) (cpu time.Duration, written int64) {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), u.Oublock * 512
}

func randomBytes(n int) []byte {
	p := make([]byte, n)
	rand.Read(p)
	return p
}

func benchRenewal(c store.Claim, sealed []byte) store.Renewal {
	now := time.Now()
	return store.Renewal{GrantID: c.Grant.ID, AttemptID: c.Grant.Attempt.ID, Of: c.Grant.Version, Sealed: sealed,
		Scope: c.Grant.Scope, IssuedAt: now,
		Times: grant.Times{ExpiresAt: now.Add(time.Hour), DeadlineAt: now.Add(24 * time.Hour), DueAt: now.Add(-time.Millisecond)},
		Events: []grant.Event{{Type: grant.GrantRefreshed, Reason: grant.OK,
			Data: map[string]any{"attempt": c.Grant.Attempt.ID, "expires_at": "2026-11-21T17:05:00Z"}}},
	}
}

// BenchmarkCommitBatchClaims is a refresh engine at full load: one claimer opens
// attempts in batches and 64 workers commit their outcomes one by one.
func BenchmarkCommitBatchClaims(b *testing.B) {
	s := benchStore(b)
	sealed := randomBytes(benchSealed)
	rate := meter(b)
	claims := make(chan store.Claim, benchWriters)
	var g errgroup.Group
	g.Go(func() error {
		defer close(claims)
		for left := b.N; left > 0; {
			batch, err := s.Claim(b.Context(), store.ClaimRequest{App: "k-series", Owner: "bench", Limit: min(left, benchClaimSize), Barrier: grant.Barrier{Settle: time.Minute}})
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
				if err := s.Commit(b.Context(), benchRenewal(c, sealed)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	rate(b)
}

// BenchmarkCommitSingleClaims is the same with a transaction for each claim.
func BenchmarkCommitSingleClaims(b *testing.B) {
	s := benchStore(b)
	sealed := randomBytes(benchSealed)
	rate := meter(b)
	var next sync.Mutex
	order := mathrand.Perm(benchGrants)
	i := 0
	take := func() (string, bool) {
		next.Lock()
		defer next.Unlock()
		if i >= b.N {
			return "", false
		}
		i++
		return fmt.Sprintf("grant_%026d", order[i%benchGrants]), true
	}
	var g errgroup.Group
	for range benchWriters {
		g.Go(func() error {
			for id, ok := take(); ok; id, ok = take() {
				gr, err := s.Grant(b.Context(), id)
				if err != nil {
					return err
				}
				c, err := s.ClaimOne(b.Context(), store.ClaimRequest{App: "k-series", Owner: "bench", Barrier: grant.Barrier{Settle: time.Minute}}, id, gr.Version)
				if err != nil {
					return err
				}
				if err := s.Commit(b.Context(), benchRenewal(c, sealed)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	rate(b)
}

// driverDB is the bare driver with the settings it has by default, except that
// it is durable.
func driverDB(b *testing.B, schema ...string) *sql.Conn {
	b.Helper()
	db, err := pool(filepath.Join(b.TempDir(), "driver.db"), []string{"journal_mode(WAL)", "synchronous(FULL)"}, 1)
	if err != nil {
		b.Fatal(err)
	}
	conn, err := db.Conn(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close(); db.Close() })
	for _, q := range schema {
		if _, err := conn.ExecContext(b.Context(), q); err != nil {
			b.Fatal(err)
		}
	}
	return conn
}

// inGroups runs b.N rows in transactions of benchGroup and reports their rate.
func inGroups(b *testing.B, conn *sql.Conn, n int, row func(i int) error) {
	b.Helper()
	for done := 0; done < n; {
		tx, err := conn.BeginTx(context.Background(), nil)
		if err != nil {
			b.Fatal(err)
		}
		_ = tx
		for end := min(n, done+benchGroup); done < end; done++ {
			if err := row(done); err != nil {
				b.Fatal(err)
			}
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
	}
}

func prepare(b *testing.B, conn *sql.Conn, q string) *sql.Stmt {
	b.Helper()
	st, err := conn.PrepareContext(context.Background(), q)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { st.Close() })
	return st
}

// BenchmarkDriverGroupedUpdates is the yardstick: the driver alone, updating
// random 1.5 KB rows in groups.
func BenchmarkDriverGroupedUpdates(b *testing.B) {
	conn := driverDB(b, `CREATE TABLE t (n INTEGER PRIMARY KEY, seq INTEGER, due INTEGER, sealed BLOB)`)
	sealed := randomBytes(benchSealed)
	insert := prepare(b, conn, `INSERT INTO t VALUES (?, 0, 0, ?)`)
	inGroups(b, conn, benchGrants, func(i int) error { _, err := insert.Exec(i, sealed); return err })
	update := prepare(b, conn, `UPDATE t SET seq = seq + 1, due = ?, sealed = ? WHERE n = ?`)
	rate := meter(b)
	inGroups(b, conn, b.N, func(i int) error { _, err := update.Exec(i, sealed, mathrand.IntN(benchGrants)); return err })
	rate(b)
}

// BenchmarkDriverAppendAndNarrowUpdate is what the driver alone does when it
// appends the bytes and updates a narrow row: two statements without an index,
// and a little over one page a row. A refresh reads four tables, updates its
// grant twice and a due time's index with it, writes the credentials and appends
// an event: about three pages. Pages are most of the cost of both.
func BenchmarkDriverAppendAndNarrowUpdate(b *testing.B) {
	conn := driverDB(b, `CREATE TABLE t (n INTEGER PRIMARY KEY, seq INTEGER, due INTEGER, v INTEGER)`,
		`CREATE TABLE v (n INTEGER PRIMARY KEY, t INTEGER, sealed BLOB)`)
	sealed := randomBytes(benchSealed)
	insert := prepare(b, conn, `INSERT INTO t VALUES (?, 0, 0, 0)`)
	add := prepare(b, conn, `INSERT INTO v (t, sealed) VALUES (?, ?)`)
	update := prepare(b, conn, `UPDATE t SET seq = seq + 1, due = ?, v = ? WHERE n = ?`)
	inGroups(b, conn, benchGrants, func(i int) error { _, err := insert.Exec(i); return err })
	rate := meter(b)
	inGroups(b, conn, b.N, func(i int) error {
		n := mathrand.IntN(benchGrants)
		r, err := add.Exec(n, sealed)
		if err != nil {
			return err
		}
		v, err := r.LastInsertId()
		if err != nil {
			return err
		}
		_, err = update.Exec(i, v, n)
		return err
	})
	rate(b)
}

// BenchmarkOpen opens a store with many connections: it must not depend on how
// many there are.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "bench.db")
	s, err := Open(b.Context(), Options{Path: path})
	if err != nil {
		b.Fatal(err)
	}
	fillStore(b, s, 5*benchGrants)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := Open(b.Context(), Options{Path: path})
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := s.NextDue(b.Context(), "k-series"); err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCredentials reads the current credentials of random grants.
func BenchmarkCredentials(b *testing.B) {
	s := benchStore(b)
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, _, err := s.Credentials(b.Context(), fmt.Sprintf("grant_%026d", mathrand.IntN(benchGrants))); err != nil {
				b.Error(err)
			}
		}
	})
}
