package telemetry

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"sync"
	"time"
)

// Trends keeps how refreshes went lately, for people: how many, how fast and why
// not, over an hour, a day and a month, and what providers answered when they
// refused. It is this process's memory and begins empty; metrics are for whoever
// wants to keep more. What an app costs does not depend on its businesses: about
// 70 kB. It is safe for concurrent use.
type Trends struct {
	now   func() time.Time
	since time.Time

	mu   sync.Mutex
	apps map[string]*trend
}

// NewTrends returns Trends that begin now, by the given clock.
func NewTrends(now func() time.Time) *Trends {
	return &Trends{now: now, since: now(), apps: map[string]*trend{}}
}

// Since returns when counting began.
func (t *Trends) Since() time.Time { return t.since }

// The bounds of what is kept of an app.
const (
	mostReasons = 24 // more than there are
	mostAnswers = 40
	speeds      = 40 // each a third wider than the one before, from 2 ms to a minute
)

// fastest is the end of the first range of latencies.
const fastest = 2 * time.Millisecond

const wider = 1.3

// trend is one app's.
type trend struct {
	reasons []string // by their number in slots
	spans   [3]span
	answers map[Answer]*Seen
}

// span is a ring of slots that together last for a while.
type span struct {
	width time.Duration
	slots []slot
}

// slot counts what happened in one slot of time.
type slot struct {
	number int64 // since 1970, in widths; tells of what time the counts are
	ok     uint32
	failed [mostReasons]uint32
	took   [speeds]uint32
}

// Spans are how far back can be asked.
func Spans() []time.Duration { return []time.Duration{time.Hour, 24 * time.Hour, 30 * 24 * time.Hour} }

func newTrend() *trend {
	t := &trend{answers: map[Answer]*Seen{}}
	for i, width := range []time.Duration{time.Minute, 15 * time.Minute, 6 * time.Hour} {
		// One more than the span has, because the newest slot is not over.
		t.spans[i] = span{width, make([]slot, Spans()[i]/width+1)}
	}
	return t
}

// at returns the slot of a moment, emptied if it was of another time.
func (s *span) at(now time.Time) *slot {
	n := now.UnixNano() / int64(s.width)
	sl := &s.slots[n%int64(len(s.slots))]
	if sl.number != n {
		*sl = slot{number: n}
	}
	return sl
}

// of returns an app's trend. The lock is held.
func (t *Trends) of(app string) *trend {
	tr := t.apps[app]
	if tr == nil {
		tr = newTrend()
		t.apps[app] = tr
	}
	return tr
}

// refreshed counts a refresh; why is "" if it went well.
func (t *Trends) refreshed(app, why string, took time.Duration) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	tr := t.of(app)
	reason, speed := -1, speedOf(took)
	if why != "" {
		reason = tr.reason(why)
	}
	for i := range tr.spans {
		sl := tr.spans[i].at(now)
		if reason < 0 {
			sl.ok++
		} else {
			sl.failed[reason]++
		}
		sl.took[speed]++
	}
}

// reason returns the number of a reason. What comes after the last number shares it.
func (tr *trend) reason(why string) int {
	n := slices.Index(tr.reasons, why)
	if n < 0 {
		if n = len(tr.reasons); n == mostReasons {
			return mostReasons - 1
		}
		tr.reasons = append(tr.reasons, why)
	}
	return n
}

// speedOf returns the range that a latency is in.
func speedOf(took time.Duration) int {
	if took <= fastest {
		return 0
	}
	n := int(math.Ceil(math.Log(float64(took)/float64(fastest)) / math.Log(wider)))
	return min(n, speeds-1)
}

// ends returns where a range of latencies begins and ends.
func ends(speed int) (from, to time.Duration) {
	to = time.Duration(float64(fastest) * math.Pow(wider, float64(speed)))
	if speed > 0 {
		from = time.Duration(float64(to) / wider)
	}
	return from, to
}

// Answer is what a provider answered instead of tokens, without what differs from
// one time to the next.
type Answer struct {
	Status      int    // of HTTP; 0 if there was no answer
	Code        string // the provider's, such as invalid_grant
	Description string // redacted and cut to length
}

// Seen is how often an answer came.
type Seen struct {
	Answer
	Count       int
	First, Last time.Time
}

// answered counts an answer. The one that was not seen for longest is forgotten if
// there are too many.
func (t *Trends) answered(app string, a Answer) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	tr := t.of(app)
	s := tr.answers[a]
	if s == nil {
		if len(tr.answers) == mostAnswers {
			oldest := slices.MinFunc(slices.Collect(maps.Values(tr.answers)), func(x, y *Seen) int { return x.Last.Compare(y.Last) })
			delete(tr.answers, oldest.Answer)
		}
		s = &Seen{Answer: a, First: now}
		tr.answers[a] = s
	}
	s.Count++
	s.Last = now
}

// Trend is how an app's refreshes went for a while.
type Trend struct {
	OK       int
	Failed   int
	Reasons  []ReasonCount // why not, the most frequent first
	P50, P95 time.Duration // from opening an attempt to its durable end, within a third above 2 ms; 0 if there were none
}

// ReasonCount is how many refreshes did not succeed for a reason.
type ReasonCount struct {
	Reason string
	Count  int
}

// Of returns how an app's refreshes went within each of [Spans].
func (t *Trends) Of(app string) [3]Trend {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	var all [3]Trend
	if tr := t.apps[app]; tr != nil {
		for i := range all {
			all[i] = tr.sum(&tr.spans[i], now)
		}
	}
	return all
}

// sum adds up the slots of a span that ends now.
func (tr *trend) sum(s *span, now time.Time) Trend {
	var sum slot
	newest := now.UnixNano() / int64(s.width)
	for i := range s.slots {
		sl := &s.slots[i]
		if sl.number > newest || sl.number <= newest-int64(len(s.slots)) {
			continue
		}
		sum.ok += sl.ok
		for r, n := range sl.failed {
			sum.failed[r] += n
		}
		for v, n := range sl.took {
			sum.took[v] += n
		}
	}
	out := Trend{OK: int(sum.ok), P50: sum.quantile(0.5), P95: sum.quantile(0.95)}
	for r, why := range tr.reasons {
		if n := int(sum.failed[r]); n > 0 {
			out.Failed += n
			out.Reasons = append(out.Reasons, ReasonCount{why, n})
		}
	}
	slices.SortFunc(out.Reasons, func(x, y ReasonCount) int { return cmp.Or(y.Count-x.Count, cmp.Compare(x.Reason, y.Reason)) })
	return out
}

// quantile returns the latency that a share of all did not exceed, as if they were
// spread evenly within their ranges.
func (sl *slot) quantile(share float64) time.Duration {
	total := 0.0
	for _, n := range sl.took {
		total += float64(n)
	}
	rank, below := share*total, 0.0
	for v, n := range sl.took {
		if n > 0 && below+float64(n) >= rank {
			from, to := ends(v)
			return from + time.Duration(float64(to-from)*(rank-below)/float64(n))
		}
		below += float64(n)
	}
	return 0
}

// Answers returns what an app's provider answered instead of tokens, the last seen
// first.
func (t *Trends) Answers(app string) []Seen {
	t.mu.Lock()
	defer t.mu.Unlock()
	tr := t.apps[app]
	if tr == nil {
		return nil
	}
	var all []Seen
	for _, s := range tr.answers {
		all = append(all, *s)
	}
	slices.SortFunc(all, func(x, y Seen) int {
		return cmp.Or(y.Last.Compare(x.Last), cmp.Compare(x.Code, y.Code), cmp.Compare(x.Description, y.Description), x.Status-y.Status)
	})
	return all
}
