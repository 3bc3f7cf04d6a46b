//go:build torture

package simulation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/manager"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	fleet      = 420 // connections, over all providers
	span       = 10 * time.Hour
	accessLife = 3 * time.Hour
	readers    = 4
)

// number reads a number from the environment.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s is %q, not a number", name, s)
	}
	return n
}

func TestDaysOfFaultsCostNoMoreThanWhatWasCutOff(t *testing.T) {
	t.Parallel()
	if os.Getenv("EVERGRANT_SEED") != "" {
		run(t, number(t, "EVERGRANT_SEED", 0))
		return
	}
	const runs = 5
	for seed := range runs * number(t, "EVERGRANT_SIM", 1) {
		t.Run(fmt.Sprint("seed ", seed+1), func(t *testing.T) {
			t.Parallel()
			run(t, seed+1)
		})
	}
}

func run(t *testing.T, seed uint64) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat this schedule with EVERGRANT_SEED=%d", seed)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, seed)
		defer w.close()
		w.live()
		w.verdict()
	})
}

// world is one run.
type world struct {
	*site
	t       *testing.T
	dice    *rand.Rand // the schedule's; readers have their own
	j       *judge
	disk    *storeWeather
	vendors []*vendor
	skies   []*sky
	all     []*customer
	turn    int // of the interruptions

	stopped chan struct{}
	reading sync.WaitGroup
}

// customer is one connection. The schedule is the only one to change it.
type customer struct {
	ref     grant.Ref
	v       *vendor
	consent int // how often it approved; 0 is never
	off     bool
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

// name is the provider's name for the n-th consent.
func (c *customer) name(n int) string { return c.ref.Key + "#" + strconv.Itoa(n) }

func consentOf(name string) int {
	_, n, _ := strings.Cut(name, "#")
	i, _ := strconv.Atoi(n)
	return i
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, dice: rand.New(rand.NewPCG(seed, 1)), j: newJudge(t), disk: &storeWeather{dice: rand.New(rand.NewPCG(seed, 2))}, stopped: make(chan struct{})}
	for i, o := range []oracle.Options{
		{Rotation: oracle.Static},
		{Rotation: oracle.Lenient, Window: 24 * time.Hour},
		{Rotation: oracle.Grace, Window: 5 * time.Hour, SameSuccessor: true},
		{Rotation: oracle.Grace, Window: 5 * time.Hour},
		{Rotation: oracle.RetireOnUse},
		{Rotation: oracle.Strict},
		{Rotation: oracle.FamilyKill},
	} {
		o.AccessLife = accessLife
		v := newVendor(t, fmt.Sprintf("app%d", i), i+1, o)
		s := &sky{seed: seed, v: v, j: w.j, sent: make(map[string]int), lied: make(map[string]bool)}
		v.SetFault(func(send oracle.Send) oracle.Fault {
			w.j.sent(v, send)
			return s.fault(send)
		})
		v.lag = lag(rand.New(rand.NewPCG(seed, uint64(3+i))))
		w.vendors, w.skies = append(w.vendors, v), append(w.skies, s)
	}
	w.site = newSite(t, w.vendors, func(s store.Store) store.Store { return &watched{s, w.j, w.disk} })
	for i := range fleet {
		v := w.vendors[i%len(w.vendors)]
		c := &customer{ref: grant.Ref{Key: fmt.Sprintf("biz%d", i), App: v.name}, v: v}
		w.all = append(w.all, c)
		w.connect(c)
	}
	return w
}

func (w *world) close() {
	w.stop()
	for _, v := range w.vendors {
		v.close()
	}
}

// connect has the merchant approve, again if need be.
func (w *world) connect(c *customer) {
	n := c.consent + 1
	access, refresh := c.v.Issue(c.name(n))
	conn, _, err := w.Create(w.t.Context(), manager.NewConnection{Ref: c.ref, Tokens: &manager.Adoption{
		// Some tokens are old when they come, so that not all are due together.
		AccessToken: secret.New(access), RefreshToken: secret.New(refresh), ExpiresIn: w.between(20*time.Minute, accessLife),
	}})
	if err != nil {
		if !errors.Is(err, evergrant.ErrTemporary) {
			w.t.Errorf("connect %s: %v", c.ref, err)
		}
		return
	}
	w.j.consented(c.name(n), conn.ID, access, n)
	c.consent, c.off = n, false
}

// disconnect ends a connection and makes sure that it is over.
func (w *world) disconnect(c *customer) {
	if _, err := w.Disconnect(w.t.Context(), c.ref); err != nil {
		if !errors.Is(err, evergrant.ErrTemporary) {
			w.t.Errorf("disconnect %s: %v", c.ref, err)
		}
		return
	}
	c.off = true
	if h, err := w.Handout(w.t.Context(), c.ref, evergrant.TokenOptions{}); err == nil {
		w.t.Errorf("I5: %s was disconnected and a token handed out: %s", c.ref, h.Token)
	}
}

// live lets the schedule run, with readers beside it.
func (w *world) live() {
	for i := range readers {
		dice := rand.New(rand.NewPCG(uint64(i), w.dice.Uint64()))
		w.reading.Go(func() { w.read(dice) })
	}
	for end := time.Now().Add(span); time.Now().Before(end); {
		time.Sleep(w.between(time.Second, 8*time.Minute))
		w.happen()
	}
	// Without faults everything comes right within the life of an access token,
	// which is what a probe may have to wait for.
	for _, s := range w.skies {
		s.set(serene)
	}
	time.Sleep(accessLife + 30*time.Minute)
	close(w.stopped)
	w.reading.Wait()
	synctest.Wait()
}

func (w *world) between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.dice.Int64N(int64(most-least)))
}

func (w *world) any() *customer { return w.all[w.dice.IntN(len(w.all))] }

// happen makes one thing happen.
func (w *world) happen() {
	switch p := w.dice.IntN(100); {
	case p < 30:
		s := w.skies[w.dice.IntN(len(w.skies))]
		s.set(weather(1 + w.dice.IntN(int(weathers)-1)))
		most := 90 * time.Second
		if w.dice.IntN(8) == 0 {
			most = 40 * time.Minute // longer than any window, so that tokens end
		}
		time.Sleep(w.between(time.Second, most))
		s.set(fair)
	case p < 40:
		w.disk.set(true)
		time.Sleep(w.between(time.Second, time.Minute))
		w.disk.set(false)
	case p < 45:
		w.restart(w.stop)
	case p < 70:
		if c := w.underway(); c != nil {
			w.interrupt(c)
		}
	case p < 80:
		w.connect(w.any())
	case p < 85:
		w.disconnect(w.any())
	case p < 90:
		c := w.any()
		c.v.Kill(c.name(c.consent))
	default: // some of those who lost their grant come back
		for _, c := range w.all {
			if got, err := w.Connection(w.t.Context(), c.ref); err == nil && !got.Status.State.Live() && w.dice.IntN(3) == 0 {
				w.connect(c)
			}
		}
	}
}

// underway waits for a request and returns whose it is, nil if none comes.
func (w *world) underway() *customer {
	came := make(chan string, len(w.skies))
	for _, s := range w.skies {
		s.watch(func(name string) { came <- name })
		defer s.watch(nil)
	}
	select {
	case name := <-came:
		key, _, _ := strings.Cut(name, "#")
		return w.all[slices.IndexFunc(w.all, func(c *customer) bool { return c.ref.Key == key })]
	case <-time.After(time.Hour):
		return nil
	}
}

// interrupt makes something happen while a request of the customer is, or was a
// moment ago, under way.
func (w *world) interrupt(c *customer) {
	how := w.turn % 8 // in turn, so that every run has them all
	w.turn++
	if how == 7 { // by asking for its token until well after the answer
		for range 60 {
			w.ask(c, handout)
			time.Sleep(20 * time.Millisecond)
		}
		return
	}
	time.Sleep(w.between(0, 900*time.Millisecond))
	switch how {
	case 0, 1:
		w.restart(w.kill)
	case 2: // while the answer cannot be committed
		w.disk.set(true)
		time.Sleep(w.between(0, 3*time.Second))
		w.restart(func() { w.kill(); w.disk.set(false) })
	case 3: // or not for a while
		w.disk.set(true)
		time.Sleep(w.between(0, time.Minute))
		w.disk.set(false)
	case 4:
		w.connect(c)
	case 5:
		w.disconnect(c)
		w.connect(c)
	case 6:
		w.storm(c)
	}
}

// restart ends the process and starts another.
func (w *world) restart(end func()) {
	w.current.Store(nil)
	end()
	w.start()
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

// storm has many callers report at once that a connection's token was refused.
func (w *world) storm(c *customer) {
	h, err := w.Handout(w.t.Context(), c.ref, evergrant.TokenOptions{})
	if err != nil {
		return
	}
	before := len(c.v.Sends())
	var callers sync.WaitGroup
	for range 50 {
		callers.Go(func() {
			w.ask(c, func(ctx context.Context, m *manager.Manager, ref grant.Ref) (*manager.Handout, error) {
				return m.RejectHandout(ctx, ref, h.Token.Fingerprint)
			})
		})
	}
	callers.Wait()
	n := 0
	for _, x := range c.v.Sends()[before:] {
		if x.Grant == c.name(c.consent) && x.Generation == x.Current {
			n++
		}
	}
	if n > 2 {
		w.t.Errorf("I11: 50 rejections of one token caused %d requests", n)
	}
}

func handout(ctx context.Context, m *manager.Manager, ref grant.Ref) (*manager.Handout, error) {
	return m.Handout(ctx, ref, evergrant.TokenOptions{})
}

// ask takes a token and judges it.
func (w *world) ask(c *customer, get func(context.Context, *manager.Manager, grant.Ref) (*manager.Handout, error)) {
	m := w.current.Load()
	if m == nil {
		return
	}
	floor := w.j.newest(c.ref)
	h, err := get(w.t.Context(), m, c.ref)
	switch {
	case w.current.Load() != m: // a process that has ended answers nobody
		return
	case errors.Is(err, evergrant.ErrTemporary), errors.Is(err, evergrant.ErrReauthorize):
		return
	case err != nil:
		w.t.Errorf("token %s: %v", c.ref, err)
		return
	}
	w.j.handed(c, h, floor)
}

// verdict judges what is left.
func (w *world) verdict() {
	var connected, lost int
	for _, c := range w.all {
		got, err := w.Connection(w.t.Context(), c.ref)
		if err != nil {
			w.t.Fatal(err)
		}
		switch name := c.name(c.consent); {
		case c.off:
			if got.Status.State != grant.Disconnected {
				w.t.Errorf("I5: %s was disconnected and is %s/%s", c.ref, got.Status.State, got.Status.Reason)
			}
		case got.Status.State == grant.NeedsReauthorization:
			lost++
			w.j.lost(c.v, name, got.Status.Reason, w.deaths)
		case got.Status.State != grant.Connected:
			w.t.Errorf("I8: %s, at a provider whose rotation is %s, is still %s/%s", c.ref, c.v.rotation, got.Status.State, got.Status.Reason)
		default:
			connected++
			w.ask(c, func(ctx context.Context, m *manager.Manager, ref grant.Ref) (*manager.Handout, error) {
				h, err := handout(ctx, m, ref)
				if err != nil {
					w.t.Errorf("token %s: %v", ref, err)
				}
				return h, err
			})
		}
	}
	sends := 0
	for _, v := range w.vendors {
		w.j.log(v, w.deaths)
		sends += len(v.Sends())
	}
	w.deathsToldOnce()
	w.t.Logf("%d connected, %d lost, %d kills, %d requests, %d tokens judged", connected, lost, len(w.deaths), sends, w.j.judged())
	if sends < fleet*int(span/accessLife)/2 || len(w.deaths) == 0 {
		w.t.Error("too little happened to prove anything")
	}
}

// deathsToldOnce judges the log: between two events that say a connection needs
// its merchant there is one that says it is back.
func (w *world) deathsToldOnce() {
	dead := make(map[string]bool)
	page := store.Page{Limit: 1000}
	for {
		events, next, err := w.Events(w.t.Context(), store.EventFilter{Types: []string{"connection.*"}}, page, 0)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range events {
			switch e.Type {
			case grant.ConnectionNeedsReauthorization:
				if dead[e.Connection] {
					w.j.fail("I8: connection %s died twice", e.Connection)
				}
				dead[e.Connection] = true
			case grant.ConnectionConnected, grant.ConnectionReconnected, grant.ConnectionDisconnected:
				dead[e.Connection] = false
			}
		}
		if next == "" || len(events) == 0 {
			return
		}
		page.Cursor = next
	}
}
