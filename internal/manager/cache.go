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
// newer than the store: a snapshot that was being read while something changed
// is not kept.
type cache struct {
	seed  maphash.Seed
	most  int                         // snapshots a shard of ids may have
	until func(grant.Grant) time.Time // how long a grant's snapshot is good
	// Every cached snapshot is in one shard of each kind. A shard of ids is locked
	// before a shard of addresses, and for the whole of a change.
	ids       [shards]shard[string]
	addresses [shards]shard[address]

	// changes counts what has changed of any connection, and latest has the number
	// of the last change of those that share a hash: what was read before it is not
	// kept. It belongs to the shard of their ids.
	changes atomic.Int64
	latest  [32 * shards]int64

	// doubts counts how often changes of other processes may have been missed.
	doubts atomic.Int64

	// journaled holds, by grant id, the credentials that are safe in the spool
	// while the store cannot take them.
	journaled sync.Map
}

// shards is how many parts of the cache can be changed at once.
const shards = 32

// journal is the value of cache.journaled.
type journal struct {
	grant grant.Grant
	cred  grant.Credential
}

// address is a connection's address as a key that is quick to look up.
type address struct{ key, app string }

func (s *snapshot) address() address { return address{s.connection.Key, s.connection.App} }

type shard[K comparable] struct {
	mu        sync.RWMutex
	snapshots map[K]*snapshot
	_         [64]byte // keeps two shards off one cache line
}

func newCache(size int, until func(grant.Grant) time.Time) *cache {
	c := &cache{seed: maphash.MakeSeed(), until: until}
	c.most = max(size/shards, 1)
	for i := range shards {
		c.ids[i].snapshots = make(map[string]*snapshot)
		c.addresses[i].snapshots = make(map[address]*snapshot)
	}
	return c
}

func (c *cache) byID(id string) *shard[string] {
	return &c.ids[maphash.String(c.seed, id)%shards]
}

func (c *cache) byAddress(a address) *shard[address] {
	return &c.addresses[maphash.String(c.seed, a.key)%shards]
}

func (s *shard[K]) get(k K) *snapshot {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.snapshots[k]
}

func (s *shard[K]) set(k K, to *snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.snapshots[k] = to
}

func (s *shard[K]) delete(k K) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.snapshots, k)
}

// get returns the snapshot cached under ref, or nil.
func (c *cache) get(ref grant.Ref) *snapshot {
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

// keep takes in a snapshot that began to be read after a number of changes, and
// reports whether its connection has not changed since. If it has, the snapshot may
// be of before, and what is cached stays.
func (c *cache) keep(s *snapshot, after int64) bool {
	ids := c.byID(s.connection.ID)
	ids.mu.Lock()
	defer ids.mu.Unlock()
	if *c.last(s.connection.ID) > after {
		return false
	}
	if _, there := ids.snapshots[s.connection.ID]; !there && len(ids.snapshots) >= c.most {
		for _, victim := range ids.snapshots { // any one; map order is random enough
			c.remove(ids, victim)
			break
		}
	}
	c.put(ids, s)
	return true
}

// change locks the shard of a connection that has changed, and returns it with what
// is cached of the connection.
func (c *cache) change(connectionID string) (*shard[string], *snapshot) {
	ids := c.byID(connectionID)
	ids.mu.Lock()
	*c.last(connectionID) = c.changes.Add(1)
	return ids, ids.snapshots[connectionID]
}

// last is the number of the last change of a connection. Its shard is locked.
func (c *cache) last(connectionID string) *int64 {
	return &c.latest[maphash.String(c.seed, connectionID)%uint64(len(c.latest))]
}

// put caches a snapshot, in a shard of ids that is locked.
func (c *cache) put(ids *shard[string], s *snapshot) {
	ids.snapshots[s.connection.ID] = s
	c.byAddress(s.address()).set(s.address(), s)
}

// remove forgets a snapshot, in a shard of ids that is locked.
func (c *cache) remove(ids *shard[string], s *snapshot) {
	delete(ids.snapshots, s.connection.ID)
	c.byAddress(s.address()).delete(s.address())
}

// suspect has a connection read again when it is asked for, because something
// about it has changed that does not end its tokens. What was read before stands
// in while the store cannot be read.
func (c *cache) suspect(connectionID string) {
	ids, old := c.change(connectionID)
	defer ids.mu.Unlock()
	if old == nil {
		return
	}
	c.put(ids, old.suspected())
}

// suspected is a snapshot that only stands in.
func (s *snapshot) suspected() *snapshot {
	next := *s
	next.asOf = never
	return &next
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
	ids, old := c.change(connectionID)
	defer ids.mu.Unlock()
	if old != nil {
		c.remove(ids, old)
	}
}

// has reports whether h has the credentials of a renewal that ended in g, or later
// ones. The version alone does not tell: where the store went back, versions count
// on from there.
func (h *held) has(g grant.Grant) bool {
	return !h.grant.Version.Before(g.Version) && !stored(h.grant.IssuedAt).Before(stored(g.IssuedAt))
}

// renew puts new credentials into the snapshot of a connection that is cached.
// Readers see them at once, even while the store cannot be read. Credentials that
// were read from it already, because a commit that seemed to fail had happened, stay.
func (c *cache) renew(g grant.Grant, cred grant.Credential, degraded bool) {
	if degraded {
		c.journaled.Store(g.ID, journal{g, cred})
	} else {
		c.journaled.Delete(g.ID)
	}
	ids, old := c.change(g.ConnectionID)
	defer ids.mu.Unlock()
	if old == nil {
		return
	}
	at := slices.IndexFunc(old.grants, func(h held) bool { return h.grant.ID == g.ID })
	switch {
	case at < 0:
		c.remove(ids, old) // of a grant it does not know: read it again
		return
	case old.grants[at].has(g):
		if old.degraded && !degraded {
			c.put(ids, old.suspected()) // its warning is out of date
		}
		return
	}
	next := &snapshot{connection: old.connection, grants: slices.Clone(old.grants), degraded: degraded, asOf: old.asOf}
	h := &next.grants[at]
	h.grant, h.cred, h.until, h.ahead = g, cred, c.until(g), false
	next.finish(g.Status.Since)
	c.put(ids, next)
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
