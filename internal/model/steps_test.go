package model

import (
	"time"

	"github.com/evergrant/evergrant/internal/grant"
)

// mechanisms are what the protocol is made of, switched off one at a time.
type mechanisms struct {
	intent bool // no durable open attempt stands behind a send
	lock   bool // an open attempt is taken over after its barrier even if its owner lives
	lease  bool // instead of an open attempt that ends by its outcome there is a lease that ends by time
	replay bool // the journal of a dead process is not read before its attempt is taken over
	settle bool // no waiting before a token is sent again
	flight bool // waiting takes no account of how long a request may be under way
	gate   bool // a process that was paused between claiming and sending sends all the same
	before bool // an access token is used before the answer that brought it is durable
	cas    bool // a commit does not compare versions
}

// model is one provider, and the protocol with at most one mechanism missing.
type model struct {
	rotation rotation
	policy   grant.Policy
	guarded  bool // a probe waits for the access token's end
	without  mechanisms
	fresh    row // what a commit makes of the row, besides version and token
	verdicts map[question]verdict
}

func newModel(r rotation, without mechanisms) *model {
	kind := map[rotation]grant.Rotation{static: grant.Static, lenient: grant.Lenient, graceSame: grant.Grace, graceNew: grant.Grace,
		retireOnUse: grant.RetireOnUse, strict: grant.Strict, familyKill: grant.FamilyKill}[r]
	p := grant.Policy{Rotation: kind, Window: real(window), SendTimeout: real(sendTimeout), RefreshWindow: 30 * time.Second}
	t := p.Schedule("grant", grant.Lifetimes{AskedAt: base, AccessLife: real(accessLife), HasRefresh: true})
	return &model{rotation: r, guarded: r == familyKill, without: without, policy: p, fresh: row{expires: ticks(t.ExpiresAt), due: never},
		verdicts: make(map[question]verdict)}
}

func real(t tick) time.Duration { return time.Duration(t) * time.Second / 2 }

// first is the world in which a grant has been stored and its first access token
// is about to end.
func (m *model) first(refreshes, consents, faults int8) world {
	w := world{left: refreshes, consents: consents, faults: faults}
	for i := range w.procs {
		w.procs[i].up = true
	}
	m.make(&w, version{1, 0}, token{})
	w.row.expires = 12 * second
	return w
}

// barrier is the policy's, unless waiting is switched off.
func (m *model) barrier(expires tick) tick {
	switch {
	case m.without.settle:
		return 0
	case m.without.lease:
		return lease
	case m.without.flight:
		return 2 * second
	}
	return ticks(m.policy.Barrier().At(base, expires.time()))
}

// make writes fresh credentials into the row.
func (m *model) make(w *world, v version, t token) (bad kinds) {
	if v.before(w.highest) {
		bad = older
	}
	w.highest = v
	w.durable[t.family] = max(w.durable[t.family], t.gen)
	w.row = m.fresh
	w.row.version, w.row.token = v, t
	if w.left == 0 {
		w.row.due = never
	}
	return bad
}

// commit is Store.Commit. ok is false for ErrStale.
func (m *model) commit(w *world, e entry) (ok bool, bad kinds) {
	open := w.row.attempt.id == e.attempt || m.without.intent
	if !m.without.cas && (w.row.version != e.of || !open || !w.row.live()) {
		return false, 0
	}
	w.left = max(w.left-1, 0)
	bad = m.make(w, version{e.of.epoch, e.of.seq + 1}, e.token)
	w.families[e.token.family].use(m.rotation, e.token)
	return true, bad
}

// claimable reports whether process i may open an attempt now, and with which kind.
func (m *model) claimable(w *world, i int) (resend, ok bool) {
	r := &w.row
	switch {
	case w.down, !r.live():
		return false, false
	case r.attempt.id == 0:
		// A caller may demand a refresh before it is due; not after a refusal, which
		// the engine would not count.
		return false, w.left > 0 && (r.due <= 0 || r.refusals == 0 && r.reason == 0)
	case r.due > 0:
		return false, false
	case m.without.lease:
		return false, true
	case r.attempt.unknown, m.without.lock && int(r.attempt.owner) != i:
		return true, true
	}
	return true, r.attempt.abandoned && (m.without.replay || w.procs[r.attempt.owner].journal.attempt == 0)
}

func (m *model) claim(w *world, i int, resend bool) {
	p := &w.procs[i]
	a := attempt{id: w.unusedID(), owner: int8(i), resend: resend}
	p.job = w.row
	p.job.attempt, p.job.due = a, 0
	p.phase = claimed
	if !m.without.intent {
		w.row.attempt = a
		w.row.due = m.barrier(w.row.expires)
	}
}

// unusedID is the least attempt id that nobody remembers.
func (w *world) unusedID() int8 {
	for id := int8(1); ; id++ {
		used := w.row.attempt.id == id
		for _, p := range w.procs {
			used = used || p.job.attempt.id == id || p.journal.attempt == id
		}
		if !used {
			return id
		}
	}
}

// giveUp is when process i stops waiting for its answer. Counting from the
// opening of the attempt is the send gate: a process that was paused before it
// sent has less time, or none.
func (m *model) giveUp(p *proc) tick {
	switch {
	case m.without.gate && p.phase == claimed:
		return sendTimeout
	case m.without.gate:
		return p.sentAt + sendTimeout
	}
	return p.job.attempt.opened + sendTimeout
}

func (m *model) send(w *world, i int) (bad kinds) {
	p := &w.procs[i]
	at := -1
	for n, r := range w.requests {
		switch {
		case r.sender == 0:
			at = n
		case r.token.family == p.job.token.family:
			bad |= overlap
		}
	}
	if at < 0 {
		panic("the model has no room for a fourth request")
	}
	t := p.job.token
	if t.gen < w.durable[t.family] {
		bad |= stale
	}
	w.requests[at] = request{sender: int8(i) + 1, token: t, deadline: m.giveUp(p) - linger}
	p.phase = waiting
	return bad
}

// process is the provider taking in a request.
func (m *model) process(w *world, r *request) {
	f := &w.families[r.token.family]
	before := *f
	next, ok := f.refresh(m.rotation, r.token)
	r.answered, r.outcome, r.got = true, outcome(grant.Refused), next
	if ok {
		r.outcome = outcome(grant.Granted)
	}
	r.rotated = *f != before && ok
	if r.sender == gone {
		w.lose(r)
		*r = request{}
	}
}

// lose takes in that an answer will never be durable.
func (w *world) lose(r *request) {
	if r.rotated {
		w.cut[r.token.family] = true
	}
}

// request returns the one a process waits for, nil if it is over.
func (w *world) request(i int) *request {
	for n := range w.requests {
		if w.requests[n].sender == int8(i)+1 {
			return &w.requests[n]
		}
	}
	return nil
}

// hangUp leaves the request of process i to itself.
func (w *world) hangUp(i int) {
	r := w.request(i)
	switch {
	case r == nil:
	case r.answered:
		w.lose(r)
		*r = request{}
	default:
		r.sender = gone
		r.deadline = min(r.deadline, linger)
	}
}

func (p *proc) outcomeIs(o grant.Outcome) {
	p.phase, p.outcome, p.sentAt = answered, outcome(o), 0
}

// settle is the end of an attempt without tokens, as the policy judges it.
func (m *model) settle(w *world, i int) (bad kinds) {
	p := &w.procs[i]
	j := p.job
	defer p.rest()
	if !m.without.cas && (w.row.version != j.version || w.row.attempt.id != j.attempt.id && !m.without.intent || !w.row.live()) {
		return 0 // ErrStale
	}
	v := m.judge(j, p.outcome)
	w.row.reason, w.row.due = v.reason, v.next
	w.row.refusals, w.row.refusedAt = v.refusals, v.refusedAt
	switch v.action {
	case grant.Hold:
		w.row.attempt.unknown = !m.without.intent
		if m.without.lease {
			w.row.attempt = attempt{} // given back; nobody remembers what it was for
		}
	case grant.Die:
		bad = m.lost(w, j.token.family)
		fallthrough
	default:
		w.row.attempt = attempt{}
	}
	return bad
}

// verdict is a small grant.Verdict.
type verdict struct {
	action    grant.Action
	reason    reason
	next      tick
	refusals  int8
	refusedAt tick
}

// question is what a verdict depends on.
type question struct {
	job     row
	outcome outcome
}

// judge asks the code under test, once for every question.
func (m *model) judge(j row, o outcome) verdict {
	j.version, j.token, j.attempt.id, j.attempt.owner = version{}, token{}, 0, 0
	q := question{j, o}
	if v, ok := m.verdicts[q]; ok {
		return v
	}
	kind := grant.FirstSend
	if j.attempt.resend {
		kind = grant.Resend
	}
	g := grant.Grant{
		ExpiresAt: j.expires.time(), Status: grant.StatusOf(reasons[j.reason], base),
		Refusals: int(j.refusals),
		Attempt:  &grant.Attempt{Kind: kind, OpenedAt: j.attempt.opened.time()},
	}
	if j.refusals > 0 {
		g.RefusedAt = j.refusedAt.time()
	}
	judged := m.policy.Judge(g, grant.Facts{Outcome: grant.Outcome(o), Now: base})
	if m.without.settle && grant.Outcome(o) == grant.Lost {
		judged.Next = base
	}
	v := verdict{action: judged.Action, reason: reasonOf(judged.Reason), next: max(ticks(judged.Next), 0), refusals: min(int8(judged.Refusals), 2)}
	if v.refusals > 0 {
		v.refusedAt = max(ticks(judged.RefusedAt), ages)
	}
	m.verdicts[q] = v
	return v
}

// lost judges a grant that can no longer be refreshed.
func (m *model) lost(w *world, family int8) kinds {
	if m.rotation.recoverable() || !w.cut[family] {
		return loss
	}
	return explained
}

func (p *proc) rest() {
	p.phase, p.job, p.outcome, p.got, p.sentAt = idle, row{}, 0, token{}, 0
}

// replay commits what the journal of process i holds, as a start does.
func (m *model) replay(w *world, i int) (bad kinds) {
	e := w.procs[i].journal
	w.procs[i].journal = entry{}
	if e.attempt == 0 || m.without.replay {
		return 0
	}
	ok, bad := m.commit(w, e)
	if !ok && w.row.version == e.of && w.row.live() {
		bad |= parked
	}
	return bad
}
