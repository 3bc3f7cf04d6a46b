//go:build torture

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
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/manager"
)

// call is one operation on a connection, as its caller sees it.
type call struct {
	what string // get, reject, refresh, reconnect, disconnect
	of   age    // reject: the token; reconnect: the consent
}

// result is what came back.
type result struct {
	token  age
	warned bool
	err    string // "", "reauthorize" or "temporary"
}

// current is what the model knows of a connection.
type current struct {
	token     age
	connected bool
}

// linear is what a connection must be like, whoever calls: its current token
// never goes back, and whoever gets one gets none that is older than what
// somebody was given before. Tokens may become newer at any time.
var linear = porcupine.Model{
	Init: func() any { return current{} },
	Step: func(state, input, output any) (bool, any) {
		s, in, out := state.(current), input.(call), output.(result)
		switch {
		case out.err == "temporary":
			return true, s
		case out.err == "reauthorize":
			return !s.connected, s
		case in.what == "reconnect":
			return true, current{in.of, true}
		case in.what == "disconnect":
			s.connected = false
			return true, s
		case !s.connected:
			return false, s
		case in.what == "refresh":
			return true, s
		case out.token.consent != s.token.consent, out.token.before(s.token):
			return false, s
		case in.what == "reject" && out.token == in.of && !out.warned:
			return false, s
		}
		s.token = out.token
		return true, s
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v → %+v", input, output) },
	DescribeState:     func(state any) string { return fmt.Sprintf("%+v", state) },
}

func TestConcurrentCallsSeeTokensThatOnlyBecomeNewer(t *testing.T) {
	t.Parallel()
	for seed := range 20 * number(t, "EVERGRANT_SIM", 1) {
		history := record(t, seed)
		switch result, info := porcupine.CheckOperationsVerbose(linear, history, time.Minute); result {
		case porcupine.Ok:
		case porcupine.Unknown:
			t.Errorf("seed %d: the history is too long to be judged", seed)
		default:
			var b strings.Builder
			for _, o := range history {
				fmt.Fprintf(&b, "\n%4d–%4d %s", o.Call, o.Return, linear.DescribeOperation(o.Input, o.Output))
			}
			t.Errorf("seed %d: the history is not linearizable; the longest part that is: %v%s", seed, info.PartialLinearizations(), b.String())
			return
		}
	}
}

// What the model lets pass it cannot find.
func TestTheModelOfAConnectionKnowsRightFromWrong(t *testing.T) {
	t.Parallel()
	first, second, other := age{1, 0}, age{1, 1}, age{2, 0}
	connect := func(of age) porcupine.Operation {
		return porcupine.Operation{Input: call{"reconnect", of}, Output: result{}}
	}
	get := func(token age) porcupine.Operation {
		return porcupine.Operation{Input: call{what: "get"}, Output: result{token: token}}
	}
	reject := func(of, token age, warned bool) porcupine.Operation {
		return porcupine.Operation{Input: call{"reject", of}, Output: result{token: token, warned: warned}}
	}
	disconnect := porcupine.Operation{Input: call{what: "disconnect"}, Output: result{}}
	refused := porcupine.Operation{Input: call{what: "get"}, Output: result{err: "reauthorize"}}
	for _, tt := range []struct {
		name  string
		right bool
		calls []porcupine.Operation // one after the other
	}{
		{"a token becomes newer by itself", true, []porcupine.Operation{connect(first), get(first), get(second), get(second)}},
		{"a token becomes older", false, []porcupine.Operation{connect(first), get(second), get(first)}},
		{"a token of the consent before", false, []porcupine.Operation{connect(first), connect(other), get(second)}},
		{"a token after a disconnect", false, []porcupine.Operation{connect(first), disconnect, get(first)}},
		{"a token after a disconnect and a consent", true, []porcupine.Operation{connect(first), disconnect, refused, connect(other), get(other)}},
		{"a refusal while connected", false, []porcupine.Operation{connect(first), refused}},
		{"a rejected token handed out again", false, []porcupine.Operation{connect(first), reject(first, first, false)}},
		{"a rejected token handed out again with a warning", true, []porcupine.Operation{connect(first), reject(first, first, true)}},
	} {
		for i := range tt.calls {
			tt.calls[i].Call, tt.calls[i].Return = int64(2*i), int64(2*i+1)
		}
		if got := porcupine.CheckOperations(linear, tt.calls); got != tt.right {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.right)
		}
	}
}

// record has callers work on one connection at the same time, while its tokens
// live for a minute and the provider loses answers.
func record(t *testing.T, seed uint64) (history []porcupine.Operation) {
	synctest.Test(t, func(t *testing.T) {
		v := newVendor(t, "app", 1, oracle.Options{Rotation: oracle.Lenient, Window: time.Hour, AccessLife: time.Minute},
			func(p *grant.Policy) { p.MinInterval, p.SendTimeout = time.Second, 2*time.Second })
		defer v.close()
		j := newJudge(t)
		s := newSite(t, []*vendor{v}, func(st store.Store) store.Store { return st })
		defer s.stop()
		sky := &sky{seed: seed, v: v, j: j, sent: make(map[string]int), lied: make(map[string]bool)}
		v.SetFault(sky.fault)
		h := &historian{site: s, j: j, v: v, ref: grant.Ref{Key: "cafe", App: "app"}}
		h.reconnect(0)
		var callers sync.WaitGroup
		for i := range 6 {
			dice := rand.New(rand.NewPCG(seed, uint64(i)))
			callers.Go(func() { h.work(i+1, dice) })
		}
		callers.Wait()
		history = h.all
	})
	return history
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
	for range 25 {
		time.Sleep(time.Duration(dice.Int64N(int64(4 * time.Second))))
		switch p := dice.IntN(100); {
		case p < 55:
			h.do(client, call{what: "get"}, func(ctx context.Context) (*manager.Handout, error) {
				return h.Handout(ctx, h.ref, evergrant.TokenOptions{})
			})
		case p < 75:
			h.reject(client)
		case p < 88:
			h.do(client, call{what: "refresh"}, func(ctx context.Context) (*manager.Handout, error) {
				_, err := h.Refresh(ctx, h.ref)
				return nil, err
			})
		case p < 96:
			h.reconnect(client)
		default:
			h.do(client, call{what: "disconnect"}, func(ctx context.Context) (*manager.Handout, error) {
				_, err := h.Disconnect(ctx, h.ref)
				return nil, err
			})
		}
	}
}

func (h *historian) reject(client int) {
	got, err := h.Handout(h.t.Context(), h.ref, evergrant.TokenOptions{})
	if err != nil {
		return
	}
	h.do(client, call{"reject", h.j.age(got.Token.AccessToken)}, func(ctx context.Context) (*manager.Handout, error) {
		return h.RejectHandout(ctx, h.ref, got.Token.Fingerprint)
	})
}

func (h *historian) reconnect(client int) {
	n := int(h.consents.Add(1))
	name := fmt.Sprintf("cafe#%d", n)
	access, refresh := h.v.Issue(name)
	h.j.consented(name, "cafe", access, n)
	h.do(client, call{"reconnect", age{n, 0}}, func(ctx context.Context) (*manager.Handout, error) {
		_, _, err := h.Create(ctx, manager.NewConnection{Ref: h.ref, Tokens: &manager.Adoption{
			AccessToken: secret.New(access), RefreshToken: secret.New(refresh), ExpiresIn: time.Minute,
		}})
		return nil, err
	})
}

func (h *historian) do(client int, c call, f func(context.Context) (*manager.Handout, error)) {
	from := h.clock.Add(1)
	got, err := f(h.t.Context())
	to := h.clock.Add(1)
	var r result
	switch {
	case errors.Is(err, evergrant.ErrTemporary):
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
