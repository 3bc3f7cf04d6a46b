package simulation

import (
	"net/http"

	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/store"
)

// variant is what is broken in a run, to see whether the judge notices. The zero
// value breaks nothing.
type variant struct {
	wants   string // the invariant it breaks; the run ends with the first objection
	engine  func(store.Store) store.Store
	db      func(*world, store.Store) store.Store
	front   func(*oracle.Server) http.Handler
	asking  func(asking) asking
	atKill  func(*world)
	instead func(*world) // what happens
	limit   int          // how many requests may be under way at a provider, if not as its policy says
}

// above is what the engine has for a store.
func (v variant) above(s store.Store) store.Store {
	if v.engine == nil {
		return s
	}
	return v.engine(s)
}

// below is what the judge watches.
func (v variant) below(w *world, s store.Store) store.Store {
	if v.db == nil {
		return s
	}
	return v.db(w, s)
}

func (v variant) ask(get asking) asking {
	if v.asking == nil {
		return get
	}
	return v.asking(get)
}

func (v variant) onKill(w *world) {
	if v.atKill != nil {
		v.atKill(w)
	}
}

func (v variant) happen(w *world) {
	if v.instead != nil {
		v.instead(w)
		return
	}
	w.happen()
}
