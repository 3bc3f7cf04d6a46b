package why

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/words"
)

// cause is why a renewal brought nothing.
type cause string

const (
	lost          cause = "lost"
	refused       cause = "refused"
	misconfigured cause = "misconfigured"
	throttled     cause = "throttled"
	unclear       cause = "unclear"
	unsent        cause = "not_sent"
	noKey         cause = "no_key"
	noRefresh     cause = "no_refresh"
	spent         cause = "spent" // noRefresh, and the access token has ended
)

// noRefreshToken is how the engine describes an attempt that had nothing to send.
const noRefreshToken = "there is no refresh token"

// try is one renewal that failed.
type try struct {
	cause
	from, at time.Time // asked, and known to have failed
	next     time.Time // when the grant is looked at again; zero if never
	reason   string
	code     string // the provider's, "" if none
	status   int64  // of the provider's answer, -1 if not known
	said     string
	final    bool // the grant was given up
	resend   bool // it repeated one of unknown outcome
	id       string
	repeats  string // the try of unknown outcome that it repeats
	// elsewhere: somebody else may have used what was refused; adopted: they had it
	// before us.
	elsewhere, adopted bool
}

// tryOf reads the event of a failed renewal.
func tryOf(e client.Event) try {
	tr := try{
		cause: unclear, from: e.Time, at: e.Time, reason: e.Reason, code: foreign(textOf(e.Data, "error")),
		status: countOf(e.Data, "status"), said: foreign(textOf(e.Data, "description")),
		resend: textOf(e.Data, "kind") == "resend", id: ownID(textOf(e.Data, "attempt")),
		repeats: ownID(textOf(e.Data, "repeats")),
	}
	tr.final, _ = e.Data["final"].(bool)
	tr.elsewhere = textOf(e.Data, "suspect") == "used_elsewhere"
	if ms := countOf(e.Data, "duration_ms"); ms > 0 {
		tr.from = e.Time.Add(-min(time.Duration(ms), time.Hour/time.Millisecond) * time.Millisecond)
	}
	if next, err := time.Parse(time.RFC3339, textOf(e.Data, "next_try_at")); err == nil {
		tr.next = next
	}
	switch c := cause(textOf(e.Data, "outcome")); c {
	case lost, refused, misconfigured, throttled:
		tr.cause = c
	case unsent:
		switch {
		case tr.said == noRefreshToken && tr.final:
			tr.cause = spent
		case tr.said == noRefreshToken:
			tr.cause = noRefresh
		case e.Reason == "key_unavailable":
			tr.cause = noKey
		default:
			tr.cause = unsent
		}
	}
	return tr
}

// until is when something more was to be heard of the grant.
func (tr try) until() time.Time {
	if tr.next.After(tr.at) {
		return tr.next
	}
	return tr.at
}

// run is failed renewals of one grant, one after the other.
type run []try

// unsettled reports whether nobody knows what became of one of them.
func (r run) unsettled() bool {
	return len(r) > 0 && !r[len(r)-1].final && r.has(lost)
}

func (r run) has(c cause) bool {
	return slices.ContainsFunc(r, func(tr try) bool { return tr.cause == c })
}

// proof is what the grant was given up for: every refusal, and an answer that
// was lost before.
func (r run) proof() []try {
	return slices.DeleteFunc(slices.Clone(r), func(tr try) bool { return tr.cause != refused && tr.cause != lost && tr.cause != spent })
}

// chapters tells of the run: a chapter for each cause in turn, but a lost answer
// and what asking again brought in one.
func (r run) chapters(when calendar) []Chapter {
	var out []Chapter
	for i := 0; i < len(r); {
		n := 1
		for i+n < len(r) && r[i+n].cause == r[i].cause {
			n++
		}
		before, part := r[:i], r[i:i+n]
		i += n
		if part[0].cause == refused && len(before) > 0 && before[len(before)-1].cause == lost {
			c := &out[len(out)-1]
			c.Text = sentences(c.Text, part.refusedAgain(part.times(when, c.From), before))
			c.To, c.Tries, c.Attempt = part.last().at, c.Tries+n, part.last().id
			if part.last().final {
				c.What = aboutEnd
			}
			continue
		}
		out = append(out, Chapter{From: part[0].from, To: part.last().at, What: part.what(), Text: part.text(when, before),
			Tries: n, Attempt: part.last().id})
	}
	return out
}

func (r run) last() try { return r[len(r)-1] }

// what is what a part of a run, all of one cause, is about.
func (r run) what() string {
	switch {
	case r.last().final:
		return aboutEnd
	case r[0].cause == lost:
		return aboutLost
	case r[0].cause == refused:
		return aboutRefusal
	case r[0].cause == unsent, r[0].cause == noKey, r[0].cause == noRefresh:
		return aboutUnsent
	case r[0].cause == misconfigured:
		return aboutIncidents
	}
	return aboutTrouble
}

// text tells of a part of a run, all of one cause.
func (r run) text(when calendar, before run) string {
	last := r.last()
	switch last.cause {
	case lost:
		const unknown = "nobody can know whether the provider had given them out."
		if len(r) == 1 {
			return "We asked for new tokens and the answer never came back: " + unknown
		}
		return fmt.Sprintf("We asked for new tokens %d times%s, and no answer came back: %s", len(r), r.lasting(when), unknown)
	case refused:
		if last.resend {
			return r.refusedAgain(r.times(when, time.Time{}), before)
		}
		return r.refused(when, before)
	case spent:
		return "The access token has ended, and the provider had never given one to renew it with: only a new login helps."
	case noRefresh:
		return "There is nothing to renew with: the provider gave only an access token. It works until it ends."
	}
	phrase := map[cause]string{
		misconfigured: "the provider refused our client id or secret",
		throttled:     "the provider asked us to come back later",
		unclear:       "the provider answered with " + r.answered(),
		unsent:        "the request could not be sent",
		noKey:         "the key that opens our stored tokens was not available, so nothing was sent",
	}[last.cause] + r.details()
	first, size := utf8.DecodeRuneInString(phrase)
	phrase = string(unicode.ToUpper(first)) + phrase[size:]
	if len(r) == 1 {
		return phrase + "."
	}
	return fmt.Sprintf("%s%s: %d tries.", phrase, r.lasting(when), len(r))
}

// answered is what a provider answers that neither grants nor refuses.
func (r run) answered() string {
	if slices.ContainsFunc(r, func(tr try) bool { return tr.code != "" || tr.status >= 300 }) {
		return "an error of its own instead of new tokens"
	}
	return "something that is neither new tokens nor a refusal"
}

// lasting is how long a part of a run went on.
func (r run) lasting(when calendar) string {
	from, to := r[0].from, r.last().at
	if to.Sub(from) < time.Second {
		return " within a second"
	}
	return fmt.Sprintf(" until %s (%s)", when.near(to, from), words.Span(to.Sub(from)))
}

// details are the provider's words, or those of our side of the network.
func (r run) details() string {
	const most = 3
	var words []string
	note := func(s string) {
		if s != "" && !slices.Contains(words, s) && len(words) < most {
			words = append(words, s)
		}
	}
	for _, tr := range r {
		if tr.status > 0 {
			note(strconv.FormatInt(tr.status, 10))
		}
		note(tr.code)
	}
	if r[0].cause == unsent {
		note(r.last().said)
	}
	if len(words) == 0 {
		return ""
	}
	return " (" + strings.Join(words, ", ") + ")"
}

// quote is what the provider said when it refused.
func (tr try) quote() string {
	switch {
	case tr.code != "" && tr.said != "":
		return fmt.Sprintf(" (%s, %q)", tr.code, tr.said)
	case tr.code+tr.said != "":
		return " (" + tr.code + tr.said + ")"
	}
	return ""
}

// refused tells of refusals of a token that had not been sent before.
func (r run) refused(when calendar, before run) string {
	last, n := r.last(), len(r)
	text := "The provider refused to renew" + last.quote()
	if before.has(refused) {
		text = "The provider refused to renew once more" + last.quote()
	}
	switch {
	case n == 2:
		text += ", and again at " + when.near(last.at, r[0].from)
	case n > 2:
		text += fmt.Sprintf("%s: %d tries", r.lasting(when), n)
	}
	switch {
	case !last.final && n == 1 && !before.has(refused):
		return text + ". One refusal proves nothing."
	case !last.final:
		return text + ". That is no proof yet."
	}
	return text + ". " + whyEnded(last)
}

// times says when a part of a run was asked, in a sentence about another moment.
// Zero stands for the part's own.
func (r run) times(when calendar, about time.Time) string {
	first := ""
	if !about.IsZero() {
		first = " at " + when.near(r[0].at, about)
	} else {
		about = r[0].from
	}
	switch len(r) {
	case 1:
		return "once more" + first
	case 2:
		return "once more" + first + " and again at " + when.near(r.last().at, about)
	}
	return fmt.Sprintf("%d times more%s", len(r), r.lasting(when))
}

// refusedAgain tells of refusals of a token that had been sent before, by a try
// whose outcome nobody knows. times says when.
func (r run) refusedAgain(times string, before run) string {
	last := r.last()
	intro, asked := "", "We asked "+times+" with the same token and it was refused"
	if !before.has(lost) && !before.has(unclear) {
		intro = "The try before" + inBrackets(r[0].repeats) + " was cut off: this server stopped, or stood still, before its answer was kept."
	}
	text := sentences(intro, asked+last.quote())
	switch {
	case !last.final:
		return text + ". One refusal proves nothing."
	case last.reason != "rotation_lost":
		return text + ". " + whyEnded(last)
	}
	return text + ", so the provider had given out new ones and that answer is gone. The approval has ended."
}

// inBrackets is an id beside what it is the id of.
func inBrackets(id string) string {
	if id == "" {
		return ""
	}
	return " (" + id + ")"
}

// whyEnded says why refusals are the end.
func whyEnded(last try) string {
	switch last.reason {
	case "deadline_passed":
		return "The time within which the provider wants a token renewed had passed. The approval has ended."
	case "rotation_lost":
		return "A try before must have been granted, and its answer is gone. The approval has ended."
	}
	text := "One refusal would prove nothing; two do: the approval has ended."
	if last.elsewhere {
		text += " It was refused the first time we used it, and too young to end by itself: unless access was removed at the provider, " +
			"another program has used it."
	}
	return text
}

// success says that a run ended well, in a sentence about another moment.
func (r run) success(when calendar, at, about time.Time) string {
	t := when.near(at, about)
	switch {
	case r.last().cause == lost:
		return fmt.Sprintf("We asked once more at %s with the same token and got new ones: nothing was lost.", t)
	case r.has(lost):
		return fmt.Sprintf("At %s the same token brought new ones: nothing was lost.", t)
	case r.last().cause == refused:
		return fmt.Sprintf("Asked once more at %s, it renewed.", t)
	}
	return fmt.Sprintf("At %s it was renewed.", t)
}

// next says when a run goes on, in a sentence about another moment.
func (r run) next(when calendar, at, now, about time.Time) string {
	what := "The next try is"
	if r.unsettled() {
		what = "We ask once more with the same token"
	}
	switch {
	case at.IsZero():
		return ""
	case at.Sub(now) >= time.Second:
		return fmt.Sprintf("%s at %s (in %s).", what, when.near(at, about), words.Span(at.Sub(now)))
	}
	return what + " now."
}
