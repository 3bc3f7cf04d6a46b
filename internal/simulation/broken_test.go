package simulation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/store"
)

// A judge that objects to nothing proves nothing. Each of these is an engine
// with a bug: the one that ships, with something at its edges that does what a
// broken mechanism would. The worlds are the small ones of which there are many.
func TestTheJudgeNoticesABrokenEngine(t *testing.T) {
	for name, v := range map[string]variant{
		"sends without an open attempt":               {wants: "I1", engine: func(s store.Store) store.Store { return unclaimed{s} }},
		"has a lease that ends instead of an attempt": {wants: "I2", engine: func(s store.Store) store.Store { return &leased{Store: s} }},
		"sends a request twice":                       {wants: "I3", front: twice},
		"does not read its journal":                   {wants: "I4", atKill: loseJournal},
		"lets an old consent's answer win":            {wants: "I5", db: anyEpoch},
		"hands out a token that has ended":            {wants: "I6", asking: forever()},
		"commits nothing":                             {wants: "I7", engine: func(s store.Store) store.Store { return uncommitted{s} }, instead: callersAsk},
		"hands out a token before it commits":         {wants: "I7", engine: func(s store.Store) store.Store { return later{s} }},
		"takes a server error for a refusal":          {wants: "I8", front: misread},
		"tells of a death twice":                      {wants: "I8", engine: func(s store.Store) store.Store { return loud{s} }},
		"has merchants approve for no reason":         {wants: "I8", asking: tired},
		"drops an answer":                             {wants: "I9", front: deaf},
		"sends more at once than it may":              {wants: "I11", limit: 1},
	} {
		t.Run(name, func(t *testing.T) {
			const most = 200
			var objections []string
			for seed := range uint64(most) {
				t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { objections = append(objections, objectionsTo(t, v, seed)...) })
				if slices.ContainsFunc(objections, func(s string) bool { return strings.HasPrefix(s, v.wants+": ") }) {
					t.Logf("noticed in world %d", seed)
					return
				}
			}
			t.Errorf("in %d small worlds the judge had no objection about %s, but: %q", most, v.wants, objections)
		})
	}
}

// objectionsTo has a broken engine run in a small world.
func objectionsTo(t *testing.T, v variant, seed uint64) (objections []string) {
	cryptotest.SetGlobalRandom(t, seed)
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		j := newJudge(func(s string) {
			mu.Lock()
			defer mu.Unlock()
			objections = append(objections, s)
		})
		w := newWorld(t, seed, tiny, v, j)
		defer time.Sleep(10 * time.Second) // until the last of what is late has happened
		defer w.close()
		w.live()
		if !j.objected(v.wants) {
			w.verdict()
		}
	})
	return objections
}

// unclaimed closes every attempt before anything is sent.
type unclaimed struct{ store.Store }

func (s unclaimed) Claim(ctx context.Context, r store.ClaimRequest) ([]store.Claim, error) {
	all, err := s.Store.Claim(ctx, r)
	for _, c := range all {
		_ = s.Settle(ctx, store.Settlement{GrantID: c.Grant.ID, AttemptID: c.Grant.Attempt.ID, Of: c.Grant.Version, DueAt: c.Grant.ExpiresAt, Status: c.Grant.Status})
	}
	return all, err
}

// leased lets an attempt be taken over a second after it was opened, whoever
// opened it.
type leased struct {
	store.Store
	n atomic.Int64
}

func (s *leased) Claim(ctx context.Context, r store.ClaimRequest) ([]store.Claim, error) {
	r.Owner, r.Barrier = r.Owner+strconv.FormatInt(s.n.Add(1), 10), grant.Barrier{Settle: time.Second}
	return s.Store.Claim(ctx, r)
}

// uncommitted says that it commits and does not.
type uncommitted struct{ store.Store }

func (uncommitted) Commit(context.Context, store.Renewal) error { return nil }

// callersAsk has nothing happen but calls during a request, because a world in
// which nothing is committed is a busy one.
func callersAsk(w *world) {
	if c := w.underway(); c != nil {
		w.interrupt(c, asks)
	}
}

// later commits a while after it says so.
type later struct{ store.Store }

func (s later) Commit(ctx context.Context, r store.Renewal) error {
	go func() {
		time.Sleep(3 * time.Second)
		_ = s.Store.Commit(ctx, r)
	}()
	return nil
}

// loud tells of every death once more.
type loud struct{ store.Store }

func (s loud) Settle(ctx context.Context, r store.Settlement) error {
	err := s.Store.Settle(ctx, r)
	if g, gerr := s.Grant(ctx, r.GrantID); err == nil && gerr == nil && r.Status.State == grant.NeedsReauthorization {
		err = s.AppendEvents(ctx, grant.Event{Type: grant.ConnectionNeedsReauthorization, Connection: g.ConnectionID, App: g.App, Reason: r.Status.Reason})
	}
	return err
}

// anyEpoch makes an answer current whatever has been approved meanwhile.
func anyEpoch(w *world, s store.Store) store.Store { return blind{s, w} }

type blind struct {
	store.Store
	w *world
}

func (s blind) Commit(ctx context.Context, r store.Renewal) error {
	err := s.Store.Commit(ctx, r)
	if !errors.Is(err, store.ErrStale) {
		return err
	}
	g, gerr := s.Grant(ctx, r.GrantID)
	if gerr != nil || !g.Status.State.Live() {
		return err
	}
	slot := seal.Slot{Table: seal.Credentials, Row: g.ID, Epoch: r.Of.Next().Epoch, Seq: r.Of.Next().Seq}
	plain, oerr := s.w.ring.Open(slot, r.Sealed)
	if oerr != nil {
		return oerr
	}
	g.Version = grant.Version{Epoch: g.Version.Epoch + 1}
	g.ExpiresAt, g.DueAt, g.IssuedAt, g.Attempt = r.Times.ExpiresAt, r.Times.DueAt, r.IssuedAt, nil
	sealed, serr := s.w.ring.Seal(seal.Slot{Table: seal.Credentials, Row: g.ID, Epoch: g.Version.Epoch}, plain)
	if serr != nil {
		return serr
	}
	return s.Install(ctx, store.Installation{Grant: g, Sealed: sealed})
}

// loseJournal takes the process's journal away when it dies.
func loseJournal(w *world) { _ = os.RemoveAll(filepath.Join(w.dir, "spool")) }

// twice sends every token request twice, as a client does that repeats what it
// got no answer to.
func twice(s *oracle.Server) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		func() {
			defer func() { _ = recover() }() // of an answer that is lost
			again := r.Clone(r.Context())
			again.Body = io.NopCloser(bytes.NewReader(body))
			s.ServeHTTP(httptest.NewRecorder(), again)
		}()
		r.Body = io.NopCloser(bytes.NewReader(body))
		s.ServeHTTP(w, r)
	})
}

// misread makes a refusal of every server error.
func misread(s *oracle.Server) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := httptest.NewRecorder()
		s.ServeHTTP(got, r)
		if got.Code >= 500 {
			got.Code, got.Body = http.StatusBadRequest, bytes.NewBufferString(`{"error":"invalid_grant"}`)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(got.Code)
		_, _ = w.Write(got.Body.Bytes())
	})
}

// deaf drops every third answer.
func deaf(s *oracle.Server) http.Handler {
	var n atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1)%3 > 0 {
			s.ServeHTTP(w, r)
			return
		}
		s.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	})
}

// forever remembers the first token it is given for a connection.
func forever() func(asking) asking {
	var known sync.Map
	return func(get asking) asking {
		return func(ctx context.Context, m *manager.Manager, ref grant.Ref) (*manager.Handout, error) {
			if h, ok := known.Load(ref); ok {
				return h.(*manager.Handout), nil
			}
			h, err := get(ctx, m, ref)
			if err == nil {
				known.Store(ref, h)
			}
			return h, err
		}
	}
}

// tired has every merchant approve again.
func tired(asking) asking {
	return func(context.Context, *manager.Manager, grant.Ref) (*manager.Handout, error) {
		return nil, evergrant.ErrReauthorize
	}
}
