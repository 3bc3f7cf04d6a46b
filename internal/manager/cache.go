package manager

import (
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
)

// held is one grant of a connection with its credentials in the clear.
type held struct {
	grant     grant.Grant
	cred      grant.Credential
	locations []string // ids, sorted
	baseURL   string
	// until is when the refresh window begins: from then on a read asks the store.
	until   time.Time
	ahead   bool // of the store, which went back
	handout *Handout
}

// snapshot is everything about a connection that a token read needs. It is
// immutable.
type snapshot struct {
	connection grant.Connection // its status as derived from the grants held here
	grants     []held           // live ones with credentials; those that reach most locations first
	degraded   bool             // built from an answer that is not yet in the store
	// asOf is how many doubts the cache had when this was read. A snapshot that is
	// older than the last doubt stands in only while the store cannot be read.
	asOf int64
}

// cache keeps snapshots of the connections that are read. It never makes one
// newer than the store: a snapshot that was being built while something changed
// is not kept.
type cache struct {
	seed  maphash.Seed
	most  int                         // entries a shard of ids may have
	until func(grant.Grant) time.Time // how long a grant's snapshot is good
	// Every cached entry is in one shard of each kind. A shard of ids is locked
	// before a shard of addresses, and for the whole of a change.
	ids       [32]shard[string]
	addresses [32]shard[address]

	// doubts counts how often changes of other processes may have been missed.
	doubts atomic.Int64

	// journaled holds, by grant id, the credentials that are safe in the spool
	// while the store cannot take them.
	journaled sync.Map
}

// journal is the value of cache.journaled.
type journal struct {
	grant grant.Grant
	cred  grant.Credential
}

// address is a connection's address as a key that is quick to look up.
type address struct{ key, app string }

type shard[K comparable] struct {
	mu      sync.RWMutex
	entries map[K]*entry
	_       [64]byte // keeps two shards off one cache line
}

// entry is a cached snapshot; a renewal replaces what it points to.
type entry struct {
	id      string
	address address
	snap    atomic.Pointer[snapshot]
	before  *snapshot // stands in while the entry is being filled; nil if nothing does
}

// last is the entry's snapshot, or the one before it while it is being filled.
func (e *entry) last() *snapshot {
	if s := e.snap.Load(); s != nil {
		return s
	}
	return e.before
}

func newCache(size int, until func(grant.Grant) time.Time) *cache {
	c := &cache{seed: maphash.MakeSeed(), until: until}
	c.most = max(size/len(c.ids), 1)
	for i := range c.ids {
		c.ids[i].entries = make(map[string]*entry)
		c.addresses[i].entries = make(map[address]*entry)
	}
	return c
}

func (c *cache) byID(id string) *shard[string] {
	return &c.ids[maphash.String(c.seed, id)%uint64(len(c.ids))]
}

func (c *cache) byAddress(a address) *shard[address] {
	return &c.addresses[maphash.String(c.seed, a.key)%uint64(len(c.addresses))]
}

func (s *shard[K]) get(k K) *entry {
	s.mu.RLock()
	e := s.entries[k]
	s.mu.RUnlock()
	return e
}

func (s *shard[K]) set(k K, e *entry) {
	s.mu.Lock()
	if e == nil {
		delete(s.entries, k)
	} else {
		s.entries[k] = e
	}
	s.mu.Unlock()
}

// get returns the snapshot cached under ref, or nil.
func (c *cache) get(ref grant.Ref) *snapshot {
	if e := c.find(ref); e != nil {
		return e.snap.Load()
	}
	return nil
}

// last is get for want of better: while another snapshot is being built, it is
// the one before.
func (c *cache) last(ref grant.Ref) *snapshot {
	if e := c.find(ref); e != nil {
		return e.last()
	}
	return nil
}

func (c *cache) find(ref grant.Ref) *entry {
	if ref.ID != "" {
		return c.byID(ref.ID).get(ref.ID)
	}
	a := address{ref.Key, ref.App}
	return c.byAddress(a).get(a)
}

// doubt has everything cached read again when it is asked for.
func (c *cache) doubt() { c.doubts.Add(1) }

// trusts reports whether a snapshot may be used without asking the store.
func (c *cache) trusts(s *snapshot) bool { return s.asOf == c.doubts.Load() }

// begin returns an entry, already in the cache, for a snapshot about to be
// built. While it is empty it stands in for the connection: a change that comes
// meanwhile takes it out, and filling it then shows nobody anything. old is what
// was cached before, or nil.
func (c *cache) begin(conn grant.Connection, old *snapshot) *entry {
	e := &entry{id: conn.ID, address: address{conn.Key, conn.App}, before: old}
	s := c.byID(e.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.entries[e.id]; !there && len(s.entries) >= c.most {
		for id, victim := range s.entries { // any one; map order is random enough
			delete(s.entries, id)
			c.byAddress(victim.address).set(victim.address, nil)
			break
		}
	}
	s.entries[e.id] = e
	c.byAddress(e.address).set(e.address, e)
	return e
}

// holds reports whether the entry is still the connection's.
func (c *cache) holds(e *entry) bool { return c.byID(e.id).get(e.id) == e }

// end takes out an entry that could not be filled, and puts back what was there
// before, which nothing has changed since.
func (c *cache) end(e *entry) {
	s := c.byID(e.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.entries[e.id] != e:
	case e.before != nil:
		e.snap.Store(e.before)
	default:
		delete(s.entries, e.id)
		c.byAddress(e.address).set(e.address, nil)
	}
}

// suspect has a connection read again when it is asked for, because something
// about it has changed that does not end its tokens. What was read before stands
// in while the store cannot be read.
func (c *cache) suspect(connectionID string) {
	s := c.byID(connectionID)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[connectionID]
	if e == nil {
		return
	}
	old := e.last()
	if old == nil { // being built from what is out of date now
		delete(s.entries, connectionID)
		c.byAddress(e.address).set(e.address, nil)
		return
	}
	next := *old
	next.asOf = never
	fresh := &entry{id: e.id, address: e.address}
	fresh.snap.Store(&next)
	s.entries[e.id] = fresh
	c.byAddress(e.address).set(e.address, fresh)
}

// never is no number of doubts.
const never = -1

// knows reports whether a connection's snapshot is at a version of a grant, or
// past it.
func (c *cache) knows(connectionID, grantID string, v grant.Version) bool {
	s := c.get(grant.Ref{ID: connectionID})
	if s == nil {
		return false
	}
	for _, h := range s.grants {
		if h.grant.ID == grantID {
			return !h.grant.Version.Before(v)
		}
	}
	return false
}

// drop forgets a connection.
func (c *cache) drop(connectionID string) {
	s := c.byID(connectionID)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[connectionID]; e != nil {
		delete(s.entries, connectionID)
		c.byAddress(e.address).set(e.address, nil)
	}
}

// renew puts new credentials into the snapshot of a connection that is cached.
// Readers see them at once, even while the store cannot be read.
func (c *cache) renew(g grant.Grant, cred grant.Credential, degraded bool) {
	if degraded {
		c.journaled.Store(g.ID, journal{g, cred})
	} else {
		c.journaled.Delete(g.ID)
	}
	s := c.byID(g.ConnectionID)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[g.ConnectionID]
	if e == nil {
		return
	}
	old := e.last()
	at := -1
	if old != nil {
		at = slices.IndexFunc(old.grants, func(h held) bool { return h.grant.ID == g.ID })
	}
	if at < 0 || !old.grants[at].grant.Version.Before(g.Version) && !old.degraded {
		// Being built for the first time, or of a grant it does not know: build it again.
		delete(s.entries, g.ConnectionID)
		c.byAddress(e.address).set(e.address, nil)
		return
	}
	next := &snapshot{connection: old.connection, grants: slices.Clone(old.grants), degraded: degraded, asOf: old.asOf}
	h := &next.grants[at]
	h.grant, h.cred, h.until = g, cred, c.until(g)
	next.finish(g.Status.Since)
	// A new entry, so that whoever is filling the old one fills nothing.
	fresh := &entry{id: e.id, address: e.address}
	fresh.snap.Store(next)
	s.entries[e.id] = fresh
	c.byAddress(e.address).set(e.address, fresh)
}

// changed takes in that the status of a grant has changed, and forgets what the
// journal held for it.
func (c *cache) changed(g grant.Grant) {
	c.journaled.Delete(g.ID)
	if g.Status.State.Live() {
		c.suspect(g.ConnectionID)
		return
	}
	c.drop(g.ConnectionID)
}

// issued forgets the connection of a grant that has come, or was approved again.
func (c *cache) issued(g grant.Grant) {
	c.journaled.Delete(g.ID)
	c.drop(g.ConnectionID)
}

// newest returns the credentials the journal holds for a grant if they are newer
// than the store's.
func (c *cache) newest(g grant.Grant, cred grant.Credential) (grant.Grant, grant.Credential, bool) {
	if v, ok := c.journaled.Load(g.ID); ok {
		if j := v.(journal); g.Version.Before(j.grant.Version) {
			return j.grant, j.cred, true
		}
	}
	return g, cred, false
}

// finish derives what follows from a snapshot's grants.
func (s *snapshot) finish(now time.Time) {
	all := make([]grant.Grant, 0, len(s.grants))
	for _, h := range s.grants {
		all = append(all, h.grant)
	}
	if len(all) > 0 {
		s.connection.Status = grant.Derive(s.connection.Status, all, now)
	}
	for i := range s.grants {
		h := &s.grants[i]
		h.handout = &Handout{
			Token: evergrant.Token{
				AccessToken: h.cred.AccessToken.Reveal(), Type: h.cred.TokenType, Scope: h.cred.Scope, BaseURL: h.baseURL,
				Connection: s.connection.ID, Grant: h.grant.ID, Fingerprint: h.cred.AccessToken.Fingerprint(),
				Expiry: h.grant.ExpiresAt, Locations: h.locations,
			},
			Key: s.connection.Key, App: s.connection.App, State: s.connection.Status.State, IssuedAt: h.grant.IssuedAt,
			Until: h.until,
		}
		if h.grant.Status.State == grant.Degraded {
			h.handout.Warnings = append(h.handout.Warnings, string(h.grant.Status.Reason))
		}
		if s.degraded {
			h.handout.Warnings = append(h.handout.Warnings, string(grant.StoreUnavailable))
		}
	}
}
