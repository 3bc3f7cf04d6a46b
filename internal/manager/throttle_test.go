package manager_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
)

// quota is a provider that answers so many requests in each second and the rest
// with 429. Its fault is asked with the oracle locked.
type quota struct {
	perSecond      int
	second         time.Time
	used           int
	granted, shown atomic.Int64 // answered, and refused with 429
}

func (q *quota) fault(oracle.Send) oracle.Fault {
	if now := time.Now().Truncate(time.Second); now != q.second {
		q.second, q.used = now, 0
	}
	if q.used++; q.used > q.perSecond {
		q.shown.Add(1)
		return oracle.Fault{Status: http.StatusTooManyRequests, Body: "slow down"}
	}
	q.granted.Add(1)
	return oracle.Fault{}
}

func TestAProviderThatThrottlesIsAskedLessAndLess(t *testing.T) {
	const fleet = 600
	for name, configured := range map[string]float64{"no rate is configured": 0, "too high a rate is configured": 200} {
		t.Run(name, func(t *testing.T) {
			o := kitOptions{oracle: oracle.Options{Rotation: oracle.Grace, Window: 10 * time.Hour, AccessLife: 10 * time.Hour},
				policy: func(p *grant.Policy) { p.RatePerSecond = configured }}
			bubble(t, o, func(t *testing.T, k *kit) {
				for i := range fleet {
					k.adoptAt(grant.Ref{Key: fmt.Sprint("biz_", i), App: "app"}, time.Minute)
				}
				q := &quota{perSecond: 20}
				k.oracle.SetFault(q.fault)
				from := time.Now()
				for q.granted.Load() < fleet && time.Since(from) < time.Hour {
					k.sleep(time.Second)
				}
				took := time.Since(from) - 30*time.Second // they are due half a minute before they end
				if least := time.Duration(fleet/q.perSecond) * time.Second; took > 3*least {
					t.Errorf("it took %v; at the provider's own rate it takes %v", took, least)
				}
				if shown := q.shown.Load(); shown > fleet/5 {
					t.Errorf("%d of %d requests were too many", shown, shown+q.granted.Load())
				}
				if n := k.count(grant.ConnectionNeedsReauthorization); n != 0 {
					t.Errorf("%d grants are dead", n)
				}
			})
		})
	}
}
