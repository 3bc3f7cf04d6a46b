package api

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// scopeLinks is the scope that may see links to reauthorize with.
const scopeLinks = access.Links

const (
	keysFresh   = 5 * time.Second  // how long a snapshot of the keys is believed
	keysTimeout = 2 * time.Second  // for reading or touching them during a request
	touchEvery  = 60 * time.Second // between two writes of when keys were last used
	tellEvery   = time.Minute      // between two log lines about failures
)

// Keyring finds API keys by their hash, from the configuration file and the
// store. It reads the store at most every five seconds, when it is asked to, and
// on a key it does not know. While the store cannot be read, the keys it knows
// go on working. It is safe for concurrent use.
type Keyring struct {
	store store.Keys
	file  []access.Key
	now   func() time.Time

	snap    atomic.Pointer[snapshot]
	reading sync.Mutex
	misses  *rate.Limiter // reads of the store on account of unknown keys
	touched atomic.Int64  // when last uses were written, Unix seconds
}

// snapshot is the keys at one moment. The map is not changed.
type snapshot struct {
	byHash map[[sha256.Size]byte]*ringKey
	readAt time.Time
}

// ringKey is a key and when it was used.
type ringKey struct {
	access.Key
	used *atomic.Int64 // Unix seconds, 0 if not since the start; shared by all snapshots
}

// NewKeyring returns a Keyring over the keys of the configuration file and of
// the store.
func NewKeyring(s store.Keys, file []access.Key, now func() time.Time) *Keyring {
	k := &Keyring{store: s, file: file, now: now, misses: rate.NewLimiter(1, 5)}
	k.touched.Store(now().Unix())
	first := &snapshot{byHash: map[[sha256.Size]byte]*ringKey{}}
	k.addFile(first, &snapshot{})
	k.snap.Store(first)
	return k
}

// addFile puts the file's keys into a snapshot.
func (k *Keyring) addFile(s, before *snapshot) {
	for _, f := range k.file {
		f.FromFile = true
		if f.ID == "" {
			f.ID = f.Name
		}
		s.add(f, before)
	}
}

// add puts a key into a snapshot that is being made.
func (s *snapshot) add(key access.Key, before *snapshot) {
	used := new(atomic.Int64)
	if old, ok := before.byHash[key.Hash]; ok {
		used = old.used
	}
	s.byHash[key.Hash] = &ringKey{key, used}
}

// Find returns the key with this secret, nil if there is none that works now.
func (k *Keyring) Find(ctx context.Context, secret string) *access.Key {
	hash := access.Hash(secret)
	now := k.now()
	snap := k.snap.Load()
	if now.Sub(snap.readAt) >= keysFresh && k.reading.TryLock() {
		snap = k.read(ctx, now)
		k.reading.Unlock()
	}
	e, ok := snap.byHash[hash]
	if !ok && !now.Equal(snap.readAt) && k.misses.AllowN(now, 1) {
		k.Reload(ctx)
		e, ok = k.snap.Load().byHash[hash]
	}
	if !ok || !e.Valid(now) {
		return nil
	}
	if unix := now.Unix(); e.used.Load() != unix {
		e.used.Store(unix)
		if last := k.touched.Load(); unix-last >= int64(touchEvery/time.Second) && k.touched.CompareAndSwap(last, unix) {
			k.touch(ctx, last)
		}
	}
	return &e.Key
}

// Reload reads the store's keys now.
func (k *Keyring) Reload(ctx context.Context) {
	k.reading.Lock()
	defer k.reading.Unlock()
	k.read(ctx, k.now())
}

// read makes a new snapshot; the caller holds k.reading. If the store cannot be
// read, the keys stay as they are and are believed for another five seconds.
func (k *Keyring) read(ctx context.Context, now time.Time) *snapshot {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keysTimeout)
	defer cancel()
	before := k.snap.Load()
	stored, err := k.store.ListKeys(ctx)
	if err != nil {
		again := &snapshot{byHash: before.byHash, readAt: now}
		k.snap.Store(again)
		return again
	}
	s := &snapshot{byHash: make(map[[sha256.Size]byte]*ringKey, len(stored)+len(k.file)), readAt: now}
	for _, key := range stored {
		s.add(key, before)
	}
	k.addFile(s, before)
	k.snap.Store(s)
	return s
}

// touch writes which stored keys were used since the last time. It is no loss if
// it fails.
func (k *Keyring) touch(ctx context.Context, since int64) {
	used := map[string]time.Time{}
	for _, e := range k.snap.Load().byHash {
		if at := e.used.Load(); at >= since && !e.FromFile {
			used[e.ID] = time.Unix(at, 0).UTC()
		}
	}
	if len(used) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keysTimeout)
	defer cancel()
	_ = k.store.TouchKeys(ctx, used)
}

// All returns every key, revoked ones too, those of the file first, with the
// last uses this process knows of.
func (k *Keyring) All(ctx context.Context) ([]access.Key, error) {
	stored, err := k.store.ListKeys(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]access.Key, 0, len(stored)+len(k.file))
	for _, f := range k.file {
		f.FromFile = true
		if f.ID == "" {
			f.ID = f.Name
		}
		all = append(all, f)
	}
	all = append(all, stored...)
	snap := k.snap.Load()
	for i := range all {
		if e, ok := snap.byHash[all[i].Hash]; ok {
			if at := time.Unix(e.used.Load(), 0).UTC(); at.After(all[i].LastUsedAt) && e.used.Load() != 0 {
				all[i].LastUsedAt = at
			}
		}
	}
	return all, nil
}

// adminSocket is the key of those who reach the admin socket.
func adminSocket() *access.Key {
	return &access.Key{ID: "admin_socket", Name: "admin socket", Scopes: []access.Scope{access.Admin}}
}

// authenticate returns the key of a request, if it has the scope or the one that
// does as well; "" asks for none.
func (s *server) authenticate(r *http.Request, scope, or access.Scope) (*access.Key, error) {
	if s.c.TrustAll {
		return adminSocket(), nil
	}
	secret, ok := bearer(r.Header.Get("Authorization"))
	if !ok {
		p := newProblem(http.StatusUnauthorized, codeUnauthorized, "send an API key as Authorization: Bearer evg_…")
		p.authenticate = `Bearer realm="evergrant"`
		return nil, p
	}
	return s.identify(r, secret, scope, or)
}

// identify is authenticate for a secret that did not come as a Bearer token.
// The key is looked up by its hash, so what a wrong one takes tells nothing of
// the good ones; and one that fails too often is told to wait.
func (s *server) identify(r *http.Request, secret string, scope, or access.Scope) (*access.Key, error) {
	if s.c.TrustAll {
		return adminSocket(), nil
	}
	key := s.keys.Find(r.Context(), secret)
	if key == nil {
		from := access.Place(r.RemoteAddr)
		if wait := s.fails.Another(from); wait > 0 {
			s.guessed.Do(func() {
				s.log.LogAttrs(r.Context(), slog.LevelWarn, "api: many requests with API keys that do not work", slog.String("from", from.String()))
			})
			p := newProblem(http.StatusTooManyRequests, codeUnauthorized, "the API key is unknown, revoked or expired, and so were many from this address; wait")
			p.RetryAfter = seconds(wait)
			return nil, p
		}
		p := newProblem(http.StatusUnauthorized, codeUnauthorized, "the API key is unknown, revoked or expired")
		p.authenticate = `Bearer realm="evergrant", error="invalid_token"`
		return nil, p
	}
	if scope != "" && !key.Can(scope) && (or == "" || !key.Can(or)) {
		p := newProblem(http.StatusForbidden, codeForbidden, "this needs an API key with the scope "+string(scope))
		p.authenticate = `Bearer realm="evergrant", error="insufficient_scope", scope="` + string(scope) + `"`
		return key, p // whose it is, is known
	}
	return key, nil
}

// bearer returns the credentials of a Bearer authorization (RFC 6750 section
// 2.1); the scheme's case does not matter.
func bearer(header string) (string, bool) {
	const scheme = "bearer "
	if len(header) <= len(scheme) || !strings.EqualFold(header[:len(scheme)], scheme) {
		return "", false
	}
	return strings.TrimLeft(header[len(scheme):], " "), true
}

// reach reports, as an error, that the key may not see the connection ref names.
func (s *server) reach(ctx context.Context, key *access.Key, ref grant.Ref) error {
	if !key.Limited() {
		return nil
	}
	if ref.ID != "" {
		c, err := s.c.Manager.Connection(ctx, ref)
		if err != nil {
			return err
		}
		ref = c.Ref()
	}
	if !key.Reaches(ref) {
		return errNotFound()
	}
	return nil
}

// ref returns the connection the path names, if it is within the key's reach.
func (s *server) ref(c *call) (grant.Ref, error) {
	ref, err := grant.ParseRef(c.r.PathValue("ref"))
	if err != nil {
		var f fields
		f.add("ref", "%s", err)
		return grant.Ref{}, f.err()
	}
	if err := s.reach(c.r.Context(), c.key, ref); err != nil {
		return grant.Ref{}, err
	}
	c.target = ref
	return ref, nil
}
