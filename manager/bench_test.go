package manager_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

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
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "refreshes/s")
		})
	}
}
