package manager_test

import (
	"context"
	"testing"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/store"
)

// overtaken is a store of which what was read is late: something has changed since.
type overtaken struct {
	store.Store
	reads   int
	changes func()
}

func (o *overtaken) Holdings(ctx context.Context, ref grant.Ref) (grant.Connection, []store.Holding, error) {
	c, held, err := o.Store.Holdings(ctx, ref)
	o.reads++
	if o.changes != nil {
		o.changes()
	}
	return c, held, err
}

// TestWhatWasOvertakenByAChangeIsNotKept tells how often the store is read for two
// tokens, if something changes while it is read for the first of them.
func TestWhatWasOvertakenByAChangeIsNotKept(t *testing.T) {
	tests := map[string]struct {
		change   grant.Event
		always   bool
		cached   bool // before
		readOnce int  // for the first token
		readAll  int  // for both
	}{
		"nothing":                          {readOnce: 1, readAll: 1},
		"a renewal elsewhere":              {change: renewedAt(1, 1), readOnce: 2, readAll: 2},
		"a renewal of what is cached":      {change: renewedAt(1, 1), cached: true, readOnce: 2, readAll: 2},
		"a disconnect":                     {change: grant.Event{Type: grant.ConnectionDisconnected}, readOnce: 2, readAll: 2},
		"a disconnect of what is cached":   {change: grant.Event{Type: grant.ConnectionDisconnected}, cached: true, readOnce: 2, readAll: 2},
		"what does not concern its tokens": {change: grant.Event{Type: grant.LinkCreated}, readOnce: 1, readAll: 1},
		"one change after the other":       {change: renewedAt(1, 1), always: true, readOnce: 3, readAll: 6},
		"the same of what is cached":       {change: renewedAt(1, 1), always: true, cached: true, readOnce: 3, readAll: 6},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var s *overtaken
			o := kitOptions{
				oracle: oracle.Options{Rotation: oracle.FamilyKill},
				wrap:   func(inner store.Store) store.Store { s = &overtaken{Store: inner}; return s },
			}
			bubble(t, o, func(t *testing.T, k *kit) {
				ref := k.adopt("cafe")
				c, err := k.Connection(t.Context(), ref)
				if err != nil {
					t.Fatal(err)
				}
				e := test.change
				e.Connection = c.ID
				if test.cached {
					k.token(ref)
				}
				k.Follow([]grant.Event{{Type: grant.GrantRefreshFailed, Connection: c.ID}}) // so that the first token is read
				s.reads, s.changes = 0, func() {
					if !test.always {
						s.changes = nil
					}
					if e.Type != "" {
						k.Follow([]grant.Event{e})
					}
				}
				k.token(ref)
				if s.reads != test.readOnce {
					t.Errorf("%d reads of the store for a token, want %d", s.reads, test.readOnce)
				}
				k.token(ref)
				if s.reads != test.readAll {
					t.Errorf("%d reads of the store for two tokens, want %d", s.reads, test.readAll)
				}
			})
		})
	}
}
