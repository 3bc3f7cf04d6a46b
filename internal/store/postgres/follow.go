package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/evergrant/evergrant/internal/grant"
)

// poll is how often the log is read without a notification, and how long a lost
// connection is waited for.
const poll = time.Second

// followPage is how many events are passed on at once.
const followPage = 1000

// follower passes on what any process appends to the log.
type follower struct {
	s    *Store
	last int64 // the number of the last event that was passed on
	lost bool  // that the connection is, has been told
}

// newFollower begins at the end of the log.
func newFollower(ctx context.Context, s *Store) (*follower, error) {
	f := &follower{s: s}
	err := s.get(ctx, `SELECT last FROM event_log`, nil, &f.last)
	return f, err
}

// loop runs until the store closes.
func (f *follower) loop() {
	ctx := f.s.life
	for ctx.Err() == nil {
		err := f.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if !f.lost {
			f.lost = true
			f.s.o.Logger.Error("the log cannot be followed; trying again", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(poll):
		}
	}
}

// follow follows the log on one connection until that fails.
func (f *follower) follow(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, f.s.config)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), reconnect)
		defer cancel()
		_ = conn.Close(closing)
	}()
	if err := f.listen(ctx, conn); err != nil {
		return err
	}
	if f.lost {
		f.lost = false
		f.s.o.Logger.Info("the log is followed again")
	}
	f.changed("") // nobody listened until now
	for {
		if err := f.catchUp(ctx, conn); err != nil {
			return err
		}
		if err := f.wait(ctx, conn); err != nil {
			return err
		}
	}
}

// listen asks for notifications. The network may end at any moment without a
// word, so it waits for answers no longer than anybody else.
func (f *follower) listen(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, f.s.o.Timeout)
	defer cancel()
	if _, err := conn.Exec(ctx, `LISTEN `+channel); err != nil {
		return err
	}
	var last int64
	if err := conn.QueryRow(ctx, `SELECT last FROM event_log`).Scan(&last); err != nil {
		return err
	}
	f.last = min(f.last, last) // the database may have gone back
	return nil
}

// wait waits until the log may have grown, and passes on what changed without an
// event.
func (f *follower) wait(ctx context.Context, conn *pgx.Conn) error {
	bounded, cancel := context.WithTimeout(ctx, poll)
	defer cancel()
	for {
		n, err := conn.WaitForNotification(bounded)
		switch {
		case pgconn.Timeout(err) && ctx.Err() == nil:
			return nil
		case err != nil:
			return err
		case n.Payload == "":
			return nil
		}
		f.changed(n.Payload)
	}
}

// followQuery reads what is after $1, and of what other processes than $3 have
// renewed no more than whose it is.
const followQuery = `SELECT n, type, time, connection, grant_id, app, ref, reason,
		CASE WHEN type <> '` + string(grant.GrantRefreshed) + `' OR origin = $3 THEN data END, coalesce(origin = $3, false)
	FROM events WHERE n > $1 ORDER BY n LIMIT $2`

// stretch is events that follow each other in the log, all of them this process's
// own or none.
type stretch struct {
	events []grant.Event
	own    bool
}

// catchUp passes on the events after the last.
func (f *follower) catchUp(ctx context.Context, conn *pgx.Conn) error {
	for {
		var stretches []stretch
		read := 0
		bounded, cancel := context.WithTimeout(ctx, f.s.o.Timeout)
		last := f.last
		err := eachRow(conn.Query(bounded, followQuery, f.last, followPage, f.s.origin))(func(row scanner) error {
			var own bool
			n, e, err := scanEvent(row, &own)
			if k := len(stretches); k == 0 || stretches[k-1].own != own {
				stretches = append(stretches, stretch{own: own})
			}
			latest := &stretches[len(stretches)-1]
			latest.events = append(latest.events, e)
			last, read = n, read+1
			return err
		})
		cancel()
		if err != nil {
			return err
		}
		f.last = last
		if f.s.o.Published != nil {
			for _, s := range stretches {
				f.s.o.Published(s.events, s.own)
			}
		}
		if read < followPage {
			return nil
		}
	}
}

func (f *follower) changed(connectionID string) {
	if f.s.o.Changed != nil {
		f.s.o.Changed(connectionID)
	}
}
