package storetest

import (
	"time"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/store"
)

// login stores a one-time link that lives for a minute.
func (f *fixture) login(token string) store.Login {
	f.Helper()
	l := store.Login{Hash: access.Hash(token), Name: "Anna " + token, Role: access.Support}
	until, err := f.CreateLogin(f.ctx, l, time.Minute)
	f.ok(err)
	equal(f, "end", until, f.now().Add(time.Minute))
	return l
}

func loginTests() map[string]func(*fixture) {
	return map[string]func(*fixture){
		"a login is looked at as often as one likes and used once": func(f *fixture) {
			l := f.login("a")
			for range 3 {
				got, err := f.Login(f.ctx, l.Hash)
				f.ok(err)
				equal(f, "login", got, l)
			}
			got, err := f.UseLogin(f.ctx, l.Hash)
			f.ok(err)
			equal(f, "used login", got, l)
			_, err = f.UseLogin(f.ctx, l.Hash)
			f.is(err, store.ErrNotFound)
			_, err = f.Login(f.ctx, l.Hash)
			f.is(err, store.ErrNotFound)
		},
		"a login is over at its end by the store's clock": func(f *fixture) {
			l := f.login("a")
			f.clock.advance(time.Minute - time.Microsecond)
			_, err := f.Login(f.ctx, l.Hash)
			f.ok(err)
			f.clock.advance(time.Microsecond)
			_, err = f.Login(f.ctx, l.Hash)
			f.is(err, store.ErrNotFound)
			_, err = f.UseLogin(f.ctx, l.Hash)
			f.is(err, store.ErrNotFound)
		},
		"logins that are over make room, others stay": func(f *fixture) {
			f.login("a")
			f.clock.advance(30 * time.Second)
			b := f.login("b")
			f.clock.advance(30 * time.Second)
			f.login("c")
			f.login("a") // its hash is free again
			got, err := f.Login(f.ctx, b.Hash)
			f.ok(err)
			equal(f, "login", got, b)
		},
		"a hash can be taken once": func(f *fixture) {
			l := f.login("a")
			_, err := f.CreateLogin(f.ctx, store.Login{Hash: l.Hash, Name: "Mallory", Role: access.Operator}, time.Hour)
			f.is(err, store.ErrExists)
			got, err := f.Login(f.ctx, l.Hash)
			f.ok(err)
			equal(f, "login", got, l)
		},
		"one of many uses of a login gets it": func(f *fixture) {
			l := f.login("a")
			n := f.together(store.ErrNotFound, func(int) error {
				_, err := f.UseLogin(f.ctx, l.Hash)
				return err
			})
			equal(f, "successes", n, 1)
		},
	}
}
