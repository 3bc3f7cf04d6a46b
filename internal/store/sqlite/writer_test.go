package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// appendOne is a change that succeeds.
func appendOne(t *tx) error { return t.emit(subject{}, grant.Event{Type: grant.EventAppAccepted}) }

// asGroup makes changes in one group, in their order, and returns their errors.
// It must be called in a bubble.
func asGroup(s *Store, runs ...func(*tx) error) []error {
	var all sync.WaitGroup
	release := make(chan struct{})
	all.Go(func() { _ = s.w.do(context.Background(), func(*tx) error { <-release; return nil }) })
	synctest.Wait()
	errs := make([]error, len(runs))
	for i, run := range runs {
		all.Go(func() { errs[i] = s.w.do(context.Background(), run) })
		synctest.Wait() // until it waits behind those before it
	}
	close(release)
	all.Wait()
	return errs
}

func TestChangesAskedForAtOnceShareATransactionOnOneCore(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	transactions := 0
	s := openTemp(t, func(o *Options) { o.Published = func([]grant.Event) { transactions++ } })
	const rounds = 20
	for range rounds {
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if err := s.w.do(t.Context(), appendOne); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	// The scheduler may run the writer out of turn, but rarely.
	if transactions >= 2*rounds {
		t.Errorf("%d transactions for %d times ten changes", transactions, rounds)
	}
}

func TestOnlyTheGuiltyOfAGroupFails(t *testing.T) {
	mine := errors.New("mine")
	for name, guilty := range map[string]func(*tx) error{
		"an error before it wrote": func(*tx) error { return mine },
		"an error after it wrote": func(t *tx) error {
			return errors.Join(appendOne(t), mine)
		},
		"a panic before it wrote": func(*tx) error { panic(mine) },
		"a panic after it wrote": func(t *tx) error {
			if err := appendOne(t); err != nil {
				return err
			}
			panic(mine)
		},
		"a constraint": func(t *tx) error {
			_, err := t.exec(`INSERT INTO heartbeat (n, at) VALUES (2, 0)`)
			return err
		},
		"a statement that does not compile": func(t *tx) error {
			_, err := t.exec(`INSERT INTO nowhere VALUES (1)`)
			return err
		},
		"a read that does not compile": func(t *tx) error {
			var n int
			return t.get(`SELECT n FROM nowhere`, nil, &n)
		},
		"a transaction that ended under it": func(t *tx) error {
			if _, err := t.w.exec("ROLLBACK"); err != nil {
				return err
			}
			t.broken = true
			return mine
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var published int
				s := openTemp(t, func(o *Options) { o.Published = func(e []grant.Event) { published += len(e) } })
				errs := asGroup(s, appendOne, guilty, appendOne)
				if errs[0] != nil || errs[1] == nil || errs[2] != nil {
					t.Errorf("errors are %v, want one in the middle", errs)
				}
				if n := count(t, s, `SELECT count(*) FROM events`); n != 2 {
					t.Errorf("the log has %d events, want those of the innocent", n)
				}
				if err := s.Check(t.Context()); err != nil {
					t.Errorf("afterwards: %v", err)
				}
				if published != 2 {
					t.Errorf("%d events were published", published)
				}
			})
		})
	}
}

func TestAFailedCommitIsUnavailableToAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openTemp(t)
		domain := errors.New("mine")
		errs := asGroup(s, appendOne, func(*tx) error { return domain }, func(t *tx) error {
			// A foreign key that is checked when the transaction commits.
			if _, err := t.exec(`PRAGMA defer_foreign_keys = ON`); err != nil {
				return err
			}
			_, err := t.exec(`INSERT INTO consents (grant_n, identity, scope, consent_at) VALUES (999, '{}', '', 0)`)
			return err
		})
		if !errors.Is(errs[0], store.ErrUnavailable) || errs[1] != domain || !errors.Is(errs[2], store.ErrUnavailable) {
			t.Errorf("errors are %v", errs)
		}
		if n := count(t, s, `SELECT count(*) FROM events`); n != 0 {
			t.Errorf("the log has %d events", n)
		}
		if err := s.Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestAFullDiskIsUnavailableAndHeals(t *testing.T) {
	s := openTemp(t)
	limit := func(pages int) {
		t.Helper()
		err := s.w.do(t.Context(), func(t *tx) error {
			var n int
			return t.get(fmt.Sprintf(`PRAGMA max_page_count = %d`, pages), nil, &n)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	g := oneGrant(t, s, "a")
	limit(1) // as many as there are
	big := make([]byte, 1<<20)
	err := s.Park(t.Context(), store.Orphan{AttemptID: "att_1", GrantID: g.ID, Of: g.Version, Sealed: big})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("error is %v, want ErrUnavailable", err)
	}
	if _, err := s.Grant(t.Context(), g.ID); err != nil {
		t.Errorf("reading: %v", err)
	}
	limit(1 << 30)
	if err := s.Park(t.Context(), store.Orphan{AttemptID: "att_1", GrantID: g.ID, Of: g.Version, Sealed: big}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestEventsArePublishedInTheOrderOfTheLogBeforeTheirMethodReturns(t *testing.T) {
	var mu sync.Mutex
	var got []string
	has := map[grant.Reason]bool{}
	s := openTemp(t, func(o *Options) {
		o.Published = func(events []grant.Event) {
			mu.Lock()
			defer mu.Unlock()
			for _, e := range events {
				got = append(got, e.ID)
				has[e.Reason] = true
			}
		}
	})
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			name := grant.Reason(fmt.Sprint(i))
			if err := s.AppendEvents(context.Background(), grant.Event{Type: grant.EventAppAccepted, Reason: name}); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if !has[name] {
				t.Errorf("%s was not published when its method returned", name)
			}
		})
	}
	all.Wait()
	events, _, err := s.ListEvents(t.Context(), store.EventFilter{}, store.Page{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, e := range events {
		want = append(want, e.ID)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestCancellationEndsTheWaitButNotTheChange(t *testing.T) {
	s := openTemp(t)
	release, begun := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	slow := make(chan error, 1)
	go func() {
		slow <- s.w.do(ctx, func(t *tx) error {
			close(begun)
			<-release
			return appendOne(t)
		})
	}()
	<-begun
	waiting := make(chan error, 1)
	go func() { waiting <- s.AppendEvents(ctx, grant.Event{Type: grant.EventAppAccepted}) }()
	cancel()
	if err := <-waiting; !errors.Is(err, context.Canceled) {
		t.Errorf("the waiting change got %v", err)
	}
	close(release)
	if err := <-slow; err != nil {
		t.Errorf("the change that had begun got %v", err)
	}
	if n := count(t, s, `SELECT count(*) FROM events`); n != 1 {
		t.Errorf("the log has %d events, want that of the change that had begun", n)
	}
}

func TestCloseFinishesWhatHasBegun(t *testing.T) {
	s := openTemp(t)
	var all sync.WaitGroup
	started := make(chan struct{}, 50)
	var mu sync.Mutex
	done := 0
	for range 50 {
		all.Go(func() {
			for {
				err := s.Check(context.Background())
				if errors.Is(err, store.ErrUnavailable) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				done++
				mu.Unlock()
				select {
				case started <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 50 {
		<-started
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	all.Wait()
	if done < 50 {
		t.Errorf("%d changes were made", done)
	}
}

func TestTheStoreWorksInABubble(t *testing.T) {
	path := t.TempDir() + "/evergrant.db"
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(t.Context(), Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		g := oneGrant(t, s, "a")
		opened := time.Now()
		for range 24 {
			time.Sleep(time.Hour)
			var all sync.WaitGroup
			for range 10 {
				all.Go(func() {
					if _, _, err := s.Credentials(t.Context(), g.ID); err != nil {
						t.Error(err)
					}
					if err := s.Check(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			renew(t, s, g.ID)
		}
		if d := time.Since(opened); d != 24*time.Hour {
			t.Errorf("%v passed", d)
		}
		got, err := s.Grant(t.Context(), g.ID)
		if err != nil || got.Version.Seq != 24 {
			t.Errorf("version %v, %v", got.Version, err)
		}
	})
}
