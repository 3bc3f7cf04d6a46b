package dashboard_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
)

func TestTheFirstPageTellsEachBusinessThatWaitsOnce(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	flag := func(key string, flags ...grant.Reason) {
		c, err := k.Store.Connection(t.Context(), grant.Ref{Key: key, App: "k-series"})
		k.must(err)
		_, err = k.Store.UpdateConnection(t.Context(), c.ID, func(c *grant.Connection) error { c.Flags = flags; return nil })
		k.must(err)
	}
	k.adoptUntil("works@k-series", 300*24*time.Hour)
	k.adoptUntil("lacks@k-series", 300*24*time.Hour)
	flag("lacks", grant.LocationsMissing)
	// One that declined, before more that never began than a page has.
	declined := grant.Connection{ID: "conn_declined", App: "k-series", Key: "declined", Status: grant.StatusOf(grant.MerchantDeclined, k.Now().Add(-time.Hour)),
		CreatedAt: k.Now(), UpdatedAt: k.Now(), Flags: []grant.Reason{grant.ScopeMissing}}
	k.must(k.Store.CreateConnection(t.Context(), declined))
	for i := range 150 {
		id := fmt.Sprintf("conn_%026d", i)
		k.must(k.Store.CreateConnection(t.Context(), grant.Connection{ID: id, App: "k-series", Key: fmt.Sprint("never_", i),
			Status: grant.StatusOf(grant.NeverConnected, k.Now()), CreatedAt: k.Now(), UpdatedAt: k.Now()}))
	}

	page := k.see("/")
	says(t, page, "2 of 153 businesses need something: 2 wait for their merchants.")
	for _, key := range []string{"lacks", "declined"} {
		if n := strings.Count(page, `/connections/`+key+`@k-series/links"`); n != 1 {
			t.Errorf("%s is helped %d times, want once", key, n)
		}
	}
	if strings.Contains(page, "never_") {
		t.Error("who never began is told of")
	}
}
