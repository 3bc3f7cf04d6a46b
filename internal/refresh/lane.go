package refresh

import (
	"context"
	"sync"
	"time"

	"github.com/evergrant/evergrant/internal/fault"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/spool"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/provider"
)

const (
	// look is how long a lane sleeps at most. The bound makes steps of the clock
	// harmless.
	look = time.Second
	// ask is how long a lane believes what the store said about the next due
	// time. The bound makes due times that others write harmless; our own changes
	// poke the lane.
	ask = 10 * time.Second
	// glance is how long it sleeps at least when something is overdue that it
	// cannot take, such as an attempt of its own that is still under way.
	glance = 50 * time.Millisecond
	// batch bounds the attempts opened in one transaction.
	batch = 64
	// maxWait bounds how long a claim waits for slots to come free.
	maxWait = 10 * time.Millisecond
)

// lane is one app's way through the engine: its slots, its rate, its gate.
type lane struct {
	e    *Engine
	app  *provider.App
	gate *gate
	pace *pacer
	wake chan struct{}
	// telling holds the one answer that turns the app's incident until that is
	// told, so that the log has incidents in the order in which they were. Follow
	// must not wait for it: a store may call it from AppendEvents. A mutex would
	// stop the fake time of tests while somebody waits.
	telling chan struct{}

	// These are the loop's own.
	next    time.Time     // when the store said something is due, zero if not asked
	asked   time.Time     // and when it said so
	claimed time.Time     // the end of the last claim
	took    time.Duration // and how long it took

	// claiming keeps single claims out while a batch is claimed, until the
	// batch's flights are known.
	claiming sync.RWMutex

	mu      sync.Mutex
	slots   int             // how many requests may be under way at once
	free    int             // of them; fewer than none after the fleet has grown
	waiting []chan struct{} // callers waiting for a slot, first come first served
	secret  int             // the client secret that worked last
	told    map[observation]bool
	// suspicious is the last grant whose refresh token was refused on repetition.
	suspicious string
}

func newLane(e *Engine, app *provider.App) *lane {
	return &lane{
		e: e, app: app, slots: app.Policy.InFlight(), free: app.Policy.InFlight(), wake: make(chan struct{}, 1),
		telling: make(chan struct{}, 1), told: make(map[observation]bool),
		gate: newGate(), pace: newPacer(app.Policy.RatePerSecond),
	}
}

// poke makes the loop look now.
func (l *lane) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// enter takes a slot for a waiting caller, before any background work gets one.
func (l *lane) enter(ctx context.Context) error {
	ok, probing := l.gate.pass(l.e.c.Now(), true)
	if !ok {
		return ErrBlocked
	}
	l.mu.Lock()
	if l.free > 0 && len(l.waiting) == 0 {
		l.free--
		l.mu.Unlock()
		return l.await(ctx, probing)
	}
	turn := make(chan struct{})
	l.waiting = append(l.waiting, turn)
	l.mu.Unlock()
	select {
	case <-turn:
		return l.await(ctx, probing)
	case <-ctx.Done():
	}
	l.mu.Lock()
	for i, w := range l.waiting {
		if w == turn {
			l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
			l.mu.Unlock()
			return ErrStopped
		}
	}
	l.mu.Unlock()
	l.leave() // the turn came at the same moment; pass it on
	return ErrStopped
}

// await waits for the app's rate, and looks at the gate again, which may have
// closed since. On failure the slot is given back.
func (l *lane) await(ctx context.Context, probing bool) error {
	if err := l.pace.limiter.Wait(ctx); err != nil {
		l.leave()
		return ErrStopped
	}
	if !l.gate.still(l.e.c.Now(), probing) {
		l.leave()
		return ErrBlocked
	}
	return nil
}

// leave gives a slot back after work, and has the loop look for more.
func (l *lane) leave() {
	if l.putBack() {
		l.poke()
	}
}

// putBack gives a slot back, to the first waiting caller or to the loop, and
// reports whether it was the loop. The loop itself must use this one: poking
// itself with the slots it had no use for, it would never sleep.
func (l *lane) putBack() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) > 0 && l.free >= 0 {
		close(l.waiting[0])
		l.waiting = l.waiting[1:]
		return false
	}
	l.free++
	return true
}

// take takes up to n slots for background work; waiting callers leave none.
func (l *lane) take(n int) int {
	l.mu.Lock()
	n = max(0, min(n, l.free))
	l.free -= n
	l.mu.Unlock()
	allowed := 0
	for allowed < n && l.pace.limiter.Allow() {
		allowed++
	}
	for range n - allowed {
		l.putBack()
	}
	return allowed
}

// linger is how long the next claim waits for all slots to come free: as long as
// the last one took, at most. On a database server a transaction costs far more
// than a grant in it, slots come free one by one, and they are few where other
// processes have theirs. A store of our own makes claims together with what else
// it has to write, and would rather have them now.
func (l *lane) linger(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.e.shared() || l.free >= min(batch, l.slots) {
		return 0
	}
	return min(l.claimed.Add(l.took).Sub(now), maxWait)
}

// rest is how long to sleep when there was nothing to take: until the rate
// allows another request. For want of slots it is longer, because a slot that
// comes free pokes the loop.
func (l *lane) rest() time.Duration {
	if d := l.pace.untilNext(); d > 0 {
		return min(d, look)
	}
	return look
}

func (l *lane) claimRequest(n int) store.ClaimRequest {
	return store.ClaimRequest{App: l.app.Name, Owner: l.e.owner, Limit: n, Barrier: l.app.Policy.Barrier()}
}

// run is the lane's loop.
func (l *lane) run(ctx context.Context) {
	timer := time.NewTimer(look)
	defer timer.Stop()
	for {
		rest := l.turn(ctx)
		for rest <= 0 && ctx.Err() == nil {
			rest = l.turn(ctx)
		}
		timer.Reset(rest)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-l.wake:
			if l.next.After(l.e.c.Now()) {
				l.next = time.Time{}
			}
		}
	}
}

// turn takes up what is due and returns how long to sleep.
func (l *lane) turn(ctx context.Context) time.Duration {
	now := l.e.c.Now()
	l.e.share(ctx, now)
	if d := l.idle(ctx, now); d > 0 {
		return d
	}
	if !l.gate.open(now, false) {
		return min(l.gate.retryAfter(now), look)
	}
	if d := l.linger(now); d > 0 {
		return d
	}
	n := l.take(min(batch, l.gate.width()))
	if n == 0 {
		return l.rest()
	}
	rooms := l.reserve(n)
	for range n - len(rooms) {
		l.putBack()
	}
	if n = len(rooms); n == 0 {
		return look
	}

	l.claiming.Lock()
	asked := l.e.c.Now()
	claims, err := l.claim(ctx, n)
	flights := make([]*flight, len(claims))
	for i, c := range claims {
		flights[i] = l.e.carry(c.Grant.ID)
	}
	l.claiming.Unlock()
	l.claimed = l.e.c.Now()
	l.took = l.claimed.Sub(asked)
	if len(claims) < n {
		l.next = time.Time{} // else more is due, for all we know
	}

	for i, c := range claims {
		if c.Grant.Attempt.Kind == grant.FirstSend {
			l.e.c.Metrics.Late(l.app.Name, now.Sub(c.DueAt))
		}
		room := rooms[i]
		if !l.e.admit(func() { l.attempt(c, asked, flights[i], room) }) {
			// Stopped between claiming and sending: nothing has left, so the attempt
			// is closed and the next process finds the grant due.
			l.unsent(c, flights[i], room)
		}
	}
	for _, room := range rooms[len(claims):] {
		room.Release()
		l.putBack()
	}
	switch {
	case err != nil:
		if ctx.Err() == nil {
			l.e.c.Logger.Error("due grants cannot be claimed; trying again", "app", l.app.Name, "err", err)
		}
		return look
	case len(claims) == 0:
		return glance // what is due, if anything, is an attempt of ours, still under way
	}
	return 0
}

// claim opens attempts on up to n due grants.
func (l *lane) claim(ctx context.Context, n int) ([]store.Claim, error) {
	if err := fault.Point("refresh.before-claim"); err != nil {
		return nil, err
	}
	return l.e.c.Store.Claim(ctx, l.claimRequest(n))
}

// claimOne opens an attempt on the one grant somebody waits for.
func (l *lane) claimOne(ctx context.Context, grantID string, of grant.Version) (store.Claim, error) {
	if err := fault.Point("refresh.before-claim"); err != nil {
		return store.Claim{}, err
	}
	return l.e.c.Store.ClaimOne(ctx, l.claimRequest(1), grantID, of)
}

// idle is how long to sleep because nothing is due, and 0 if something is.
func (l *lane) idle(ctx context.Context, now time.Time) time.Duration {
	if age := now.Sub(l.asked); l.next.IsZero() || age < 0 || age > ask {
		next, ok, err := l.e.c.Store.NextDue(ctx, l.app.Name)
		if err != nil {
			if ctx.Err() == nil {
				l.e.c.Logger.Error("the next due grant cannot be found; trying again", "app", l.app.Name, "err", err)
			}
			return look
		}
		if !ok {
			next = now.Add(ask)
		}
		l.next, l.asked = next, now
	}
	return min(max(l.next.Sub(now), 0), look)
}

// reserve reserves spool room for up to n answers.
func (l *lane) reserve(n int) []*spool.Slot {
	rooms := make([]*spool.Slot, 0, n)
	for range n {
		room, err := l.e.c.Spool.Reserve()
		if err != nil {
			if len(rooms) == 0 {
				l.e.c.Logger.Error("no room to journal an answer, so nothing is sent", "app", l.app.Name, "err", err)
			}
			break
		}
		rooms = append(rooms, room)
	}
	return rooms
}
