package storetest

import (
	"time"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/store"
)

func (f *fixture) newKey(id string) access.Key {
	return access.Key{ID: id, Name: "name of " + id, Hash: access.Hash(id), Scopes: []access.Scope{access.Tokens, access.Links},
		Apps: []string{"x"}, Businesses: []string{"k"}, CreatedAt: f.now(), ExpiresAt: f.now().Add(time.Hour)}
}

func keyTests() map[string]func(*fixture) {
	return map[string]func(*fixture){
		"keys are listed oldest first, as they were created": func(f *fixture) {
			b := f.newKey("key_b")
			f.ok(f.CreateKey(f.ctx, b))
			f.clock.advance(time.Second)
			a := f.newKey("key_a")
			a.Apps, a.Businesses, a.ExpiresAt = nil, []string{}, time.Time{} // every app, no business
			f.ok(f.CreateKey(f.ctx, a))
			got, err := f.ListKeys(f.ctx)
			f.ok(err)
			equal(f, "keys", got, []access.Key{b, a})
		},
		"an id or a hash can be taken once": func(f *fixture) {
			k := f.newKey("key_1")
			f.ok(f.CreateKey(f.ctx, k))
			sameHash := f.newKey("key_2")
			sameHash.Hash = k.Hash
			f.is(f.CreateKey(f.ctx, sameHash), store.ErrExists)
			sameID := f.newKey("key_1")
			sameID.Hash = access.Hash("other")
			f.is(f.CreateKey(f.ctx, sameID), store.ErrExists)
			got, err := f.ListKeys(f.ctx)
			f.ok(err)
			equal(f, "keys", got, []access.Key{k})
		},
		"a revoked key stays in the list, revoked since the first time": func(f *fixture) {
			k := f.newKey("key_1")
			f.ok(f.CreateKey(f.ctx, k))
			f.ok(f.RevokeKey(f.ctx, k.ID, f.now()))
			f.ok(f.RevokeKey(f.ctx, k.ID, f.now().Add(time.Hour)))
			k.RevokedAt = f.now()
			got, err := f.ListKeys(f.ctx)
			f.ok(err)
			equal(f, "keys", got, []access.Key{k})
			f.is(f.RevokeKey(f.ctx, "key_none", f.now()), store.ErrNotFound)
		},
		"last use only moves forward, and strangers are ignored": func(f *fixture) {
			k, l := f.newKey("key_1"), f.newKey("key_2")
			f.ok(f.CreateKey(f.ctx, k))
			f.ok(f.CreateKey(f.ctx, l))
			now := f.now()
			f.ok(f.TouchKeys(f.ctx, map[string]time.Time{k.ID: now, "key_none": now}))
			f.ok(f.TouchKeys(f.ctx, map[string]time.Time{k.ID: now.Add(-time.Second), l.ID: now.Add(time.Second)}))
			f.ok(f.TouchKeys(f.ctx, nil))
			k.LastUsedAt, l.LastUsedAt = now, now.Add(time.Second)
			got, err := f.ListKeys(f.ctx)
			f.ok(err)
			equal(f, "keys", got, []access.Key{k, l})
		},
		"the data key is set by who saw the one before": func(f *fixture) {
			_, _, err := f.DataKey(f.ctx)
			f.is(err, store.ErrNotFound)
			f.is(f.SetDataKey(f.ctx, []byte("guess"), "m1", []byte("w1")), store.ErrStale)
			f.ok(f.SetDataKey(f.ctx, nil, "m1", []byte("w1")))
			for _, previous := range [][]byte{nil, {}, []byte("w0")} {
				f.is(f.SetDataKey(f.ctx, previous, "m2", []byte("w2")), store.ErrStale)
			}
			id, wrapped, err := f.DataKey(f.ctx)
			f.ok(err)
			equal(f, "master", id, "m1")
			equal(f, "wrapped", wrapped, []byte("w1"))
			f.ok(f.SetDataKey(f.ctx, []byte("w1"), "m2", []byte("w2")))
			id, wrapped, err = f.DataKey(f.ctx)
			f.ok(err)
			equal(f, "master", id, "m2")
			equal(f, "wrapped", wrapped, []byte("w2"))
		},
		"a check changes nothing anybody sees": func(f *fixture) {
			f.ok(f.Check(f.ctx))
			f.ok(f.Check(f.ctx))
			equal(f, "last event", f.mark(), "")
		},
	}
}
