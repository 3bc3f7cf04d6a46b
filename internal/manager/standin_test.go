package manager_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/store"
)

// TestWhatWasReadStandsInThroughChangesThatEndNoToken takes the store away right
// after a change that another process has made, before anybody has read it.
func TestWhatWasReadStandsInThroughChangesThatEndNoToken(t *testing.T) {
	for typ, stands := range map[grant.EventType]bool{
		"":                                   true, // a change without an event
		grant.GrantRefreshed:                 true,
		grant.GrantRefreshFailed:             true,
		grant.ConnectionDegraded:             true,
		grant.ConnectionScopeChanged:         true,
		grant.ConnectionLocationsChanged:     true,
		grant.ConnectionDeadlineNear:         true,
		grant.ConnectionNeedsReauthorization: false,
		grant.ConnectionDisconnected:         false,
		grant.ConnectionDeleted:              false,
		grant.GrantRevoked:                   false,
	} {
		for when, meanwhile := range map[string]bool{"before a read": false, "during a read": true} {
			t.Run(string(typ)+" "+when, func(t *testing.T) {
				var broken atomic.Bool
				var st *interrupted
				o := kitOptions{
					oracle: oracle.Options{Rotation: oracle.FamilyKill},
					wrap: func(s store.Store) store.Store {
						st = &interrupted{failing: failing{Store: s, broken: &broken}}
						return st
					},
				}
				bubble(t, o, func(t *testing.T, k *kit) {
					ref := k.adopt("cafe")
					id := k.token(ref).Token.Connection
					change := func() {
						if typ == "" {
							k.Changed(id)
						} else {
							k.Follow([]grant.Event{{Type: typ, Connection: id, App: ref.App}})
						}
						broken.Store(true)
					}
					if meanwhile {
						k.Changed("") // so that there is a read
						st.grants = change
					} else {
						change()
					}
					_, first := k.Handout(t.Context(), ref, evergrant.TokenOptions{})
					_, second := k.Handout(t.Context(), grant.Ref{ID: id}, evergrant.TokenOptions{})
					if err := errors.Join(first, second); stands != (err == nil) {
						t.Errorf("handed out is %v, want %v: %v", err == nil, stands, err)
					}
				})
			})
		}
	}
}

// interrupted is a store in which something happens when grants are read.
type interrupted struct {
	failing
	grants func()
}

func (i *interrupted) Holdings(ctx context.Context, ref grant.Ref) (grant.Connection, []store.Holding, error) {
	if i.grants != nil {
		i.grants()
		return grant.Connection{}, nil, store.ErrUnavailable
	}
	return i.failing.Holdings(ctx, ref)
}
