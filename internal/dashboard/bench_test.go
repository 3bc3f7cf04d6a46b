package dashboard_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// benchSizes are how many connections there are.
var benchSizes = []int{1_000, 100_000}

// BenchmarkPage is the time of each page with a thousand and with a hundred
// thousand connections: two apps, one in fifty in need of its merchant, a grant, a
// link and some events each.
func BenchmarkPage(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			k := newKit(b, nil)
			k.fill(n)
			for _, p := range []string{"/", "/connections", "/connections?view=needs-login", "/connections?view=missing", "/connections?view=deadline",
				"/connections?view=back", "/connections?q=bar+77", "/connections/biz_77@k-series", "/deadlines", "/providers", "/links", "/links?state=failed",
				"/events", "/events?type=app.*", "/events?app=r-series", "/events?ref=biz_77@k-series", "/settings"} {
				b.Run(p[1:], func(b *testing.B) {
					for b.Loop() {
						k.Advance(3 * time.Second) // what was counted just now is counted again
						k.see(p)
					}
				})
			}
		})
	}
}

// fill adds connections straight to the store: their credentials open nowhere, and
// nothing is due.
func (k *kit) fill(n int) {
	k.T.Helper()
	ctx, now := k.T.Context(), time.Now()
	random := rand.New(rand.NewPCG(1, 2))
	var batch []store.Arrival
	var links []grant.Link
	flush := func() {
		_, err := k.Store.CreateConnections(ctx, batch)
		k.must(err)
		batch = nil
	}
	for i := range n {
		made := now.Add(-time.Duration(random.IntN(300*24)) * time.Hour)
		c := grant.Connection{ID: grant.NewID(grant.ConnectionID, made), Key: fmt.Sprint("biz_", i), App: []string{"r-series", "k-series"}[i%2],
			Name: fmt.Sprint("Bar ", i), Status: grant.StatusOf(grant.NeverConnected, made), CreatedAt: made, UpdatedAt: made}
		status := grant.StatusOf(grant.OK, made)
		switch {
		case i%50 == 0:
			status = grant.StatusOf(grant.Revoked, now.Add(-time.Duration(i)*time.Minute))
		case i%50 == 1:
			c.Flags = []grant.Reason{grant.ScopeMissing}
		}
		batch = append(batch, store.Arrival{Connection: c, Installation: &store.Installation{
			Grant: grant.Grant{ID: grant.NewID(grant.GrantID, made), ConnectionID: c.ID, App: c.App, Version: grant.Version{Epoch: 1}, Status: status,
				ConsentAt: made, IssuedAt: now, ExpiresAt: now.Add(time.Hour), DueAt: now.AddDate(1, 0, 0),
				DeadlineAt: now.Add(time.Duration(random.IntN(40*24)) * time.Hour)},
			Sealed: make([]byte, 64),
			Events: []grant.Event{{Type: grant.GrantIssued}, {Type: grant.ConnectionConnected}, {Type: grant.ConnectionDegraded}, {Type: grant.ConnectionRecovered}},
		}})
		if len(batch) == 1000 || i == n-1 {
			flush()
		}
		links = append(links, grant.Link{ID: grant.NewID(grant.LinkID, made), ConnectionID: c.ID, App: c.App, Purpose: grant.PurposeConnect,
			TokenHash: []byte(c.ID), ShortCode: fmt.Sprintf("%04X-%02X", i/256, i%256), Locale: "nl", State: grant.LinkStateCreated,
			CreatedAt: made, ExpiresAt: made.AddDate(0, 0, 7)})
	}
	var all errgroup.Group
	all.SetLimit(256) // together, because they wait for the disk
	for _, l := range links {
		all.Go(func() error { return k.Store.CreateLink(ctx, l) })
	}
	k.must(all.Wait())
}
