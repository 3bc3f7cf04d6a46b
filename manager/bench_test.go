package manager_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
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

// BenchmarkRefresh is durable refreshes a second against an authorization server
// that answers at once: 64 callers, each refreshing grants of its own.
func BenchmarkRefresh(b *testing.B) {
	for _, rotation := range []string{oracle.Grace, oracle.FamilyKill} {
		b.Run(rotation, func(b *testing.B) {
			k := newKit(b, kitOptions{
				oracle: oracle.Options{Rotation: rotation, Window: time.Minute, Pad: 1200}, real: true,
				policy: func(p *grant.Policy) { p.MinInterval, p.MaxInFlight = 1, 64 },
			})
			defer k.close()
			refs := make([]grant.Ref, 2048)
			for i := range refs {
				refs[i] = k.adopt(fmt.Sprintf("cafe_%d", i))
			}
			var next atomic.Int64
			b.SetParallelism(32)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					ref := refs[int(next.Add(1))%len(refs)]
					res, err := k.Refresh(b.Context(), ref)
					if err != nil || !res[0].Refreshed {
						b.Errorf("%v %+v", err, res)
						return
					}
				}
			})
			ours := float64(b.N) / b.Elapsed().Seconds()
			b.StopTimer()
			b.ReportMetric(ours, "refreshes/s")
			b.ReportMetric(ours/groupedUpdates(b), "x-driver")
		})
	}
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
