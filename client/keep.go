package client

import (
	"sync"
	"time"

	"github.com/evergrant/evergrant"
)

// mostKept bounds how many tokens are kept.
const mostKept = 20_000

// keeper keeps tokens for as long as the server said they may be kept, which is
// not beyond the moment it may replace them by itself. A token that was asked for
// before something changed what is kept is not kept: it could be older.
type keeper struct {
	// began is what times are counted from: a difference costs half of what the time
	// of day does.
	began time.Time

	mu   sync.RWMutex
	kept map[want]*kept
	turn int64 // of the last that asked
}

// want is what was asked for.
type want struct {
	ref      evergrant.Ref
	location string
}

// kept is a token, or a mark that there is none. It is not changed.
type kept struct {
	token       *evergrant.Token // nil: none
	until, ends time.Duration    // when it is to be asked for again, and when it ends, after keeper.began
	of          names            // of the connection; none before the first answer
	turn        int64            // in which it was asked for, or dropped
}

// names are both refs of a connection, whichever of them it was asked for by.
type names struct{ id, address evergrant.Ref }

// keeping is what the server says of a token for whoever keeps it.
type keeping struct {
	until time.Time // when it is to be asked for again; zero: it is not to be kept
	of    names
}

func newKeeper() *keeper { return &keeper{began: time.Now(), kept: make(map[want]*kept)} }

// get returns a token that satisfies the options, nil if there is none.
func (k *keeper) get(ref evergrant.Ref, opts *evergrant.TokenOptions) *evergrant.Token {
	w, minValid := want{ref: ref}, time.Duration(0)
	if opts != nil {
		w.location, minValid = opts.Location, opts.MinValid
	}
	k.mu.RLock()
	e := k.kept[w]
	k.mu.RUnlock()
	if e == nil || e.token == nil {
		return nil
	}
	now := time.Since(k.began)
	if now >= e.until || minValid > 0 && e.ends-now < minValid {
		return nil
	}
	return e.token
}

// ask begins to ask for a token and returns the turn to put it with.
func (k *keeper) ask(w want) int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.turn++
	if k.kept[w] == nil {
		k.room()
		k.kept[w] = &kept{}
	}
	return k.turn
}

// put keeps a token, unless one that was asked for later is there, or was dropped
// since.
func (k *keeper) put(w want, turn int64, token *evergrant.Token, how keeping) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e := k.kept[w]; e != nil && e.turn < turn {
		k.kept[w] = &kept{token, how.until.Sub(k.began), token.Expiry.Sub(k.began), how.of, turn}
	}
}

// drop drops what is kept of a connection, by whichever of its names ref is, and
// every token with a fingerprint; "" is no fingerprint. The answer to a call that
// is under way will not be kept, if it could be about this connection.
func (k *keeper) drop(ref evergrant.Ref, fingerprint string) {
	k.dropIf(func(w want, e *kept) bool {
		return w.ref == ref || e.of.id == ref || e.of.address == ref || e.of == names{} ||
			fingerprint != "" && e.token != nil && e.token.Fingerprint == fingerprint
	})
}

// dropAll is drop of every connection.
func (k *keeper) dropAll() {
	k.dropIf(func(want, *kept) bool { return true })
}

func (k *keeper) dropIf(gone func(want, *kept) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for w, e := range k.kept {
		if gone(w, e) {
			k.kept[w] = &kept{of: e.of, turn: k.turn}
		}
	}
}

// room makes room for another token: what is over goes, and if nothing is, some.
func (k *keeper) room() {
	if len(k.kept) < mostKept {
		return
	}
	now := time.Since(k.began)
	for w, e := range k.kept {
		if now >= e.until {
			delete(k.kept, w)
		}
	}
	for w := range k.kept {
		if len(k.kept) < mostKept*3/4 {
			return
		}
		delete(k.kept, w)
	}
}
