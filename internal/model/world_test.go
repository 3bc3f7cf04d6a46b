package model

import (
	"cmp"
	"slices"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
)

// tick is a moment or a length of time, in half seconds; moments are relative to
// now, so that worlds that differ only in the date are one.
type tick int16

const second tick = 2

const (
	sendTimeout = 4 * second
	window      = 60 * second  // of the grace kinds
	accessLife  = 120 * second // of an access token
	lease       = 2 * second   // of the lease that there is in the place of the open attempt, if that is switched off
	// linger is how long a request may be under way after its sender has gone.
	linger = second / 2
	// longest bounds a pause and an outage of the store: longer than any barrier,
	// and together with a resend still inside the window.
	longest = 2*sendTimeout + 2*second
	ages    = -12 * second // moments before this are all the same
	never   = tick(1 << 14)
)

// base is now, for the code under test.
var base = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func (t tick) time() time.Time { return base.Add(time.Duration(t) * time.Second / 2) }

func ticks(t time.Time) tick {
	if t.IsZero() {
		return never
	}
	d := t.Sub(base)
	return tick((d + time.Second/2 - 1) / (time.Second / 2))
}

// world is everything that is true at one moment. It is comparable: two worlds
// that are equal have the same future.
type world struct {
	row      row
	procs    [2]proc
	requests [3]request
	families [2]family
	down     bool // the store cannot be reached
	upBy     tick
	left     int8 // refreshes that may still be committed
	consents int8 // re-authorizations that may still happen
	faults   int8 // faults that may still happen
	// What only the judge knows.
	highest version // that was ever current
	durable [2]int8 // the newest generation we had, by family
	cut     [2]bool // an answer that rotated this family's token was lost before it was durable
}

type version struct{ epoch, seq int8 }

func (v version) before(o version) bool {
	return v.epoch < o.epoch || v.epoch == o.epoch && v.seq < o.seq
}

// row is the store's row of the grant.
type row struct {
	version
	token     token
	expires   tick
	due       tick
	reason    reason
	refusals  int8
	refusedAt tick
	attempt   attempt
}

// attempt is the open attempt; id 0 is none.
type attempt struct {
	id, owner       int8
	resend, unknown bool
	abandoned       bool // its owner has died
	opened          tick
}

// reason stands for a grant.Reason.
type reason int8

var reasons = []grant.Reason{grant.OK, grant.AnswerLost, grant.ProviderUnavailable, grant.Network, grant.RotationLost, grant.RefreshRejected}

func reasonOf(r grant.Reason) reason {
	for i, known := range reasons {
		if known == r {
			return reason(i)
		}
	}
	panic("the model does not know reason " + string(r))
}

func (r row) live() bool { return reasons[r.reason].State().Live() }

// phase is how far a process is with its refresh.
type phase int8

const (
	idle      phase = iota
	claimed         // an attempt is open, nothing is sent
	waiting         // sent
	answered        // the outcome is in memory
	journaled       // the answer is in the journal
	degraded        // and published from there, because the store cannot be reached
	committed       // and in the store
)

// proc is one process and its disk.
type proc struct {
	up       bool
	paused   bool
	resumeBy tick
	phase    phase
	job      row // the grant as it was claimed
	sentAt   tick
	outcome  outcome
	got      token
	journal  entry // survives
}

// entry is a journaled answer; attempt 0 is none.
type entry struct {
	attempt int8
	of      version
	token   token
}

// outcome is a small grant.Outcome.
type outcome int8

// request is one that is under way.
type request struct {
	sender   int8 // the process plus one, or gone; 0 is no request
	token    token
	deadline tick // it is over by then
	answered bool // the answer is under way
	outcome  outcome
	got      token
	rotated  bool // it consumed its token
}

// shift lets d pass.
func (m *model) shift(w *world, d tick) {
	past := func(t *tick, least tick) {
		if *t != never {
			*t = max(*t-d, least)
		}
	}
	row := func(r *row) {
		if m.guarded {
			past(&r.expires, 0)
		}
		past(&r.due, 0)
		if r.refusals > 0 {
			past(&r.refusedAt, ages)
		}
		if r.attempt.id != 0 {
			past(&r.attempt.opened, ages)
		}
	}
	row(&w.row)
	for i := range w.procs {
		p := &w.procs[i]
		if p.phase != idle {
			row(&p.job)
		}
		if p.phase == waiting {
			past(&p.sentAt, ages)
		}
		if p.paused {
			past(&p.resumeBy, 0)
		}
	}
	for i := range w.requests {
		if w.requests[i].sender != 0 {
			past(&w.requests[i].deadline, 0)
		}
	}
	for i := range w.families {
		for g, spent := range w.families[i].spent {
			if spent {
				past(&w.families[i].used[g], -window-1)
			}
		}
	}
	if w.down {
		past(&w.upBy, 0)
	}
}

// gone is the sender of a request whose sender has died or given up.
const gone = 3

// busy reports whether a process is in the middle of something.
func (w *world) busy() bool {
	if w.row.attempt.id != 0 {
		return true
	}
	for _, p := range w.procs {
		if p.phase != idle || p.journal.attempt != 0 {
			return true
		}
	}
	for _, r := range w.requests {
		if r.sender != 0 {
			return true
		}
	}
	return false
}

// rank orders two processes, which are the same to everybody else.
func (p proc) rank() int {
	n := int(p.phase)<<8 | int(p.journal.attempt)<<4 | int(p.job.attempt.id)
	if p.up {
		n |= 1 << 12
	}
	if p.paused {
		n |= 1 << 13
	}
	return n
}

// swap renames the processes.
func (w *world) swap() {
	w.procs[0], w.procs[1] = w.procs[1], w.procs[0]
	if a := &w.row.attempt; a.id != 0 && !a.unknown {
		a.owner = 1 - a.owner
	}
	for i := range w.procs {
		if a := &w.procs[i].job.attempt; a.id != 0 {
			a.owner = 1 - a.owner
		}
	}
	for i := range w.requests {
		if r := &w.requests[i]; r.sender != 0 && r.sender != gone {
			r.sender = 3 - r.sender
		}
	}
}

// tidy forgets what can make no difference any more, so that more worlds are
// the same.
func (m *model) tidy(w *world) {
	slices.SortFunc(w.requests[:], func(a, b request) int {
		return cmp.Or(cmp.Compare(b.sender, a.sender), cmp.Compare(b.token.family, a.token.family),
			cmp.Compare(b.token.gen, a.token.gen), cmp.Compare(b.deadline, a.deadline))
	})
	if m.rotation.recoverable() {
		w.cut = [2]bool{} // explains nothing
		for i := range w.requests {
			w.requests[i].rotated = false
		}
	}
	if a := &w.row.attempt; a.unknown {
		a.owner, a.abandoned = 0, false
	}
	w.row.attempt.opened = 0 // the one that counts is the process's
	if w.procs[1].rank() > w.procs[0].rank() {
		w.swap()
	}
	if w.busy() {
		w.forget()
		return
	}
	// Only the row holds a token: its history is over.
	at := w.row.token
	f := w.families[at.family]
	f.used, f.spent = [generations]tick{}, [generations]bool{}
	if f.current == at.gen {
		f.current, f.retired, w.row.token.gen = 0, 0, 0
		w.row.seq, w.highest.seq, w.durable[at.family] = 0, 0, 0
	}
	if at.family == 1 {
		w.row.token.family, w.row.epoch, w.highest.epoch = 0, 1, 1
		w.families[0], w.cut[0], w.durable[0] = f, w.cut[1], w.durable[1]
	} else {
		w.families[0] = f
	}
	w.families[1], w.cut[1], w.durable[1] = family{}, false, 0
}

// forget drops the first use of tokens that nobody can present any more.
func (w *world) forget() {
	var held [2][generations]bool
	hold := func(t token, there bool) { held[t.family][t.gen] = held[t.family][t.gen] || there }
	hold(w.row.token, true)
	for _, p := range w.procs {
		hold(p.job.token, p.phase != idle)
		hold(p.journal.token, p.journal.attempt != 0)
	}
	for _, r := range w.requests {
		hold(r.token, r.sender != 0)
		hold(r.got, r.answered)
	}
	for i := range w.families {
		f := &w.families[i]
		for g := range f.used {
			if !held[i][g] {
				f.used[g], f.spent[g] = 0, false
			}
		}
	}
}
