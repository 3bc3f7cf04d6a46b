package manager_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/secret"
)

// BenchmarkToken is a token read in process: what an embedding program pays.
func BenchmarkToken(b *testing.B) {
	k := newKit(b, kitOptions{oracle: oracle.Options{Rotation: oracle.Static}, real: true})
	defer k.close()
	ref := evergrant.Ref(k.adopt("cafe_nord").String())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Token(b.Context(), ref, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRefresh is durable refreshes a second when a whole fleet is due at
// once, against an authorization server that answers at once. An operation is
// one grant's renewal. x-driver compares it with the bare driver's grouped
// updates of rows of the same size, in the same run.
func BenchmarkRefresh(b *testing.B) {
	for _, rotation := range []string{oracle.Grace, oracle.FamilyKill} {
		b.Run(rotation, func(b *testing.B) {
			k := newKit(b, kitOptions{
				oracle: oracle.Options{Rotation: rotation, Window: time.Minute, Pad: 1200}, real: true, stopped: true,
				policy: func(p *grant.Policy) { p.MaxInFlight = 64 },
			})
			defer k.close()
			k.fleet(b.N, time.Now().Add(-time.Second))
			b.ResetTimer()
			if err := k.Start(b.Context()); err != nil {
				b.Fatal(err)
			}
			for k.oracle.Rotations() < b.N {
				time.Sleep(time.Millisecond)
			}
			b.StopTimer()
			ours := float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(ours, "refreshes/s")
			b.ReportMetric(ours/groupedUpdates(b), "x-driver")
		})
	}
}

// BenchmarkStart is how long a manager takes to start over 100,000 connections,
// and how much memory it holds for them.
func BenchmarkStart(b *testing.B) {
	const fleet = 100_000
	k := newKit(b, kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}, real: true, stopped: true})
	k.fleet(fleet, time.Now().Add(24*time.Hour))
	k.closeStack()
	before := heap()
	for b.Loop() {
		k.open(kitOptions{})
		k.token(grant.Ref{Key: "cafe_4711", App: "app"})
		b.StopTimer()
		b.ReportMetric(float64(heap()-before)/(1<<20), "MB")
		k.closeStack()
		b.StartTimer()
	}
	k.stop()
}

// heap is what is alive after a collection.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// fleet adopts n businesses whose tokens expire at the given time.
func (k *kit) fleet(n int, expires time.Time) {
	k.t.Helper()
	work := make(chan int)
	var wg sync.WaitGroup
	for range 128 {
		wg.Go(func() {
			for i := range work {
				key := fmt.Sprintf("cafe_%d", i)
				access, refresh := k.oracle.Issue(key)
				_, _, err := k.Create(context.Background(), manager.NewConnection{Ref: grant.Ref{Key: key, App: "app"}, Tokens: &manager.Adoption{
					AccessToken: secret.New(access), RefreshToken: secret.New(refresh), ExpiresAt: expires,
				}})
				if err != nil {
					k.t.Error(err)
				}
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	wg.Wait()
}

// groupedUpdates is what the bare driver does: updates of single rows of 1.5 KB
// at random places, a hundred to a transaction, as durable as ours. It returns
// rows a second.
func groupedUpdates(b *testing.B) float64 {
	b.Helper()
	const rows, group = 20_000, 100
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "peer")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	must := func(_ sql.Result, err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	must(db.Exec(`CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB NOT NULL)`))
	must(db.Exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO t SELECT i, zeroblob(1500) FROM n`, rows))
	value := make([]byte, 1500)
	start, done := time.Now(), 0
	for time.Since(start) < 2*time.Second {
		tx, err := db.Begin()
		if err != nil {
			b.Fatal(err)
		}
		update, err := tx.Prepare(`UPDATE t SET v = ? WHERE id = ?`)
		if err != nil {
			b.Fatal(err)
		}
		for range group {
			// SQLite leaves a page alone whose bytes do not change.
			value[rand.IntN(len(value))]++
			must(update.Exec(value, 1+rand.IntN(rows)))
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
		done += group
	}
	return float64(done) / time.Since(start).Seconds()
}
