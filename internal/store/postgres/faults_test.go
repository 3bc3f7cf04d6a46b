package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/pgtest"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
)

func TestACommitWhoseAnswerWasLostIsCommittedAgain(t *testing.T) {
	for _, alone := range []bool{false, true} {
		t.Run(fmt.Sprintf("status changes %t", alone), func(t *testing.T) {
			p, url := newProxy(t, server.Database(t))
			clock := newTestClock()
			s := openTest(t, url, Options{Now: clock.now})
			g := connected(t, s, "k", clock.now())
			if alone {
				g = approvedAgain(g)
				g.Status = grant.StatusOf(grant.Network, clock.now())
				if err := s.Install(t.Context(), store.Installation{Grant: g, Sealed: []byte("x")}); err != nil {
					t.Fatal(err)
				}
			}
			r := renewal(claims(t, s, "own_a", 1)[0], clock.now())
			mark, err := s.LastEvent(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			p.loseAnswer(r.AttemptID)
			if err := s.Commit(t.Context(), r); !errors.Is(err, store.ErrUnavailable) || p.answersLost() != 1 {
				t.Fatalf("error is %v after %d lost answers, want ErrUnavailable", err, p.answersLost())
			}
			for range 3 {
				eventually(t, func() error { return s.Commit(t.Context(), r) })
			}
			got, sealed, err := s.Credentials(t.Context(), g.ID)
			if err != nil || got.Version != g.Version.Next() || string(sealed) != string(r.Sealed) {
				t.Fatalf("version %v, %q, %v", got.Version, sealed, err)
			}
			events, _, err := s.ListEvents(t.Context(), store.EventFilter{Types: []string{"grant.*"}}, store.Page{Limit: 10, Cursor: mark})
			if err != nil || len(events) != 1 {
				t.Fatalf("%d events tell of one renewal, %v", len(events), err)
			}
		})
	}
}

// TestSessionsAreCutOffInTheMiddle renews grants while every session is cut off
// again and again: what was answered is there, and each renewal is made once.
func TestSessionsAreCutOffInTheMiddle(t *testing.T) {
	const grants, rounds, cuts = 8, 25, 10
	url := server.Database(t)
	s := openTest(t, url, Options{})
	all := make([]grant.Grant, grants)
	for i := range all {
		all[i] = connected(t, s, fmt.Sprint("k", i), time.Now())
	}
	steps := make(chan struct{}, grants*rounds)
	var workers sync.WaitGroup
	for _, g := range all {
		workers.Go(func() {
			for range rounds {
				if err := renewOnce(t.Context(), s, g.ID); err != nil {
					t.Error(err)
					return
				}
				steps <- struct{}{}
			}
		})
	}
	for range cuts { // spread over the work, by how far it is
		for range grants * rounds / (cuts + 1) {
			<-steps
		}
		run(t, url, terminateAll)
	}
	workers.Wait()
	for _, g := range all {
		eventually(t, func() error {
			got, err := s.Grant(t.Context(), g.ID)
			if err == nil && got.Version.Seq != rounds {
				t.Errorf("%s is at %d after %d renewals", g.ID, got.Version.Seq, rounds)
			}
			return err
		})
	}
	events, _, err := s.ListEvents(t.Context(), store.EventFilter{Types: []string{string(grant.GrantRefreshed)}}, store.Page{Limit: 1000})
	if err != nil || len(events) != grants*rounds {
		t.Errorf("%d events tell of %d renewals, %v", len(events), grants*rounds, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	checkDatabase(t, url)
}

// renewOnce claims and renews a grant, trying again as the engine does.
func renewOnce(ctx context.Context, s *Store, id string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		g, err := s.Grant(ctx, id)
		if err == nil {
			var c store.Claim
			if c, err = s.ClaimOne(ctx, request("own_a"), id, g.Version); err == nil {
				r := renewal(c, time.Now())
				for err = s.Commit(ctx, r); errors.Is(err, store.ErrUnavailable) && ctx.Err() == nil; {
					err = s.Commit(ctx, r)
				}
				return err
			}
		}
		if ctx.Err() != nil || !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrStale) {
			return err
		}
	}
}

// TestTheServerGoesAwayAndComesBack ends the server in every way.
func TestTheServerGoesAwayAndComesBack(t *testing.T) {
	c := ownCluster(t)
	clock := newTestClock()
	published := make(chan grant.Event, 100)
	s := openTest(t, c.Database(t), Options{Now: clock.now, Published: func(events []grant.Event, _ bool) {
		for _, e := range events {
			published <- e
		}
	}})
	g := connected(t, s, "k", clock.now())
	for i, end := range []func() error{c.Stop, c.Kill} {
		r := renewal(claims(t, s, "own_a", 1)[0], clock.now())
		if err := end(); err != nil {
			t.Fatal(err)
		}
		for name, call := range map[string]func() error{
			"Commit": func() error { return s.Commit(t.Context(), r) },
			"Claim":  func() error { _, err := s.Claim(t.Context(), request("own_a")); return err },
			"Grant":  func() error { _, err := s.Grant(t.Context(), g.ID); return err },
			"Check":  func() error { return s.Check(t.Context()) },
		} {
			if err := call(); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s: error is %v, want ErrUnavailable", name, err)
			}
		}
		if err := c.Run(); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error { return s.Commit(t.Context(), r) })
		eventually(t, func() error { return s.Check(t.Context()) })
		if got, err := s.Grant(t.Context(), g.ID); err != nil || got.Version.Seq != int64(i+1) {
			t.Fatalf("version %v, %v", got.Version, err)
		}
		select {
		case e := <-published:
			if e.Data["attempt"] != r.AttemptID {
				t.Fatalf("published is %+v", e)
			}
		case <-time.After(patience):
			t.Fatal("the renewal is not published")
		}
		eventually(t, func() error {
			got, err := s.Claim(t.Context(), store.ClaimRequest{App: "none", Owner: "own_a", Limit: 1})
			if len(got) > 0 {
				t.Fatal("a grant of no app")
			}
			return err
		})
	}
}

func TestAServerThatTurnsReadOnlyIsUnavailableForChanges(t *testing.T) {
	c := ownCluster(t)
	url := c.Database(t)
	clock := newTestClock()
	s := openTest(t, url, Options{Now: clock.now})
	g := connected(t, s, "k", clock.now())
	r := renewal(claims(t, s, "own_a", 1)[0], clock.now())
	readOnly := func(on bool) {
		t.Helper()
		run(t, url+"&default_transaction_read_only=off", fmt.Sprintf("ALTER SYSTEM SET default_transaction_read_only = %t", on))
		if err := c.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error { // until a session has read it
			if err := s.Check(t.Context()); (err != nil) != on {
				return fmt.Errorf("read-only is %t: %w", on, err)
			}
			return nil
		})
	}
	readOnly(true)
	for name, call := range map[string]func() error{
		"Commit":   func() error { return s.Commit(t.Context(), r) },
		"ClaimOne": func() error { _, err := s.ClaimOne(t.Context(), request("own_b"), g.ID, g.Version); return err },
		"Check":    func() error { return s.Check(t.Context()) },
	} {
		if err := call(); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: error is %v, want ErrUnavailable", name, err)
		}
	}
	if _, err := s.Grant(t.Context(), g.ID); err != nil {
		t.Errorf("a read fails: %v", err)
	}
	refuses(t, Options{URL: secret.New(url), AllowLoss: true}, "default_transaction_read_only")
	readOnly(false)
	eventually(t, func() error { return s.Commit(t.Context(), r) })
}

// ownCluster is a server for a test that breaks it.
func ownCluster(t *testing.T) *pgtest.Cluster {
	t.Helper()
	c, err := pgtest.Start(pgtest.Options{Settings: []string{"shared_buffers=16MB"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Remove)
	return c
}

// refuses ends the test unless a database is refused for a reason that its
// operator can read.
func refuses(t *testing.T, o Options, why string) {
	t.Helper()
	s, err := Open(context.Background(), o)
	if err == nil {
		s.Close()
		t.Fatalf("opened; want an error with %q", why)
	}
	if !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "\n") {
		t.Fatalf("error is %q, want one line with %q", err, why)
	}
}
