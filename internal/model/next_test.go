package model

import "github.com/evergrant/evergrant/internal/grant"

// step names a transition and the process or request it is about.
type step struct {
	what string
	who  int
}

// next emits every world that may follow w, with what went wrong on the way,
// and reports whether there is one that needs no fault.
func (m *model) next(w world, emit func(step, world, kinds)) (more bool) {
	do := func(what string, who int, change func(w *world) kinds) {
		n := w
		bad := change(&n)
		m.tidy(&n)
		emit(step{what, who}, n, bad)
		more = true
	}
	for i := range w.procs {
		m.work(&w, i, do)
	}
	for i := range w.requests {
		m.wire(&w, i, do)
	}
	if w.consents > 0 && !w.down && (w.busy() || !w.row.live()) {
		do("the merchant approves again", -1, func(w *world) kinds {
			w.consents--
			return m.make(w, version{w.row.epoch + 1, 0}, token{family: w.row.token.family + 1})
		})
	}
	if w.down {
		do("the store comes back", -1, func(w *world) kinds { w.down, w.upBy = false, 0; return 0 })
	}
	if d, ok := m.pass(&w); ok {
		do("time passes", int(d), func(w *world) kinds { m.shift(w, d); return 0 })
	}
	if w.faults > 0 {
		calm := more
		m.fault(&w, func(what string, who int, change func(w *world) kinds) {
			do(what, who, func(w *world) kinds { w.faults--; return change(w) })
		})
		more = calm
	}
	return more
}

type doer func(what string, who int, change func(w *world) kinds)

// work is what process i may do of its own accord.
func (m *model) work(w *world, i int, do doer) {
	p := w.procs[i]
	switch {
	case !p.up:
		if !w.down {
			do("starts", i, func(w *world) kinds {
				w.procs[i].up = true
				return m.replay(w, i)
			})
		}
		return
	case p.paused:
		do("goes on", i, func(w *world) kinds { w.procs[i].paused, w.procs[i].resumeBy = false, 0; return 0 })
		return
	}
	if other := 1 - i; !w.procs[other].up && w.procs[other].journal.attempt != 0 && !w.down {
		do("replays the other's journal", i, func(w *world) kinds { return m.replay(w, other) })
	}
	switch p.phase {
	case idle:
		if resend, ok := m.claimable(w, i); ok {
			do("claims", i, func(w *world) kinds { m.claim(w, i, resend); return 0 })
		}
	case claimed:
		if m.giveUp(&p) <= linger {
			do("is too late to send", i, func(w *world) kinds { w.procs[i].outcomeIs(grant.NotSent); return 0 })
			return
		}
		do("sends", i, func(w *world) kinds { return m.send(w, i) })
	case waiting:
		if m.giveUp(&p) <= 0 {
			do("gives up waiting", i, func(w *world) kinds { w.hangUp(i); w.procs[i].outcomeIs(grant.Lost); return 0 })
		}
	case answered:
		if p.outcome != outcome(grant.Granted) {
			if !w.down {
				do("settles", i, func(w *world) kinds { return m.settle(w, i) })
			}
			return
		}
		do("journals", i, func(w *world) kinds { w.journal(i, p.got); return 0 })
	case journaled, degraded:
		m.conclude(w, i, do)
	case committed:
		do("marks its journal", i, func(w *world) kinds {
			w.procs[i].journal = entry{}
			w.procs[i].rest()
			return 0
		})
	}
}

// journals writes an answer to the process's disk.
func (w *world) journal(i int, t token) {
	p := &w.procs[i]
	p.journal = entry{p.job.attempt.id, p.job.version, t}
	w.durable[t.family] = max(w.durable[t.family], t.gen)
	p.rest()
	p.phase = journaled
}

// conclude commits a journaled answer, or hands it out while that cannot be done.
func (m *model) conclude(w *world, i int, do doer) {
	switch {
	case !w.down:
		do("commits", i, func(w *world) kinds {
			p := &w.procs[i]
			ok, bad := m.commit(w, p.journal)
			if !ok && w.row.version == p.journal.of && w.row.live() {
				bad |= parked
			}
			p.phase = committed
			return bad
		})
	case w.procs[i].phase == journaled:
		do("hands out from the journal", i, func(w *world) kinds {
			p := &w.procs[i]
			p.phase = degraded
			w.families[p.journal.token.family].use(m.rotation, p.journal.token)
			return 0
		})
	}
}

// wire is what may happen to request n.
func (m *model) wire(w *world, n int, do doer) {
	r := w.requests[n]
	switch {
	case r.sender == 0:
	case !r.answered:
		do("is processed", n, func(w *world) kinds { m.process(w, &w.requests[n]); return 0 })
	default:
		i := int(r.sender - 1)
		if w.procs[i].paused {
			return
		}
		do("is answered", n, func(w *world) kinds {
			p := &w.procs[i]
			p.outcomeIs(grant.Outcome(r.outcome))
			w.requests[n] = request{}
			switch {
			case grant.Outcome(r.outcome) != grant.Granted:
			case m.without.before:
				p.got = r.got
				w.families[r.got.family].use(m.rotation, r.got)
			default: // what lies between is in memory, like an answer under way
				w.journal(i, r.got)
			}
			return 0
		})
	}
}

// fault is everything that may go wrong.
func (m *model) fault(w *world, do doer) {
	for i, p := range w.procs {
		if !p.up || p.phase == idle && i > 0 {
			continue // an idle process that dies changes little; once is enough
		}
		do("dies", i, func(w *world) kinds {
			p := &w.procs[i]
			if p.phase == answered && p.outcome == outcome(grant.Granted) {
				w.cut[p.job.token.family] = true
			}
			w.hangUp(i)
			p.rest()
			p.up, p.paused, p.resumeBy = false, false, 0
			if w.row.attempt.id != 0 && int(w.row.attempt.owner) == i {
				w.row.attempt.abandoned = true
			}
			return 0
		})
		if !p.paused && p.phase != idle {
			do("is paused", i, func(w *world) kinds { w.procs[i].paused, w.procs[i].resumeBy = true, longest; return 0 })
		}
	}
	if !w.down {
		do("the store goes down", -1, func(w *world) kinds { w.down, w.upBy = true, longest; return 0 })
	}
	for n, r := range w.requests {
		if r.sender == 0 || r.sender == gone || r.answered {
			continue
		}
		end := func(o grant.Outcome) func(w *world) kinds {
			return func(w *world) kinds {
				r := &w.requests[n]
				r.answered, r.outcome = true, outcome(o)
				return 0
			}
		}
		spent := func(o grant.Outcome) func(w *world) kinds {
			return func(w *world) kinds {
				r := &w.requests[n]
				m.process(w, r)
				w.lose(r)
				r.outcome, r.rotated, r.got = outcome(o), false, token{}
				return 0
			}
		}
		do("is lost", n, end(grant.Lost))
		do("meets a server error", n, end(grant.Unclear))
		do("is processed and its answer lost", n, spent(grant.Lost))
		do("is processed and answered with a server error", n, spent(grant.Unclear))
		if r.deadline < m.giveUp(&w.procs[r.sender-1]) {
			do("takes longer than its sender waits", n, func(w *world) kinds {
				w.requests[n].deadline += 2 * linger
				return 0
			})
		}
	}
}

// pass returns how long nothing more has to happen at this very moment, if
// so. Processes are quick: what they can do, they do before time passes, unless
// they are paused. Requests are over by their deadline.
func (m *model) pass(w *world) (tick, bool) {
	least := never
	until := func(t tick) bool {
		if t > 0 {
			least = min(least, t)
		}
		return t > 0
	}
	running := false
	for i, p := range w.procs {
		switch {
		case !p.up:
			continue
		case p.paused:
			if !until(p.resumeBy) {
				return 0, false
			}
		case p.phase == waiting:
			if !until(m.giveUp(&p)) {
				return 0, false
			}
		case p.phase == degraded && w.down, p.phase == answered && p.outcome != outcome(grant.Granted) && w.down:
		case p.phase != idle:
			return 0, false
		default:
			if _, ok := m.claimable(w, i); ok && w.row.due <= 0 {
				return 0, false
			}
		}
		running = true
		if other := w.procs[1-i]; !p.paused && !other.up && other.journal.attempt != 0 && !w.down {
			return 0, false
		}
	}
	for _, r := range w.requests {
		if r.sender == 0 {
			continue
		}
		if r.answered && !w.procs[r.sender-1].paused || !until(r.deadline) && !r.answered {
			return 0, false
		}
	}
	if w.down && !until(w.upBy) || !running {
		return 0, false
	}
	if w.row.live() && w.row.due != never {
		until(w.row.due)
	}
	return least, least != never
}
