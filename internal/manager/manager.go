// Package manager is the engine assembled: it hands out tokens from a cache in
// front of the store, renews them through the refresh engine, and manages
// connections. The API, the pages and the dashboard are edges of it.
package manager

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/event"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/issue"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/refresh"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/spool"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/telemetry"
	"github.com/evergrant/evergrant/provider"
)

// Config is what a Manager is made of. Fields without a comment are required.
type Config struct {
	Store   store.Store
	Ring    *seal.Ring
	Spool   *spool.Spool
	Mirror  store.Mirror // a second copy of the newest tokens; nil for none
	Sender  *oauth.Sender
	Apps    provider.Apps
	Hub     *event.Hub
	Metrics *telemetry.Metrics
	Logger  *slog.Logger
	Now     func() time.Time // nil: time.Now
	// Exchange finishes a spooled code exchange at the start; it is the connect
	// service's Recover.
	Exchange func(ctx context.Context, e spool.Entry) error
	// CacheSize bounds how many connections' tokens are kept in memory; 0 means 20,000.
	CacheSize int
}

// Handout is a token on its way to a caller, with what the API tells beside it.
// It is shared between callers: nobody may change it.
type Handout struct {
	Token    evergrant.Token
	Key, App string
	State    grant.State
	IssuedAt time.Time // when the token was asked for
	// Until is when the engine may replace the token by itself: whoever keeps it asks
	// again then. Zero for one that is not to be kept.
	Until    time.Time
	Warnings []string

	memo sync.Once
	wire []byte
}

// Memo returns render(h), computed once: the edge's encoding of an answer that
// is handed out many times.
func (h *Handout) Memo(render func(*Handout) []byte) []byte {
	h.memo.Do(func() { h.wire = render(h) })
	return h.wire
}

// NewConnection is a connection to be made.
type NewConnection struct {
	Ref               grant.Ref // an address
	Name              string
	Tags              map[string]string
	RequiredLocations []string
	Tokens            *Adoption // nil: pending
}

// Adoption is a set of tokens that somebody else obtained.
type Adoption struct {
	AccessToken      secret.String
	RefreshToken     secret.String
	TokenType        string
	Scope            string
	ExpiresAt        time.Time // or
	ExpiresIn        time.Duration
	RefreshExpiresAt time.Time
	Variables        map[string]string
}

// Change is a change of a connection; nil fields stay as they are.
type Change struct {
	Name              *string
	Tags              map[string]string // replaces all tags if not nil
	RequiredLocations *[]string         // pointing to nil: back to "every location ever seen"
	// Seen is the UpdatedAt of the connection that the change was decided by: if it
	// is another by now, nothing is changed and the error is store.ErrStale. Zero:
	// whatever it is.
	Seen time.Time
}

// RefreshResult is what a demanded refresh of one grant came to.
type RefreshResult struct {
	GrantID    string
	Refreshed  bool
	Reason     grant.Reason  // the grant's, after; or why none was begun
	RetryAfter time.Duration // when to try again, if it was not refreshed
}

var _ evergrant.Source = (*Manager)(nil)

// Manager hands out tokens and manages connections. It is safe for concurrent
// use. Every error it returns is an *evergrant.Error.
type Manager struct {
	c      Config
	engine *refresh.Engine
	issuer *issue.Issuer
	cache  *cache
	forced forced
	// doubted remembers when the reach of each grant was last doubted.
	doubted forced
	reader  reader

	building, reading singleflight.Group
}

// New assembles a Manager. Nothing runs before Start.
func New(c Config) *Manager {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.CacheSize <= 0 {
		c.CacheSize = 20_000
	}
	if c.Mirror != nil {
		c.Store = c.Mirror.Wrap(c.Store)
	}
	m := &Manager{c: c}
	m.cache = newCache(c.CacheSize, m.cacheUntil)
	m.forced.last, m.doubted.last = make(map[string]time.Time), make(map[string]time.Time)
	m.engine = refresh.New(refresh.Config{
		Store: c.Store, Ring: c.Ring, Spool: c.Spool, Mirror: c.Mirror, Sender: c.Sender, Apps: c.Apps,
		Metrics: c.Metrics, Logger: c.Logger, Now: c.Now,
		Renewed:  m.cache.renew,
		Changed:  m.cache.changed,
		Incident: func(string) { m.cache.doubt() },
		Redone:   m.cache.doubt,
		Exchange: func(ctx context.Context, e spool.Entry) error { return c.Exchange(ctx, e) },
	})
	m.issuer = issue.New(issue.Config{
		Store: c.Store, Ring: c.Ring, Sender: c.Sender, Now: c.Now, Logger: c.Logger,
		Issued: func(g grant.Grant) {
			m.cache.issued(g)
			m.engine.Wake(g.App)
			m.readSoon(g.App)
		},
	})
	return m
}

// Start commits what an earlier process had received and begins renewing grants.
func (m *Manager) Start(ctx context.Context) error {
	if err := m.engine.Start(ctx); err != nil {
		failed := m.internal("start", "", err)
		var told *evergrant.Error
		if errors.As(failed, &told) {
			told.Message = err.Error() // for the operator, who has no log of it yet
		}
		return failed
	}
	m.startReading()
	return nil
}

// Stop admits no more refreshes and waits for those under way until ctx ends.
// Reads go on working until the store is closed.
func (m *Manager) Stop(ctx context.Context) error {
	m.stopReading()
	return m.engine.Stop(ctx)
}

// Issuer returns what turns token responses into grants.
func (m *Manager) Issuer() *issue.Issuer { return m.issuer }

// Ready reports what keeps the engine from working, by check; an error is nil
// where nothing does. A provider's outage is not among them.
func (m *Manager) Ready(ctx context.Context) map[string]error {
	checks := map[string]error{"store": m.c.Store.Check(ctx)}
	room, err := m.c.Spool.Reserve()
	if err == nil {
		room.Release()
	}
	checks["spool"] = err
	if m.c.Mirror != nil {
		checks["mirror"] = m.c.Mirror.Check()
	}
	return checks
}
