package postgres

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant/internal/store"
)

func TestAGroupWaitsForMoreIfTheLastOneWasOne(t *testing.T) {
	const apart = 3 * time.Millisecond
	for name, test := range map[string]struct {
		took  time.Duration
		group int // of renewals that come one after the other
		waits time.Duration
	}{
		"the last one was alone":  {took: 0, group: 1, waits: 0},
		"twice what the last did": {took: 2 * time.Millisecond, group: 2, waits: 4 * time.Millisecond},
		"not for long":            {took: time.Minute, group: 4, waits: maxWait},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCommits(nil)
				c.took = test.took
				for i := range 100 {
					time.AfterFunc(time.Duration(i+1)*apart, func() {
						c.ops <- &commitOp{Renewal: store.Renewal{GrantID: fmt.Sprint(i)}}
					})
				}
				began := time.Now()
				group := c.gather(&commitOp{Renewal: store.Renewal{GrantID: "first"}})
				if d := time.Since(began); len(group) != test.group || d != test.waits {
					t.Errorf("%d renewals after %v, want %d after %v", len(group), d, test.group, test.waits)
				}
				for range 100 - len(group) + 1 {
					<-c.ops
				}
			})
		})
	}
}

// TestAGroupIsCompleteWithoutWaiting: what fills a group ends its wait.
func TestAGroupIsCompleteWithoutWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCommits(nil)
		c.took = time.Second
		for i := range maxGroup {
			go func() { c.ops <- &commitOp{Renewal: store.Renewal{GrantID: fmt.Sprint(i)}} }()
		}
		began := time.Now()
		group := c.gather(&commitOp{Renewal: store.Renewal{GrantID: "first"}})
		if d := time.Since(began); len(group) != maxGroup || d != 0 {
			t.Errorf("%d renewals after %v, want %d at once", len(group), d, maxGroup)
		}
		<-c.ops // the one too many
	})
}
