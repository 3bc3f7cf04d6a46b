package why

import (
	"fmt"
	"time"

	"github.com/evergrant/evergrant/client"
)

// tale is the story of one grant while its log is replayed.
type tale struct {
	t        *teller
	grant    string
	chapters []Chapter

	good renewals // since the last chapter
	seq  int64    // of the newest renewal, -1 if it is not known
	// adopted says that the tokens were handed over, not given for a login.
	adopted bool
	run     run // failed renewals since the last chapter
	// proof is what the grant was given up for, as long as it is.
	proof []try
}

// renewals are renewals without anything between them that is worth telling.
type renewals struct {
	n           int64
	first, last time.Time
	attempt     string
}

// add adds a chapter about the grant.
func (tl *tale) add(c Chapter) {
	c.Grant = tl.grant
	if c.To.Before(c.From) {
		c.To = c.From
	}
	tl.chapters = append(tl.chapters, c)
}

// issued tells of an approval, or of tokens that were taken over.
func (tl *tale) issued(e client.Event, who string) {
	again := len(tl.chapters) > 0 || len(tl.run) > 0 || tl.good.n > 0 || countOf(e.Data, "epoch") > 1
	unsettled := tl.run.unsettled()
	tl.settle()
	text := "Connected"
	if tl.adopted = textOf(e.Data, "source") == "adopted"; tl.adopted {
		text = "Connected with tokens that were handed over"
	}
	if again {
		text += " again"
	}
	if who != "" {
		text += ", approved by " + who
	}
	text = fullStop(text)
	if unsettled {
		text += " An answer that still came to the try before is kept aside and not used."
	}
	tl.add(Chapter{From: e.Time, To: e.Time, What: aboutLogin, Text: text})
	tl.proof, tl.seq = nil, 0
}

// refreshed takes in a renewal.
func (tl *tale) refreshed(e client.Event) {
	n := int64(1)
	if seq := countOf(e.Data, "seq"); seq >= 0 {
		// The log forgets renewals first, so count by their number where it is known.
		if tl.seq >= 0 && seq > tl.seq {
			n = seq - tl.seq
		}
		tl.seq = seq
	}
	attempt := ownID(textOf(e.Data, "attempt"))
	if from, ok := e.Data["recovered"].(string); ok {
		tl.settle()
		tl.add(Chapter{From: e.Time, To: e.Time, What: aboutRecovery, Text: recovery(from), Attempt: attempt})
		return
	}
	if len(tl.run) > 0 {
		tl.renewedAgain(e.Time)
		return
	}
	if tl.good.n == 0 {
		tl.good.first = e.Time
		if before := len(tl.chapters); n > 1 && before > 0 {
			tl.good.first = tl.chapters[before-1].To
		}
	}
	tl.good.n += n
	tl.good.last, tl.good.attempt = e.Time, attempt
}

// recovery says how an answer that had come was not lost.
func recovery(from string) string {
	if from == "journal" {
		return "New tokens had come and could not be stored: our database could not be written, or this server stopped at that " +
			"moment. They had been kept in the journal and were stored now. Nothing was lost."
	}
	return "The provider refused again. Before the approval was given up, new tokens that had come too late and been kept " +
		"aside were put in place."
}

// failed takes in a renewal that failed.
func (tl *tale) failed(e client.Event) {
	tr := tryOf(e)
	tr.adopted = tl.adopted
	if tr.cause == misconfigured && tl.t.told {
		return // that is the app's story
	}
	tl.flush()
	if n := len(tl.run); n > 0 && tr.at.Sub(tl.run[n-1].until()) > longSilence {
		tl.settle() // what ended this is gone from the log
	}
	tl.run = append(tl.run, tr)
	if tr.final {
		tl.proof = tl.run.proof()
		tl.settle()
	}
}

// longSilence is how long after the time of the next try nothing may be heard
// before the failures that follow count as another episode.
const longSilence = time.Hour

// renewedAgain ends a run of failures with a success.
func (tl *tale) renewedAgain(at time.Time) {
	if len(tl.run) > 0 {
		tl.finish(at, func(about time.Time) string { return tl.run.success(tl.t.when, at, about) })
	}
}

// settle ends whatever goes on.
func (tl *tale) settle() {
	tl.flush()
	tl.finish(time.Time{}, nil)
}

// flush tells of the renewals that went well.
func (tl *tale) flush() {
	g := tl.good
	tl.good = renewals{}
	switch {
	case g.n == 0:
	case g.n == 1:
		tl.add(Chapter{From: g.first, To: g.last, What: aboutRenewals, Tries: 1, Attempt: g.attempt, Text: "Renewed."})
	default:
		tl.add(Chapter{From: g.first, To: g.last, What: aboutRenewals, Tries: int(g.n), Attempt: g.attempt,
			Text: fmt.Sprintf("Renewed %d times without trouble, the last time at %s.", g.n, tl.t.when.near(g.last, g.first))})
	}
}

// finish tells of the run of failures, and how it ended: ending makes a
// sentence that follows one about the given moment.
func (tl *tale) finish(at time.Time, ending func(about time.Time) string) {
	told := tl.run.chapters(tl.t.when)
	for i, c := range told {
		if i == len(told)-1 && ending != nil {
			c.Text = sentences(c.Text, ending(c.From))
			if at.After(c.To) {
				c.To = at
			}
		}
		tl.add(c)
	}
	tl.run = nil
}

// revoked tells what the provider made of the end of a grant.
func (tl *tale) revoked(e client.Event) {
	tl.settle()
	text := "The provider was told to end its tokens, and did."
	if done, _ := e.Data["at_provider"].(bool); !done {
		text = "The provider could not be told to end its tokens"
		if why := foreign(textOf(e.Data, "error")); why != "" {
			text += " (" + why + ")"
		}
		text += "."
	}
	tl.add(Chapter{From: e.Time, To: e.Time, What: aboutRevoked, Text: text})
}

// open tells what is not over at the end of the log.
func (tl *tale) open(g client.Grant) {
	open := g.OpenAttempt
	if len(tl.run) > 0 && live(g.State) {
		next := g.NextTryAt
		if open != nil {
			next = open.BarrierAt
		}
		tl.finish(time.Time{}, func(about time.Time) string {
			return sentences(tl.run.next(tl.t.when, next, tl.t.now, about), tokenUntil(tl.t.when, g, tl.t.now, about))
		})
	}
	if open == nil || tl.heard(open.ID) {
		return
	}
	text := "A renewal was begun, and no answer is here yet."
	if open.Kind == "resend" {
		text = "The same token was sent once more, because nobody knows what became of the try before, and no answer is here yet."
	}
	if at := open.BarrierAt; at.After(tl.t.now) {
		text += fmt.Sprintf(" If none comes, that is settled at %s.", tl.t.when.near(at, open.OpenedAt))
	} else {
		text += " If none comes, that is settled next."
	}
	tl.settle()
	tl.add(Chapter{From: open.OpenedAt, To: open.OpenedAt, What: aboutOpen, Text: text, Tries: 1, Attempt: ownID(open.ID)})
}

// heard reports whether the last thing told is how this attempt went.
func (tl *tale) heard(attempt string) bool {
	n := len(tl.chapters)
	return n > 0 && tl.chapters[n-1].Attempt == attempt
}

// tokenUntil says how long callers are served meanwhile.
func tokenUntil(when calendar, g client.Grant, now, about time.Time) string {
	if g.ExpiresAt.IsZero() {
		return ""
	}
	if g.ExpiresAt.After(now) {
		return "The token in hand works until " + when.near(g.ExpiresAt, about) + "."
	}
	return "The token in hand has ended."
}
