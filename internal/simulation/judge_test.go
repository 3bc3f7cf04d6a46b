package simulation

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/store"
)

// judge holds what the engine does to the invariants. What it knows it has from
// the providers, from watching the store, and from what the simulation did
// itself, and it says only what follows from that: however late a goroutine
// gets to run, what is right is not objected to.
type judge struct {
	report func(string) // is told of every objection

	// record makes a change of the store and the judge's note of it one step for
	// whoever locks it: somebody who has seen a change finds it noted. Those who
	// hold it wait for nothing but the disk, so that no fake time passes.
	record sync.RWMutex

	mu         sync.Mutex
	objections map[string]int          // by invariant
	tokens     map[string]issue        // every access token that was answered
	open       map[string]*openAttempt // by connection
	closed     map[string]time.Time    // by connection: when an attempt ended
	forgotten  map[string]time.Time    // by connection: when an open attempt was dropped by consent or disconnect
	approving  string                  // the provider's name for the consent that is being given
	consents   map[string]string       // connection by the provider's name for the grant
	names      map[string]string       // and the name of each connection's newest consent
	grants     map[string]string       // connection by grant id
	presented  map[spent]int           // the generation sent for a version
	live       map[string]bool         // by connection
	ended      map[string]int          // by connection: how often it has ceased to be live
	deaths     []death
	life       int // the number of the process that runs
	floor      map[grant.Ref]age
	handouts   int
}

// age orders the tokens of a connection: by consent, then by when they came.
type age struct{ consent, nth int }

func (a age) before(b age) bool {
	return a.consent < b.consent || a.consent == b.consent && a.nth < b.nth
}

// issue is an access token as its provider knows it.
type issue struct {
	age
	at time.Time // of the latest answer that brought it
}

type openAttempt struct {
	grant.Attempt
	grantID string
	life    int // of the process that opened it
	sent    int
}

// spent is a version of a connection's credentials.
type spent struct {
	connection string
	of         grant.Version
}

// death is a grant that was declared dead.
type death struct {
	name   string // the provider's
	reason grant.Reason
}

func newJudge(report func(string)) *judge {
	return &judge{report: report, objections: make(map[string]int), tokens: make(map[string]issue), open: make(map[string]*openAttempt),
		closed: make(map[string]time.Time), forgotten: make(map[string]time.Time), consents: make(map[string]string), names: make(map[string]string), grants: make(map[string]string),
		presented: make(map[spent]int), live: make(map[string]bool), ended: make(map[string]int), floor: make(map[grant.Ref]age)}
}

// most bounds how often objections to one invariant are reported.
const most = 5

// object objects to what breaks an invariant.
func (j *judge) object(invariant, format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.objectLocked(invariant, format, args...)
}

func (j *judge) objectLocked(invariant, format string, args ...any) {
	j.objections[invariant]++
	if j.objections[invariant] <= most {
		j.report(fmt.Sprintf("%s: %s: %s", invariant, time.Now().Format("02 15:04:05.000"), fmt.Sprintf(format, args...)))
	}
}

// objected reports whether anything broke the invariant.
func (j *judge) objected(invariant string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.objections[invariant] > 0
}

// consentOf is the number of the consent that a provider knows by name.
func consentOf(name string) int {
	_, n, _ := strings.Cut(name, "#")
	i, _ := strconv.Atoi(n)
	return i
}

// begins takes in that a process starts; those before it are dead.
func (j *judge) begins() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.life++
}

// approves takes in that the provider has issued the first token of a consent,
// whose name it is, and that the connection is about to be told.
func (j *judge) approves(name, access string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.approving = name
	j.tokens[access] = issue{age{consentOf(name), 0}, time.Now()}
}

// answered takes in the token of an answer to a refresh.
func (j *judge) answered(name, access string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	is, known := j.tokens[access]
	if !known {
		is.age = age{consentOf(name), len(j.tokens)}
	}
	is.at = time.Now()
	j.tokens[access] = is
}

// sent judges a request as it reaches the provider. Requests are on their way
// for up to mostLag, so what has just been superseded may still arrive.
func (j *judge) sent(v *vendor, s oracle.Send) {
	j.mu.Lock()
	defer j.mu.Unlock()
	id := j.consents[s.Grant]
	a := j.open[id]
	switch {
	case s.Generation < 0:
		j.objectLocked("I1", "%s got a refresh token it never issued", v.name)
		return
	case s.Overlaps:
		j.objectLocked("I3", "two requests for %s at %s overlap", s.Grant, v.name)
	case a == nil && (id == "" || time.Since(j.forgotten[id]) > mostLag):
		j.objectLocked("I1", "a refresh token of %s was sent to %s without an open attempt", s.Grant, v.name)
	}
	if a == nil || j.names[id] != s.Grant {
		return // of an attempt that has been forgotten
	}
	if a.sent++; a.sent > 1 {
		j.objectLocked("I3", "attempt %s of %s at %s was sent %d times", a.ID, s.Grant, v.name, a.sent)
	}
	of := spent{id, a.Of}
	if before, ok := j.presented[of]; ok && before != s.Generation && v.rotation != oracle.Static {
		j.objectLocked("I1", "the attempts of version %v of %s presented generations %d and %d", a.Of, s.Grant, before, s.Generation)
	}
	j.presented[of] = s.Generation
}

// claimed judges an attempt that was opened.
func (j *judge) claimed(c store.Claim) {
	j.mu.Lock()
	defer j.mu.Unlock()
	g := c.Grant
	if was := j.open[g.ConnectionID]; was != nil {
		if !was.Unknown && was.life == j.life {
			j.objectLocked("I2", "attempt %s of grant %s was opened while %s of the same process was under way", g.Attempt.ID, g.ID, was.ID)
		}
		if g.Attempt.Kind != grant.Resend {
			j.objectLocked("I2", "attempt %s of grant %s replaces one and is no resend", g.Attempt.ID, g.ID)
		}
	}
	j.open[g.ConnectionID] = &openAttempt{Attempt: *g.Attempt, grantID: g.ID, life: j.life}
}

// committed takes in that an attempt brought credentials.
func (j *judge) committed(r store.Renewal) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if id, a := j.attempt(r.AttemptID); a != nil {
		delete(j.open, id)
		j.closed[id] = time.Now()
	}
}

// settled takes in that an attempt is over, or that nobody knows what became of
// it.
func (j *judge) settled(s store.Settlement) {
	j.mu.Lock()
	defer j.mu.Unlock()
	id, a := j.attempt(s.AttemptID)
	if a == nil {
		return // noted already: settling again changes nothing
	}
	if s.Status.State == grant.NeedsReauthorization {
		j.deaths = append(j.deaths, death{j.names[id], s.Status.Reason})
		j.ends(id)
	}
	if s.Hold {
		a.Unknown = true
		return
	}
	delete(j.open, id)
}

// attempt finds an open attempt and its connection.
func (j *judge) attempt(attemptID string) (string, *openAttempt) {
	for id, a := range j.open {
		if a.ID == attemptID {
			return id, a
		}
	}
	return "", nil
}

// installed takes in that a connection's tokens descend from another consent now.
func (j *judge) installed(in store.Installation) {
	j.mu.Lock()
	defer j.mu.Unlock()
	id := in.Grant.ConnectionID
	j.grants[in.Grant.ID] = id
	j.consents[j.approving], j.names[id] = id, j.approving
	j.live[id] = true
	j.forget(in.Grant.ID)
}

// disconnected takes in that a connection is over.
func (j *judge) disconnected(grantID string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ends(j.grants[grantID])
	j.forget(grantID)
}

func (j *judge) ends(id string) {
	j.live[id] = false
	j.ended[id]++
}

func (j *judge) forget(grantID string) {
	id := j.grants[grantID]
	if a := j.open[id]; a != nil && a.grantID == grantID {
		delete(j.open, id)
		j.forgotten[id] = time.Now()
	}
}

// question is what was known when a caller began to ask for a token.
type question struct {
	floor age // the newest token anybody was given or approved until then
	live  bool
	ended int
}

func (j *judge) asks(c *customer) question {
	j.mu.Lock()
	defer j.mu.Unlock()
	return question{j.floor[c.ref], j.live[c.id], j.ended[c.id]}
}

// raise takes in that whoever asks from now on must be given nothing older.
func (j *judge) raise(ref grant.Ref, least age) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.raiseLocked(ref, least)
}

func (j *judge) raiseLocked(ref grant.Ref, least age) {
	if j.floor[ref].before(least) {
		j.floor[ref] = least
	}
}

// publication is how long after its commit a token may take to replace the one
// before: longer only if a commit whose outcome is in doubt is made again.
const publication = 2 * time.Second

// handed judges a token that a caller was given. The caller uses it at once.
func (j *judge) handed(c *customer, h *manager.Handout, q question) {
	token := h.Token.AccessToken
	// The provider calls us under its lock, so it is not asked under ours.
	good := c.v.AccessValid(token)
	dead := !good && c.dead()
	j.record.Lock()
	defer j.record.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.handouts++
	is, known := j.tokens[token]
	a := j.open[h.Token.Connection]
	switch left := time.Until(h.Token.Expiry); {
	case !known:
		j.objectLocked("I7", "%s was given a token that nobody issued", c.ref)
	case left < 10*time.Second:
		j.objectLocked("I6", "%s was given a token with %s left", c.ref, left)
	case is.before(q.floor):
		j.objectLocked("I5", "%s was given a token older than one of before: %v, %v", c.ref, is.age, q.floor)
	case a != nil && is.at.After(a.OpenedAt) && !slices.Contains(h.Warnings, string(grant.StoreUnavailable)):
		j.objectLocked("I7", "%s was given a token before it was committed", c.ref)
	case !good && !dead && a == nil && time.Since(j.closed[h.Token.Connection]) > publication:
		// While an attempt is open nobody can know whether the provider has rotated,
		// and with it ended, the token before.
		j.objectLocked("I6", "%s was given a token that the API refuses", c.ref)
	}
	j.raiseLocked(c.ref, is.age)
}

// turnedAway judges the answer that a merchant has to approve again.
func (j *judge) turnedAway(c *customer, q question) {
	j.record.Lock()
	defer j.record.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	if q.live && j.live[c.id] && q.ended == j.ended[c.id] {
		j.objectLocked("I8", "%s was told to approve again although it is connected", c.ref)
	}
}

// age returns how old a token is.
func (j *judge) age(token string) age {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.tokens[token].age
}

// dead returns the grants that were declared dead so far.
func (j *judge) dead() []death {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.deaths)
}

func (j *judge) judged() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.handouts
}
