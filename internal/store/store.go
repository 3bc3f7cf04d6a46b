// Package store is what Evergrant keeps and what it demands of a database that
// keeps it. Package storetest proves an implementation against every sentence
// here; sqlite is the first one.
//
// What holds for every method:
//
//   - A method that returns nil has made its change durable: it survives the
//     loss of power. A method that returns an error has changed nothing, except
//     that a change interrupted by [ErrUnavailable] may or may not have been
//     made; each such method says how to find out.
//   - Errors are compared with errors.Is. [ErrNotFound], [ErrStale], [ErrExists]
//     and [ErrUnavailable] are the only ones callers act on.
//   - Methods are safe for concurrent use. A cancelled context makes a method
//     return early only while its change has not begun.
//   - Times are kept to the microsecond, in UTC. The zero time is kept as such.
//   - Attempts and due times are judged by the store's own clock, so that
//     processes whose clocks differ agree.
//   - Events given to a method are appended in the same transaction as its
//     change. The store numbers them in the order of commits; a reader that
//     passes the last id it saw misses none. What an event leaves empty of
//     Connection, Ref, App, Grant and Time is filled in from what was changed
//     and the store's clock.
//   - A grant that is gone is [ErrStale] to a method that names a version of it,
//     and [ErrNotFound] to the others.
//   - A function that is given to change something may be called more than once.
//     It must not use the store.
//   - Sealed bytes are kept as they are. The store never sees a token.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/grant"
)

// The errors callers act on.
var (
	// ErrNotFound: there is no such thing.
	ErrNotFound = errors.New("not found")
	// ErrStale: the version, attempt or state the change was made for is no
	// longer the current one.
	ErrStale = errors.New("stale")
	// ErrExists: the name is taken.
	ErrExists = errors.New("exists already")
	// ErrUnavailable: the database cannot be reached, written or trusted now.
	// Trying again later may work.
	ErrUnavailable = errors.New("store unavailable")
)

// Page asks for at most Limit items after Cursor. Limit must be between 1 and
// 1000. The zero cursor begins at the first item.
type Page struct {
	Limit  int
	Cursor string
}

// ConnectionFilter selects connections; zero fields select all.
type ConnectionFilter struct {
	App            string
	States         []grant.State
	ActBy          grant.Actor
	Query          string            // part of the key or the name, ignoring ASCII case
	Tags           map[string]string // all must be present with these values
	DeadlineBefore time.Time         // a live grant dies before this
	Apps           []string          // only these, nil for all; a limited key's view
	Keys           []string          // only these business keys, nil for all
	// Unhealthy are apps whose connected connections count as degraded for this
	// reason, because the app itself is refused or paused.
	Unhealthy map[string]grant.Reason
}

// Connections keeps connections, their grants and what the grants reach.
//
// A connection's status is [grant.Derive]d from its grants whenever one of them
// changes its own, in the same transaction. If Commit or Settle did it, the
// event that [grant.Transition] names is added; the events of consent and
// disconnection are their callers'.
type Connections interface {
	// CreateConnection adds a connection. ErrExists if its address is taken.
	CreateConnection(ctx context.Context, c grant.Connection, events ...grant.Event) error
	// CreateConnections adds many connections with what they come with, in one
	// transaction, as CreateConnection and Install would one after the other, and
	// returns for each whether it was added. One whose address is taken, by another
	// before it in the list too, is not, and nothing changes for who has it. An id
	// that is taken is ErrExists for all of them. At most [MaxArrivals] at once.
	CreateConnections(ctx context.Context, arrivals []Arrival) (added []bool, err error)
	// Connection returns the connection a ref names. ErrNotFound if there is none.
	Connection(ctx context.Context, ref grant.Ref) (grant.Connection, error)
	// ListConnections returns connections ordered by id, and the cursor of the
	// next page, "" after the last.
	ListConnections(ctx context.Context, f ConnectionFilter, p Page) ([]grant.Connection, string, error)
	// CountConnections counts connections by app, state and reason.
	CountConnections(ctx context.Context) ([]ConnectionCount, error)
	// UpdateConnection applies change to the connection in one transaction. Only
	// Name, Tags, RequiredLocations and Flags may be changed; other changes are
	// not kept. UpdatedAt becomes the store's time. An error of change is returned
	// as it is, and nothing is changed.
	UpdateConnection(ctx context.Context, id string, change func(*grant.Connection) error, events ...grant.Event) (grant.Connection, error)
	// DeleteConnection removes a connection with everything under it except its
	// events. Removing what is not there is ErrNotFound.
	DeleteConnection(ctx context.Context, id string, events ...grant.Event) error

	// Grants returns the grants of a connection, ordered by id; none is no error.
	Grants(ctx context.Context, connectionID string) ([]grant.Grant, error)
	// Grant returns one grant. ErrNotFound if there is none.
	Grant(ctx context.Context, id string) (grant.Grant, error)
	// LiveGrants returns the ids of the live grants of an app, in an order that does
	// not change, and the cursor of the next page, "" after the last. A page costs
	// what is on it and what is not live between.
	LiveGrants(ctx context.Context, app string, p Page) ([]string, string, error)
	// Credentials returns a grant and the sealed credentials of its current
	// version, read together; nil if they were removed.
	Credentials(ctx context.Context, grantID string) (grant.Grant, []byte, error)

	// Install makes freshly issued credentials current: of a new grant, or of an
	// existing one under a higher epoch. See [Installation].
	Install(ctx context.Context, in Installation) error
	// Disconnect ends a grant: its epoch rises, its open attempt is forgotten (a
	// late answer finds a stale version), its credentials are removed and it is
	// never due again. ErrStale if the grant is not at version from.
	Disconnect(ctx context.Context, grantID string, from grant.Version, reason grant.Reason, events ...grant.Event) error

	// Locations returns what the grants of a connection reach and, marked as lost,
	// what they reached before, ordered by location id and grant id.
	Locations(ctx context.Context, connectionID string) ([]grant.Location, error)
	// SetLocations replaces what a grant reaches. What it reached before and reaches
	// no more stays, lost as of the store's time; at most [MostLost] of it, and until
	// the grant is disconnected. Whether a given location says that it is lost does
	// not matter.
	SetLocations(ctx context.Context, grantID string, locations []grant.Location, events ...grant.Event) error
}

// ConnectionCount is how many connections of an app are in a state for a reason.
type ConnectionCount struct {
	App    string
	State  grant.State
	Reason grant.Reason
	Count  int
}

// MaxArrivals bounds how many connections are created in one transaction, and with
// it how long other changes wait for them.
const MaxArrivals = 1000

// Arrival is a connection that is to be added, and what it comes with.
type Arrival struct {
	// Connection is as for CreateConnection.
	Connection grant.Connection
	// Installation, if not nil, is of a grant that does not exist yet, for this
	// connection. It finishes no link and no authorization.
	Installation *Installation
}

// Installation is everything that becomes true at once when a user has approved
// or tokens are adopted.
type Installation struct {
	// Grant is complete: its Version is the one to install, its Status the
	// new one. If the grant exists, its epoch must be lower than the new one
	// (ErrStale otherwise), an open attempt is forgotten, and orphans and
	// credentials of older epochs are removed. If it does not exist, the
	// connection must.
	Grant  grant.Grant
	Sealed []byte
	// Locations replace what the grant reaches, as SetLocations does; nil leaves
	// them. If the grant becomes another person's, what it reached before keeps
	// whose it was.
	Locations []grant.Location
	// LinkID, if not "", becomes completed. ErrStale if it is completed or
	// revoked already.
	LinkID string
	// AuthorizationID, if not "", becomes finished without a problem. If it is
	// finished already, nothing is changed and ErrStale is returned.
	AuthorizationID string
	Events          []grant.Event
}

// Attempts is the refresh engine's store: due grants, open attempts, and the
// compare-and-set that makes new credentials current.
//
// A grant has at most one open attempt, by the database. DueAt is when the
// engine must look at a grant next: to refresh it, or, while an attempt is open,
// to settle that attempt.
type Attempts interface {
	// Replicas returns who shares the store: this process, whose owner is given, and
	// others. One that has died may be counted for some seconds more.
	Replicas(ctx context.Context, owner string) (Fleet, error)
	// Redone says that the owner has redone what the store may have lost when it
	// became this incarnation. Until every owner that lives has said so, Claim and
	// ClaimOne return ErrUnavailable, except to those who are redoing.
	Redone(ctx context.Context, owner, incarnation string) error
	// NextDue returns when the earliest grant of app is due, and false if none
	// ever is. It is answered from an index.
	NextDue(ctx context.Context, app string) (time.Time, bool, error)
	// Claim opens attempts on grants of app that are due, earliest first, at most
	// r.Limit, in one transaction. A due grant whose attempt is open is claimed
	// only if that attempt is Unknown or its owner is dead; the new attempt
	// replaces it and is a Resend. Grants that are not live are skipped.
	Claim(ctx context.Context, r ClaimRequest) ([]Claim, error)
	// ClaimOne is Claim for one grant, due or not. ErrStale if the grant is not at
	// version of, is not live, or has an open attempt that is not due or whose
	// owner lives and has not given up on it. One that was opened in the future,
	// before the clock was set back, counts as due.
	ClaimOne(ctx context.Context, r ClaimRequest, grantID string, of grant.Version) (Claim, error)
	// Commit makes the credentials of a renewal current, at the version after
	// r.Of, if the grant is at r.Of and r.AttemptID is its open attempt; the
	// attempt closes, the grant is connected and its failures and refusals are
	// forgotten. Committing the same attempt again, while what it brought is the
	// grant's current version or the one before, changes nothing and returns nil,
	// so after ErrUnavailable simply commit again. Otherwise ErrStale, and the
	// caller must Park the answer.
	Commit(ctx context.Context, r Renewal) error
	// Settle records what became of an attempt that brought no credentials.
	// ErrStale if it is no longer the open one.
	Settle(ctx context.Context, s Settlement) error

	// Park keeps a sealed answer that could not become current. Parking the same
	// attempt again changes nothing. ErrNotFound if the grant is gone: then there
	// is nothing the answer could be good for.
	Park(ctx context.Context, o Orphan) error
	// Orphans returns the parked answers of a grant's current epoch, newest first.
	Orphans(ctx context.Context, grantID string) ([]Orphan, error)
}

// Fleet is the processes that share a store.
type Fleet struct {
	Size int
	// Incarnation changes when the store may have gone back to an earlier state
	// while it was in use, as by a fail-over to a server that lagged behind. It is ""
	// for a store that cannot.
	Incarnation string
}

// ClaimRequest asks for attempts. The barrier says how long after opening an
// attempt, at the earliest, another process may take it over; it is where DueAt
// moves while the attempt is open.
type ClaimRequest struct {
	App string
	// Owner is this process's incarnation. A store serves one at a time: a claim
	// for another means that the one before is dead. Where processes share a
	// database, another's owner lives until its store is closed or has lost the
	// database for longer than it could take to come back; a store that cannot
	// prove that its own owner is seen to live claims nothing and returns
	// ErrUnavailable.
	Owner   string
	Limit   int
	Barrier grant.Barrier
	Redo    bool // for an answer that was received already; see Redone
}

// Claim is a grant as it is with the attempt just opened, and the sealed
// credentials of its current version.
type Claim struct {
	Grant  grant.Grant
	Sealed []byte
	// DueAt is when the grant was due before it was claimed.
	DueAt time.Time
	// Repeats is the attempt of unknown outcome that this one replaces; nil if it
	// is the first of its version.
	Repeats *grant.Attempt
}

// Renewal is a refresh's success.
type Renewal struct {
	GrantID   string
	AttemptID string
	Of        grant.Version // the version that was spent; the new one is Of.Next()
	Sealed    []byte
	Scope     string
	IssuedAt  time.Time
	Times     grant.Times
	// Events are the grant's; the connection's follow from its change of status
	// and are added by the store.
	Events []grant.Event
}

// Settlement is the end, or the suspension, of an attempt that brought nothing.
type Settlement struct {
	GrantID   string
	AttemptID string
	Of        grant.Version
	// Hold keeps the attempt open as Unknown; otherwise it closes.
	Hold bool
	// DueAt is when to look again; zero means never.
	DueAt     time.Time
	Status    grant.Status
	Failures  int
	Refusals  int
	RefusedAt time.Time
	Events    []grant.Event
}

// Orphan is a sealed answer that lost a race. It is tried before a grant is
// declared dead.
type Orphan struct {
	AttemptID string
	GrantID   string
	Of        grant.Version
	Sealed    []byte
	ParkedAt  time.Time
}

// Links keeps links and authorizations.
type Links interface {
	// CreateLink adds a link to a connection that exists. ErrExists if its id or
	// its token is taken.
	CreateLink(ctx context.Context, l grant.Link, events ...grant.Event) error
	// Link returns a link by its id, LinkByToken by the hash of the token in its URL.
	Link(ctx context.Context, id string) (grant.Link, error)
	LinkByToken(ctx context.Context, hash []byte) (grant.Link, error)
	// ListLinks returns links ordered by id, newest first; connectionID and state
	// may be "". Expired means unfinished and past its expiry at now.
	ListLinks(ctx context.Context, f LinkFilter, p Page) ([]grant.Link, string, error)
	// UpdateLink applies change to the link in one transaction. Only State and
	// Problem may be changed; a completed or revoked link is not changed at all
	// and is ErrStale. An error of change is returned as it is.
	UpdateLink(ctx context.Context, id string, change func(*grant.Link) error, events ...grant.Event) (grant.Link, error)

	// CreateAuthorization adds an authorization; its link moves to at_provider.
	// ErrStale if the link is completed or revoked.
	CreateAuthorization(ctx context.Context, a grant.Authorization, events ...grant.Event) error
	// UseAuthorization marks the authorization with this state as used and
	// returns it as it was before. Of any number of concurrent calls exactly one
	// sees UsedAt zero. ErrNotFound if there is none, and if browserHash is not
	// the authorization's: then nothing is used up.
	UseAuthorization(ctx context.Context, stateHash, browserHash []byte) (grant.Authorization, error)
	// Authorization returns one by id.
	Authorization(ctx context.Context, id string) (grant.Authorization, error)
	// FinishAuthorization records the problem an authorization ended with; its
	// link becomes failed with that problem, unless it is completed or revoked. If
	// the merchant declined, a pending connection says so. Finished ones are
	// ErrStale.
	FinishAuthorization(ctx context.Context, id string, p grant.Problem, events ...grant.Event) error
}

// LinkFilter selects links; zero fields select all.
type LinkFilter struct {
	ConnectionID string
	State        grant.LinkState // as StateAt(Now) tells it
	Now          time.Time
	Apps         []string // as in ConnectionFilter
	Keys         []string
}

// How long the log keeps its events. Refreshes are most of it and tell little
// once they are old.
const (
	KeepRefreshed = 7 * 24 * time.Hour // events of type grant.refreshed
	KeepEvents    = 400 * 24 * time.Hour
)

// Events keeps the log. Events older than KeepRefreshed or KeepEvents go by
// themselves, some time after newer ones are added.
type Events interface {
	// AppendEvents adds events that belong to no other change.
	AppendEvents(ctx context.Context, events ...grant.Event) error
	// ListEvents returns events after the cursor in the order of the log. With
	// f.NewestFirst it returns them in the reverse order, before the cursor. The
	// id of any event is a cursor.
	ListEvents(ctx context.Context, f EventFilter, p Page) ([]grant.Event, string, error)
	// LastEvent returns the id of the newest event, "" if there is none.
	LastEvent(ctx context.Context) (string, error)
}

// EventFilter selects events; zero fields select all.
type EventFilter struct {
	Types        []string // exact types, or prefixes ending in ".*"
	ConnectionID string
	NewestFirst  bool
	Apps         []string // as in ConnectionFilter
	Keys         []string
}

// Keys keeps API keys.
type Keys interface {
	// CreateKey adds a key. ErrExists if its id or its hash is taken.
	CreateKey(ctx context.Context, k access.Key) error
	// ListKeys returns every key, revoked ones too, oldest first.
	ListKeys(ctx context.Context) ([]access.Key, error)
	// RevokeKey ends a key; of a revoked one it changes nothing.
	RevokeKey(ctx context.Context, id string, at time.Time) error
	// TouchKeys records when keys were last used, by id. Ids it does not know and
	// times before the one it has are ignored.
	TouchKeys(ctx context.Context, lastUsed map[string]time.Time) error
}

// DataKeys keeps the wrapped keysets that seal everything else.
type DataKeys interface {
	// DataKey returns the wrapped data keyset and the id of the master key that
	// wraps it. ErrNotFound in a new store.
	DataKey(ctx context.Context) (masterID string, wrapped []byte, err error)
	// SetDataKey replaces it. previous is what DataKey returned, nil in a new
	// store; ErrStale if somebody else was first.
	SetDataKey(ctx context.Context, previous []byte, masterID string, wrapped []byte) error
}

// Apps keeps which apps are paused. A pause outlives the process.
type Apps interface {
	// PausedApps returns the paused apps by name.
	PausedApps(ctx context.Context) (map[string]Pause, error)
	// PauseApp pauses an app. Of a paused one it changes nothing and returns
	// ErrStale.
	PauseApp(ctx context.Context, app string, p Pause, events ...grant.Event) error
	// ResumeApp ends a pause. ErrStale if the app is not paused.
	ResumeApp(ctx context.Context, app string, events ...grant.Event) error
}

// Pause says why nothing is refreshed for an app until an operator resumes it.
type Pause struct {
	Cause grant.PauseCause
	Since time.Time
}

// Runs keeps which process used the store last, so that a store that was
// restored from a backup can be told from the one a spool belongs to. A store
// that many processes share keeps no runs.
type Runs interface {
	// LastRun returns the run that began last; the zero Run in a new store, and
	// always from one that many processes share.
	LastRun(ctx context.Context) (Run, error)
	// BeginRun records that a run begins.
	BeginRun(ctx context.Context, id string) error
	// EndRun records that the last run ended with nothing left undone. ErrStale
	// if id is not the last run's and the store keeps runs.
	EndRun(ctx context.Context, id string) error
}

// Run is one process's use of the store.
type Run struct {
	ID    string
	Ended bool // with nothing left undone; false while it runs and after a crash
}

// Store is all of it.
type Store interface {
	Connections
	Holdings
	Readings
	Deadlines
	Overview
	Attempts
	Links
	Events
	Webhooks
	Keys
	Logins
	DataKeys
	Apps
	Runs
	// Check proves that the store can be written now.
	Check(ctx context.Context) error
	// Close releases the store. Methods called after it return ErrUnavailable.
	Close() error
}
