package cli

import (
	"context"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/store/whole"
	"github.com/evergrant/evergrant/internal/words"
)

const (
	// twiceTimeout bounds how long connections are read; then those that were read
	// are told of.
	twiceTimeout = 20 * time.Second
	twicePage    = 1000
	twiceTold    = 3 // examples
)

// twice looks for accounts that are connected more than once to an app. No store
// has an index of logins, which every login would pay for, so it reads them all.
func (d *doctor) twice(db database) {
	ctx, cancel := context.WithTimeout(d.s.ctx, twiceTimeout)
	defer cancel()
	const name = "duplicates"
	t, err := countTwice(ctx, db)
	read := words.Counted(t.read, "connection", "connections") + " read"
	if err != nil && ctx.Err() != nil {
		read += ", and no more within " + words.Span(twiceTimeout)
		err = nil
	}
	switch {
	case err != nil:
		d.fail(name, "evergrant db check", "the connections cannot be read: %v", err)
	case t.connections > 0:
		d.warn(name, "evergrant connection disconnect what nobody needs; a provider may end the older approvals of a login for newer ones",
			"%s a login with another one: %s (%s)", words.Counted(t.connections, "connection shares", "connections share"),
			strings.Join(t.examples, ", "), read)
	case t.read > 0:
		d.ok(name, "no login is behind two connections (%s)", read)
	}
}

// twice is how many connections have a live grant whose login another connection
// of their app has too.
type twice struct {
	read        int // connections
	connections int
	examples    []string // "biz_1@k-series and biz_2@k-series"
}

// businesses are the connections of a database, as [whole.Reader] has them.
type businesses interface {
	Businesses(ctx context.Context, after string, limit int) ([]whole.Business, error)
}

// countTwice reads all connections. With an error, what it returns is about those
// that were read before. It keeps a number and an address for each login.
func countTwice(ctx context.Context, db businesses) (twice, error) {
	var t twice
	seed := maphash.MakeSeed()
	first := map[uint64]string{} // the connection that a login was first seen at
	shared := map[string]bool{}  // by connection
	for after := ""; ; {
		list, err := db.Businesses(ctx, after, twicePage)
		if err != nil {
			return t, err
		}
		for _, b := range list {
			t.read++
			ref := b.Connection.Ref().String()
			for _, g := range b.Grants {
				login := g.Identity.Login()
				if login == "" || !g.Status.State.Live() {
					continue
				}
				key := maphash.String(seed, b.Connection.App+"\x00"+login)
				other, seen := first[key]
				switch {
				case !seen:
					first[key] = ref
				case other != ref:
					shared[ref], shared[other] = true, true
					if pair := other + " and " + ref; len(t.examples) < twiceTold && !slices.Contains(t.examples, pair) {
						t.examples = append(t.examples, pair)
					}
				}
			}
		}
		t.connections = len(shared)
		if len(list) < twicePage {
			return t, nil
		}
		after = list[len(list)-1].Connection.ID
	}
}
