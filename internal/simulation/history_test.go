package simulation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
)

const (
	recorded = 21 // connections at one site, each with a history
	callers  = 4  // of each connection
	calls    = 12 // of each caller
)

func TestConcurrentCallsSeeTokensThatOnlyBecomeNewer(t *testing.T) {
	t.Parallel()
	sites := number(t, "EVERGRANT_SIM", 0) * 100
	if sites == 0 {
		sites = 10
	}
	histories, done := 0, make(map[string]int) // by what was called and what came back
	for seed := range sites {
		for ref, history := range record(t, seed) {
			histories++
			for _, o := range history {
				done[o.Input.(call).what+" "+o.Output.(result).err]++
			}
			if result, info := porcupine.CheckOperationsVerbose(linear, history, 0); result != porcupine.Ok {
				var b strings.Builder
				for _, o := range history {
					fmt.Fprintf(&b, "\n%4d–%4d %s", o.Call, o.Return, linear.DescribeOperation(o.Input, o.Output))
				}
				t.Fatalf("seed %d: the history of %s is not linearizable; the longest part that is: %v%s", seed, ref, info.PartialLinearizations(), b.String())
			}
		}
	}
	t.Logf("%d histories: %v", histories, done)
	for _, must := range []string{"get ", "get reauthorize", "reject ", "refresh ", "reconnect ", "disconnect "} {
		if done[must] < histories/10 {
			t.Errorf("%q happened %d times in %d histories: too little to prove anything", must, done[must], histories)
		}
	}
}

// record has callers work on connections at the same time, while their tokens
// live for a minute, providers lose answers and the process is killed now and
// then, and returns what they saw.
func record(t *testing.T, seed uint64) (histories map[grant.Ref][]porcupine.Operation) {
	histories = make(map[grant.Ref][]porcupine.Operation)
	synctest.Test(t, func(t *testing.T) {
		j := newJudge(func(string) {})
		var vendors []*vendor
		for i, o := range []oracle.Options{ // none that a fault could cost a grant at
			{Rotation: oracle.Static},
			{Rotation: oracle.Lenient, Window: time.Hour},
			{Rotation: oracle.Grace, Window: time.Hour},
			{Rotation: oracle.RetireOnUse},
		} {
			o.AccessLife = time.Minute
			v := newVendor(t, fmt.Sprintf("app%d", i), i+1, o, func(p *grant.Policy) { p.MinInterval, p.SendTimeout = time.Second, 2*time.Second })
			defer v.close()
			v.SetFault(newSky(seed, v, j).fault)
			vendors = append(vendors, v)
		}
		disk := &storeWeather{dice: rand.New(rand.NewPCG(seed, 0))}
		s := newSite(t, vendors, func(st store.Store) store.Store { return slow{st, disk} })
		defer s.stop()
		var working sync.WaitGroup
		all := make([]*historian, recorded)
		for i := range all {
			v := vendors[i%len(vendors)]
			h := &historian{site: s, j: j, v: v, ref: grant.Ref{Key: fmt.Sprintf("biz%d", i), App: v.name}}
			all[i] = h
			h.reconnect(0)
			for client := range callers {
				dice := rand.New(rand.NewPCG(seed, uint64(i*callers+client)))
				working.Go(func() { h.work(client+1, dice) })
			}
		}
		over := make(chan struct{})
		go func() { working.Wait(); close(over) }()
		s.killUntil(over, rand.New(rand.NewPCG(seed, 1<<32)))
		for _, h := range all {
			histories[h.ref] = h.all
		}
	})
	return histories
}

// killUntil kills the process now and then.
func (s *site) killUntil(over chan struct{}, dice *rand.Rand) {
	for {
		select {
		case <-over:
			return
		case <-time.After(time.Duration(dice.Int64N(int64(20 * time.Second)))):
			s.current.Store(nil)
			s.kill()
			s.start()
		}
	}
}

// slow is a store whose commits take their time and are in doubt now and then.
type slow struct {
	store.Store
	w *storeWeather
}

func (s slow) Commit(ctx context.Context, r store.Renewal) error {
	time.Sleep(s.w.lag())
	if err := s.Store.Commit(ctx, r); err != nil {
		return err
	}
	return s.w.doubt()
}

// historian calls and writes down what came of it.
type historian struct {
	*site
	j   *judge
	v   *vendor
	ref grant.Ref

	clock    atomic.Int64
	consents atomic.Int64
	mu       sync.Mutex
	all      []porcupine.Operation
}

func (h *historian) work(client int, dice *rand.Rand) {
	for range calls {
		time.Sleep(time.Duration(dice.Int64N(int64(4 * time.Second))))
		switch p := dice.IntN(100); {
		case p < 55:
			h.do(client, call{what: "get"}, func(ctx context.Context, m *manager.Manager) (*manager.Handout, error) {
				return m.Handout(ctx, h.ref, evergrant.TokenOptions{})
			})
		case p < 75:
			h.reject(client)
		case p < 88:
			h.do(client, call{what: "refresh"}, func(ctx context.Context, m *manager.Manager) (*manager.Handout, error) {
				_, err := m.Refresh(ctx, h.ref)
				return nil, err
			})
		case p < 96:
			h.reconnect(client)
		default:
			h.do(client, call{what: "disconnect"}, func(ctx context.Context, m *manager.Manager) (*manager.Handout, error) {
				_, err := m.Disconnect(ctx, h.ref)
				return nil, err
			})
		}
	}
}

func (h *historian) reject(client int) {
	m := h.current.Load()
	if m == nil {
		return
	}
	got, err := m.Handout(h.t.Context(), h.ref, evergrant.TokenOptions{})
	if err != nil {
		return
	}
	h.do(client, call{"reject", h.j.age(got.Token.AccessToken)}, func(ctx context.Context, m *manager.Manager) (*manager.Handout, error) {
		return m.RejectHandout(ctx, h.ref, got.Token.Fingerprint)
	})
}

func (h *historian) reconnect(client int) {
	n := int(h.consents.Add(1))
	name := fmt.Sprintf("%s#%d", h.ref.Key, n)
	access, refresh := h.v.Issue(name)
	h.j.approves(name, access)
	h.do(client, call{"reconnect", age{n, 0}}, func(ctx context.Context, m *manager.Manager) (*manager.Handout, error) {
		_, _, err := m.Create(ctx, manager.NewConnection{Ref: h.ref, Tokens: &manager.Adoption{
			AccessToken: secret.New(access), RefreshToken: secret.New(refresh), ExpiresIn: time.Minute,
		}})
		return nil, err
	})
}

// do makes a call. Of one whose process has died meanwhile it is not known what
// came of it.
func (h *historian) do(client int, c call, f func(context.Context, *manager.Manager) (*manager.Handout, error)) {
	m := h.current.Load()
	if m == nil {
		return
	}
	from := h.clock.Add(1)
	got, err := f(h.t.Context(), m)
	to := h.clock.Add(1)
	var r result
	switch {
	case errors.Is(err, evergrant.ErrTemporary), h.current.Load() != m:
		r.err = "temporary"
	case errors.Is(err, evergrant.ErrReauthorize):
		r.err = "reauthorize"
	case err != nil:
		h.t.Errorf("%s: %v", c.what, err)
		r.err = "temporary"
	case got != nil:
		r.token, r.warned = h.j.age(got.Token.AccessToken), len(got.Warnings) > 0
		if r.token.consent == 0 {
			h.t.Errorf("%s: a token that nobody issued", c.what)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, porcupine.Operation{ClientId: client, Input: c, Call: from, Output: r, Return: to})
}
