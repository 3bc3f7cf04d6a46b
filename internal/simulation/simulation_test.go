package simulation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
)

// world is one run.
type world struct {
	*site
	tier
	t       *testing.T
	v       variant
	dice    *rand.Rand // the schedule's; readers have their own
	j       *judge
	disk    *storeWeather
	vendors []*vendor
	skies   []*sky
	all     []*customer
	byKey   map[string]*customer
	began   time.Time
	turn    int // of the interruptions
	got     figures

	stopped chan struct{}
	reading sync.WaitGroup
}

// customer is one connection. The schedule is the only one to change it.
type customer struct {
	ref     grant.Ref
	id      string
	v       *vendor
	asked   int // how often it was asked to approve
	consent int // the newest of them that was taken in; 0 is none
	off     bool
}

// name is the provider's name for the n-th consent.
func (c *customer) name(n int) string { return c.ref.Key + "#" + strconv.Itoa(n) }

// dead reports whether the provider has ended any of the customer's grants.
func (c *customer) dead() bool {
	for n := range c.asked {
		if _, dead := c.v.Dead(c.name(n + 1)); dead {
			return true
		}
	}
	return false
}

// mostLag bounds how long requests are on their way.
const mostLag = 400 * time.Millisecond

// lag is how long requests are on their way.
func lag(dice *rand.Rand) func() time.Duration {
	var mu sync.Mutex
	return func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(dice.Int64N(int64(mostLag)))
	}
}

func newWorld(t *testing.T, seed uint64, size tier, v variant, j *judge) *world {
	w := &world{
		t: t, tier: size, v: v, turn: int(seed % interruptions), dice: rand.New(rand.NewPCG(seed, 1)), j: j, began: time.Now(),
		disk: &storeWeather{dice: rand.New(rand.NewPCG(seed, 2))}, byKey: make(map[string]*customer), stopped: make(chan struct{}),
	}
	for i, b := range behaviours(seed, size) {
		v := newVendor(t, fmt.Sprintf("app%d", i), i+1, b.Options, b.policies...)
		if w.v.front != nil {
			v.front = w.v.front(v.Server)
		}
		v.limit = cmp.Or(w.v.limit, v.limit)
		s := newSky(seed, v, j)
		v.SetFault(func(send oracle.Send) oracle.Fault {
			j.sent(v, send)
			return s.fault(send)
		})
		v.lag = lag(rand.New(rand.NewPCG(seed, uint64(3+i))))
		w.vendors, w.skies = append(w.vendors, v), append(w.skies, s)
	}
	w.site = newSite(t, w.vendors, w.between)
	w.onKill = func() { w.v.onKill(w) }
	for i := range size.fleet {
		v := w.vendors[i%len(w.vendors)]
		c := &customer{ref: grant.Ref{Key: fmt.Sprintf("biz%d", i), App: v.name}, v: v}
		w.all = append(w.all, c)
		w.byKey[c.ref.Key] = c
		w.connect(c)
	}
	return w
}

// between is what stands between a new process and its store.
func (w *world) between(s store.Store) store.Store {
	w.j.begins()
	s = &watched{w.v.below(w, s), w.j, w.disk}
	return w.v.above(s)
}

func (w *world) close() {
	w.stop()
	for _, v := range w.vendors {
		v.close()
	}
}

// connect has the merchant approve, again if need be.
func (w *world) connect(c *customer) {
	c.asked++
	n := c.asked
	access, refresh := c.v.Issue(c.name(n))
	w.j.approves(c.name(n), access)
	conn, _, err := w.Create(w.t.Context(), manager.NewConnection{Ref: c.ref, Tokens: &manager.Adoption{
		// Some tokens are old when they come, so that not all are due together.
		AccessToken: secret.New(access), RefreshToken: secret.New(refresh), ExpiresIn: w.moment(w.life/9, w.life),
	}})
	if err != nil {
		if !errors.Is(err, evergrant.ErrTemporary) {
			w.j.object("consent", "connect %s: %v", c.ref, err)
		}
		return
	}
	c.consent, c.off, c.id = n, false, conn.ID
	w.j.raise(c.ref, age{n, 0})
	w.got.Consents++
}

// disconnect ends a connection and makes sure that it is over.
func (w *world) disconnect(c *customer) {
	if _, err := w.Disconnect(w.t.Context(), c.ref); err != nil {
		if !errors.Is(err, evergrant.ErrTemporary) {
			w.j.object("consent", "disconnect %s: %v", c.ref, err)
		}
		return
	}
	c.off = true
	w.j.raise(c.ref, age{c.consent + 1, -1}) // older than the next consent's first
	if h, err := w.Handout(w.t.Context(), c.ref, evergrant.TokenOptions{}); err == nil {
		w.j.object("I5", "%s was disconnected and a token handed out: %s", c.ref, h.Token)
	}
}

// live lets the schedule run, with readers beside it.
func (w *world) live() {
	for i := range w.readers {
		dice := rand.New(rand.NewPCG(uint64(i), w.dice.Uint64()))
		w.reading.Go(func() { w.read(dice) })
	}
	for end := time.Now().Add(w.span); time.Now().Before(end) && !w.j.objected(w.v.wants); {
		time.Sleep(w.moment(time.Second, w.gap))
		w.v.happen(w)
	}
	// Without faults everything comes right within the life of an access token,
	// which is what a probe may have to wait for.
	for _, s := range w.skies {
		s.set(serene)
	}
	if w.v.wants == "" {
		time.Sleep(w.life + w.calm)
	}
	close(w.stopped)
	w.reading.Wait()
	synctest.Wait()
}

// moment draws a time between two.
func (w *world) moment(least, most time.Duration) time.Duration {
	return least + time.Duration(w.dice.Int64N(int64(most-least)))
}

func (w *world) any() *customer { return w.all[w.dice.IntN(len(w.all))] }

// restart ends the process and starts another.
func (w *world) restart(end func()) {
	w.current.Store(nil)
	end()
	w.start()
	w.got.Restarts++
}

// read asks for tokens, as many programs do.
func (w *world) read(dice *rand.Rand) {
	for {
		select {
		case <-w.stopped:
			return
		case <-time.After(time.Duration(dice.Int64N(int64(time.Minute)))):
		}
		w.ask(w.all[dice.IntN(len(w.all))], handout)
	}
}

// asking is a way to get a token.
type asking func(context.Context, *manager.Manager, grant.Ref) (*manager.Handout, error)

func handout(ctx context.Context, m *manager.Manager, ref grant.Ref) (*manager.Handout, error) {
	return m.Handout(ctx, ref, evergrant.TokenOptions{})
}

// ask takes a token and judges it, or the answer that there is none. A process
// that has ended answers nobody.
func (w *world) ask(c *customer, get asking) {
	m := w.current.Load()
	if m == nil {
		return
	}
	q := w.j.asks(c)
	h, err := w.v.ask(get)(w.t.Context(), m, c.ref)
	switch {
	case w.current.Load() != m, errors.Is(err, evergrant.ErrTemporary):
	case errors.Is(err, evergrant.ErrReauthorize):
		w.j.turnedAway(c, q)
	case err != nil:
		w.j.object("I6", "token %s: %v", c.ref, err)
	default:
		w.j.handed(c, h, q)
	}
}

// verdict judges what is left.
func (w *world) verdict() figures {
	for _, c := range w.all {
		got, err := w.Connection(w.t.Context(), c.ref)
		if err != nil {
			w.t.Fatal(err)
		}
		switch state := got.Status.State; {
		case c.off:
			if state != grant.Disconnected {
				w.j.object("I5", "%s was disconnected and is %s/%s", c.ref, state, got.Status.Reason)
			}
		case state == grant.NeedsReauthorization:
		case state != grant.Connected:
			w.j.object("recovery", "%s, at a provider whose rotation is %s, is still %s/%s", c.ref, c.v.rotation, state, got.Status.Reason)
		default:
			w.got.Connected++
			w.ask(c, func(ctx context.Context, m *manager.Manager, ref grant.Ref) (*manager.Handout, error) {
				h, err := handout(ctx, m, ref)
				if err != nil {
					w.j.object("I6", "%s is connected and has no token: %v", ref, err)
				}
				return h, err
			})
		}
	}
	f := &w.got
	f.Seeds, f.Kills, f.Judged, f.GrantTime = 1, len(w.kills), w.j.judged(), time.Duration(w.fleet)*time.Since(w.began)
	f.Restarts -= f.Kills
	f.Faults.count(processDied, f.Kills)
	f.Faults.add(w.disk.failed())
	asked := make(map[string]bool)
	for i, v := range w.vendors {
		w.j.log(v, w.kills)
		for _, x := range v.Sends() {
			asked[x.Grant] = true
		}
		r := v.Report()
		f.Refreshes, f.Sends, f.Overlaps = f.Refreshes+r.Rotations, f.Sends+r.Sends, f.Overlaps+r.Overlaps
		f.Faults.add(w.skies[i].failed())
		f.Refreshed.count(v.policy(), r.Rotations)
	}
	if f.Faults.sum() == 0 {
		f.Quiet = 1
	}
	doubtful := make(map[string]bool) // apps where a revocation looked like a rotation that was lost
	for _, d := range w.j.dead() {
		if !asked[d.name] {
			w.j.object("I8", "%s was declared dead (%s) and its provider never asked", d.name, d.reason)
		}
		key, _, _ := strings.Cut(d.name, "#")
		v := w.byKey[key].v
		if why, _ := v.Dead(d.name); why == "revoked by the merchant" {
			f.Revoked++
			doubtful[v.name] = doubtful[v.name] || d.reason == grant.RotationLost
		} else {
			f.Lost.count(v.policy(), 1)
		}
	}
	w.told(doubtful)
	return *f
}

// told judges the log: between two events that say a connection needs its
// merchant there is one that says it is back, and no provider is accused of
// anything unless a merchant made it look so.
func (w *world) told(doubtful map[string]bool) {
	dead := make(map[string]bool)
	page := store.Page{Limit: 1000}
	for {
		events, next, err := w.Events(w.t.Context(), store.EventFilter{}, page, 0)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range events {
			switch e.Type {
			case grant.ConnectionNeedsReauthorization:
				if dead[e.Connection] {
					w.j.object("I8", "the log says twice that %s needs its merchant", e.Connection)
				}
				dead[e.Connection] = true
			case grant.ConnectionConnected, grant.ConnectionReconnected, grant.ConnectionDisconnected:
				dead[e.Connection] = false
			case grant.EventRotationContradicted:
				if !doubtful[e.App] {
					w.j.object("I8", "%s does what its policy says and was accused: %+v", e.App, e)
				}
			}
		}
		if next == "" || len(events) == 0 {
			return
		}
		page.Cursor = next
	}
}
