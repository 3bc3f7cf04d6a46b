//go:build torture

package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/manager"
)

// judge holds what the engine does to the invariants. What it knows it has from
// the providers and from watching the store.
type judge struct {
	t testing.TB

	mu     sync.Mutex
	failed map[string]int
	tokens map[string]issue       // every access token that was answered
	open   map[string]openAttempt // by connection
	// forgotten is when a connection's open attempt was forgotten, because the
	// merchant approved again or the connection ended.
	forgotten map[string]time.Time
	consents  map[string]string // connection by the provider's name for the grant
	floor     map[grant.Ref]age // the newest token a caller was given
	handouts  int
}

// age orders the tokens of a connection: by consent, then by when they came.
type age struct{ consent, nth int }

func (a age) before(b age) bool {
	return a.consent < b.consent || a.consent == b.consent && a.nth < b.nth
}

// issue is an access token as its provider knows it.
type issue struct {
	age
	at time.Time
}

type openAttempt struct {
	grant.Attempt
	grantID string
}

func newJudge(t testing.TB) *judge {
	return &judge{t: t, failed: make(map[string]int), tokens: make(map[string]issue), open: make(map[string]openAttempt),
		forgotten: make(map[string]time.Time), consents: make(map[string]string), floor: make(map[grant.Ref]age)}
}

// most bounds how often one kind of failure is printed.
const most = 5

// fail reports a broken invariant, which is the first word of its message.
func (j *judge) fail(format string, args ...any) {
	j.t.Helper()
	kind, _, _ := strings.Cut(format, ":")
	j.failed[kind]++
	if j.failed[kind] <= most {
		j.t.Errorf("%s: %s", time.Now().Format("02 15:04:05.000"), fmt.Sprintf(format, args...))
	}
}

// consented takes in that a connection's tokens now descend from the n-th
// consent, which the provider knows by name.
func (j *judge) consented(name, connectionID string, access string, n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.consents[name] = connectionID
	j.tokens[access] = issue{age{n, 0}, time.Now()}
}

// issued takes in the answer to a refresh.
func (j *judge) issued(_ *vendor, name, access string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, known := j.tokens[access]; !known {
		j.tokens[access] = issue{age{consentOf(name), len(j.tokens)}, time.Now()}
	}
}

// sent judges a request as it reaches the provider.
func (j *judge) sent(v *vendor, s oracle.Send) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch id := j.consents[s.Grant]; {
	case s.Generation < 0:
		j.fail("I1: %s got a refresh token it never issued", v.name)
	case s.Overlaps:
		j.fail("I3: two requests for %s at %s overlap", s.Grant, v.name)
	case id == "" || j.open[id].ID == "" && time.Since(j.forgotten[id]) > mostLag: // else it was open when this left
		j.fail("I1: a refresh token of %s was sent to %s without an open attempt", s.Grant, v.name)
	}
}

// claimed judges an attempt that was opened.
func (j *judge) claimed(c store.Claim) {
	j.mu.Lock()
	defer j.mu.Unlock()
	g := c.Grant
	if was, ok := j.open[g.ConnectionID]; ok {
		if !was.Unknown && was.Owner == g.Attempt.Owner {
			j.fail("I2: attempt %s of grant %s was opened while %s of the same process was under way", g.Attempt.ID, g.ID, was.ID)
		}
		if g.Attempt.Kind != grant.Resend {
			j.fail("I2: attempt %s of grant %s replaces one and is no resend", g.Attempt.ID, g.ID)
		}
	}
	j.open[g.ConnectionID] = openAttempt{*g.Attempt, g.ID}
}

// closed takes in that an attempt is over, or nobody knows what became of it.
func (j *judge) closed(attemptID string, unknown bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for id, a := range j.open {
		switch {
		case a.ID != attemptID:
		case unknown:
			a.Unknown = true
			j.open[id] = a
		default:
			delete(j.open, id)
		}
	}
}

// superseded takes in that a grant's attempt was forgotten.
func (j *judge) superseded(grantID string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for id, a := range j.open {
		if a.grantID == grantID {
			delete(j.open, id)
			j.forgotten[id] = time.Now()
		}
	}
}

// watched is the store with the judge and the faults before it.
type watched struct {
	store.Store
	j *judge
	w *storeWeather
}

// storeWeather is what the store is like.
type storeWeather struct {
	mu   sync.Mutex
	dice *rand.Rand
	down bool
}

func (w *storeWeather) set(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
}

// err is ErrUnavailable while the store is down.
func (w *storeWeather) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		return fmt.Errorf("simulated: %w", store.ErrUnavailable)
	}
	return nil
}

// lag is how long a commit waits for the disk.
func (w *storeWeather) lag() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(w.dice.Int64N(int64(300 * time.Millisecond)))
}

// made is the error, now and then, of a change that was made all the same.
func (w *storeWeather) made() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dice.IntN(50) == 0 {
		return fmt.Errorf("simulated doubt: %w", store.ErrUnavailable)
	}
	return nil
}

func (s *watched) Connection(ctx context.Context, ref grant.Ref) (grant.Connection, error) {
	if err := s.w.err(); err != nil {
		return grant.Connection{}, err
	}
	return s.Store.Connection(ctx, ref)
}

func (s *watched) Credentials(ctx context.Context, grantID string) (grant.Grant, []byte, error) {
	if err := s.w.err(); err != nil {
		return grant.Grant{}, nil, err
	}
	return s.Store.Credentials(ctx, grantID)
}

func (s *watched) NextDue(ctx context.Context, app string) (time.Time, bool, error) {
	if err := s.w.err(); err != nil {
		return time.Time{}, false, err
	}
	return s.Store.NextDue(ctx, app)
}

func (s *watched) Claim(ctx context.Context, r store.ClaimRequest) ([]store.Claim, error) {
	if err := s.w.err(); err != nil {
		return nil, err
	}
	all, err := s.Store.Claim(ctx, r)
	for _, c := range all {
		s.j.claimed(c)
	}
	return all, err
}

func (s *watched) ClaimOne(ctx context.Context, r store.ClaimRequest, grantID string, of grant.Version) (store.Claim, error) {
	if err := s.w.err(); err != nil {
		return store.Claim{}, err
	}
	c, err := s.Store.ClaimOne(ctx, r, grantID, of)
	if err == nil {
		s.j.claimed(c)
	}
	return c, err
}

func (s *watched) Commit(ctx context.Context, r store.Renewal) error {
	time.Sleep(s.w.lag())
	if err := s.w.err(); err != nil {
		return err
	}
	if err := s.Store.Commit(ctx, r); err != nil {
		return err
	}
	s.j.closed(r.AttemptID, false)
	return s.w.made()
}

func (s *watched) Settle(ctx context.Context, r store.Settlement) error {
	if err := s.w.err(); err != nil {
		return err
	}
	if err := s.Store.Settle(ctx, r); err != nil {
		return err
	}
	s.j.closed(r.AttemptID, r.Hold)
	return s.w.made()
}

func (s *watched) Install(ctx context.Context, in store.Installation) error {
	if err := s.w.err(); err != nil {
		return err
	}
	err := s.Store.Install(ctx, in)
	if err == nil {
		s.j.superseded(in.Grant.ID)
	}
	return err
}

func (s *watched) Disconnect(ctx context.Context, grantID string, from grant.Version, reason grant.Reason, events ...grant.Event) error {
	if err := s.w.err(); err != nil {
		return err
	}
	err := s.Store.Disconnect(ctx, grantID, from, reason, events...)
	if err == nil {
		s.j.superseded(grantID)
	}
	return err
}

// log judges a provider's log: nothing that was answered was discarded, and no
// more was under way at once than the policy allows.
func (j *judge) log(v *vendor, deaths []time.Time) {
	sends := v.Sends()
	delivered := make(map[string]int) // by grant, the generation whose successor arrived
	type edge struct {
		at time.Time
		by int
	}
	var edges []edge
	for _, x := range sends {
		if last, ok := delivered[x.Grant]; ok && v.rotation != oracle.Static && x.Generation <= last {
			j.fail("I4: %s presented generation %d of %s although the answer to it had arrived", v.name, x.Generation, x.Grant)
		}
		if x.Outcome == "rotated" && !cutOff(v, x, deaths) {
			delivered[x.Grant] = x.Generation
		}
		edges = append(edges, edge{x.Start, 1}, edge{x.End, -1})
	}
	slices.SortStableFunc(edges, func(a, b edge) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		return a.by - b.by
	})
	n := 0
	for _, e := range edges {
		if n += e.by; n > v.app.Policy.InFlight() {
			j.fail("I11: %d requests under way at %s", n, v.name)
			break
		}
	}
}

// cutOff reports whether the answer to a rotation did not reach its sender,
// through no fault of ours.
func cutOff(v *vendor, x oracle.Send, deaths []time.Time) bool {
	sent := x.Start.Add(-mostLag) // at the earliest
	died := slices.ContainsFunc(deaths, func(t time.Time) bool {
		return !t.Before(sent) && t.Before(x.End.Add(time.Millisecond))
	})
	return died || x.Outcome == "rotated, answer lost" || x.End.Sub(sent) >= v.app.Policy.Timeout()
}

// lost judges a grant that needs reauthorization: by proof only.
func (j *judge) lost(v *vendor, name string, reason grant.Reason, deaths []time.Time) {
	var sends []oracle.Send
	refusals, last := 0, false
	for _, x := range v.Sends() {
		if x.Grant == name {
			sends = append(sends, x)
			if last = x.Outcome == "refused: invalid_grant" || x.Outcome == "fault: status 400"; last {
				refusals++
			}
		}
	}
	if !last || reason == grant.RefreshRejected && refusals < 2 {
		j.fail("I8: %s was declared dead (%s) without proof: %+v", name, reason, sends)
		return
	}
	if why, _ := v.Dead(name); why == "revoked by the merchant" {
		return
	}
	single := v.rotation == oracle.Strict || v.rotation == oracle.FamilyKill
	cut, ok := v.Cut(name)
	if !single || !ok || !cutOff(v, cut, deaths) {
		j.fail("I9: %s, at a provider whose rotation is %s, was lost (%s) and nothing explains it: %+v", name, v.rotation, reason, sends)
	}
}

// newest is the newest token any caller has been given.
func (j *judge) newest(ref grant.Ref) age {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.floor[ref]
}

func (j *judge) judged() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.handouts
}

// handed judges a token that a caller was given, who began to ask when floor was
// the newest. The caller uses it at once.
func (j *judge) handed(c *customer, h *manager.Handout, floor age) {
	token := h.Token.AccessToken
	good := c.v.AccessValid(token)
	j.mu.Lock()
	is, known := j.tokens[token]
	j.mu.Unlock()
	var dead bool
	if known {
		_, dead = c.v.Dead(c.name(is.consent)) // not under the lock: the provider calls us under its own
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.handouts++
	open := j.open[h.Token.Connection]
	switch left := time.Until(h.Token.Expiry); {
	case !known:
		j.fail("I7: %s was given a token that nobody issued", c.ref)
	case left < 10*time.Second:
		j.fail("I6: %s was given a token with %s left", c.ref, left)
	case is.before(floor):
		j.fail("I5: %s was given a token older than one handed out before: %v, %v", c.ref, is.age, floor)
	case open.ID != "" && is.at.After(open.OpenedAt) && !slices.Contains(h.Warnings, string(grant.StoreUnavailable)):
		j.fail("I7: %s was given a token before it was committed", c.ref)
	case !good && !dead:
		j.fail("I6: %s was given a token that the API refuses", c.ref)
	}
	if j.floor[c.ref].before(is.age) {
		j.floor[c.ref] = is.age
	}
}

// age returns how old a token is.
func (j *judge) age(token string) age {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.tokens[token].age
}
