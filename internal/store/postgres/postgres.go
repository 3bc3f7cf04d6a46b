package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
)

// Options say where the database is and how to use it.
type Options struct {
	// URL is a connection string, as a URL or as keywords. It must lead to the
	// server that takes writes, without a transaction pooler.
	URL secret.String
	// Now is the store's clock; nil means the database's, which all processes
	// agree on.
	Now func() time.Time
	// Published, if not nil, is called with the events of every process after they
	// are durable: in the order of the log, each once, never twice at once, from
	// the end that the log had when the store was opened. own tells whether this
	// store made them; what others made of grant.GrantRefreshed comes without Data,
	// because it is most of the log and nobody here looks at it. A method that made
	// an event may return before it is called. It must not block and must not use
	// the store.
	Published func(events []grant.Event, own bool)
	// Changed, if not nil, is called with the id of a connection that has changed
	// without an event, in this process or another: itself, its grants, their
	// credentials or their locations. What was read before and is cached is out of
	// date then. An empty id says that calls may have been missed while the database could not be
	// reached, so that everything cached should be read again when it is asked
	// for; until the database answers, what is cached is the best there is. The
	// rules of Published hold.
	Changed func(connectionID string)
	// Conns is how many sessions run changes and reads at once; 0 means 10. Two
	// more are used for the owner of attempts and for following the log.
	Conns int
	// Timeout bounds one change, and one read whose context does not; 0 means 5 s.
	Timeout time.Duration
	// AllowLoss accepts a server that answers before a commit is safe:
	// synchronous_commit or fsync off. A crash may then lose grants.
	AllowLoss bool
	// Logger is told when following the log or holding the owner's lock fails; nil
	// means nobody is.
	Logger *slog.Logger
}

const (
	defaultConns   = 10
	defaultTimeout = 5 * time.Second
)

// Store is a [store.Store] in a PostgreSQL database.
type Store struct {
	o       Options
	pool    *pgxpool.Pool
	config  *pgx.ConnConfig // of a session outside the pool
	origin  int32           // of the events that it makes
	commits *commits
	session *session
	trimmer trimmer

	life      context.Context // ends with Close
	end       context.CancelFunc
	work      sync.WaitGroup
	closed    atomic.Bool
	closeOnce sync.Once
	closeErr  error
}

var _ store.Store = (*Store)(nil)

// Open connects to the database and migrates it as needed; several processes may
// do so at once. It refuses a session that cannot write or whose commits may be
// lost. It reads nothing that grows with the number of connections. The error is
// one line for the operator: what is wrong, with which database, and what to do.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.URL.IsZero() {
		return nil, errors.New("cannot open database: no connection string given; set storage.postgres")
	}
	config, err := configure(&o)
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, config, o)
	if err != nil {
		return nil, openError(config.ConnConfig, err)
	}
	return s, nil
}

func open(ctx context.Context, config *pgxpool.Config, o Options) (_ *Store, err error) {
	if err := checkSession(ctx, config.ConnConfig, o.AllowLoss); err != nil {
		return nil, err
	}
	if err := migrate(ctx, config.ConnConfig); err != nil {
		return nil, err
	}
	if err := refuseUnfinished(ctx, config.ConnConfig); err != nil {
		return nil, err
	}
	s := &Store{o: o, config: config.ConnConfig, origin: rand.Int32()}
	s.trimmer = newTrimmer()
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, err
	}
	s.life, s.end = context.WithCancel(context.WithoutCancel(ctx))
	s.commits = newCommits(s)
	s.session = newSession(s)
	follower, err := newFollower(ctx, s)
	if err != nil {
		s.end()
		s.pool.Close()
		return nil, err
	}
	s.work.Go(s.commits.loop)
	s.work.Go(s.session.loop)
	if o.Published != nil || o.Changed != nil {
		s.work.Go(follower.loop)
	}
	return s, nil
}

// Check proves that the store can be written now.
func (s *Store) Check(ctx context.Context) error {
	return s.change(ctx, func(t *tx) error {
		t.write(`INSERT INTO heartbeat (n, at) VALUES (1, $1) ON CONFLICT (n) DO UPDATE SET at = excluded.at`, stamp(t.now))
		return nil
	})
}

// Close finishes the changes that have begun and says goodbye for the owner of
// this process's attempts. Closing again returns the same.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.closed.Store(true)
		s.end()
		s.work.Wait()
		s.trimmer.wait()
		s.closeErr = s.session.close()
		s.pool.Close()
	})
	return s.closeErr
}

// begins reports why a method may not begin.
func (s *Store) begins(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.closed.Load() {
		return errClosed
	}
	return nil
}

// detached is a context for work that has begun: it does not end with its
// caller's, only with the store's patience.
func (s *Store) detached() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), s.o.Timeout)
}

// clock is the store's time as a parameter: NULL for the database's own, which
// statements read then.
func (s *Store) clock() any {
	if s.o.Now == nil {
		return nil
	}
	return stamp(s.o.Now())
}

// openError says what to do about a database that cannot be opened. It names the
// server and never the password.
func openError(c *pgx.ConnConfig, err error) error {
	next := "check that the server runs and that storage.postgres names it"
	var refused *refusedError
	switch code := sqlState(err); {
	case errors.As(err, &refused):
		next = refused.next
	case code == "28P01", code == "28000":
		next = "check the user and the password in storage.postgres"
	case code == "3D000":
		next = fmt.Sprintf("create it: CREATE DATABASE %s", c.Database)
	case code == "42501":
		next = fmt.Sprintf("give its user the right to create tables: GRANT CREATE ON DATABASE %s TO %s", c.Database, c.User)
	case code == "53300":
		next = "raise the server's max_connections"
	case code != "":
		next = "see what the server's log says"
	}
	return fmt.Errorf("cannot open database %s on %s: %w; %s", c.Database, c.Host, oneLine{err}, next)
}

// oneLine writes an error of the driver, which has a line for every address it
// tried, on one.
type oneLine struct{ err error }

func (e oneLine) Error() string { return strings.Join(strings.Fields(e.err.Error()), " ") }
func (e oneLine) Unwrap() error { return e.err }
