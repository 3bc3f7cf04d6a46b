package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/oracle"
)

// reader is an app that fetches tokens from one replica and uses them: of each
// grant one after the other, because only of those can be said which was handed
// out later.
type reader struct {
	judge  *judge
	server *server
	grants int
	// mortal is set where the server is killed: that it does not answer is no
	// finding then.
	mortal bool

	mu       sync.Mutex
	handed   map[int]handed
	refused  map[int]time.Time // when each grant's token was refused last
	lost     map[int]bool      // grants of which the last answer was that the merchant has to authorize again
	used     int
	findings []string
}

// handed is the token of a grant that a replica handed out last.
type handed struct {
	generation int
	expiry     time.Time
	at         time.Time
}

// read has a reader read until stop is called, which returns when it has ended.
func read(t *testing.T, j *judge, s *server, grants int, mortal bool) (r *reader, stop func()) {
	t.Helper()
	r = &reader{judge: j, server: s, grants: grants, mortal: mortal, handed: map[int]handed{}, refused: map[int]time.Time{}, lost: map[int]bool{}}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for n := range grants {
		all.Go(func() {
			pace := time.NewTicker(time.Duration(grants) * 20 * time.Millisecond)
			defer pace.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-pace.C:
					r.read(ctx, n)
				}
			}
		})
	}
	stop = sync.OnceFunc(func() { cancel(); all.Wait() })
	t.Cleanup(stop)
	return r, stop
}

// readAll has every server of a fleet read.
func readAll(t *testing.T, j *judge, fleet []*server, grants int, mortal bool) (all readers, stop func()) {
	t.Helper()
	var stops []func()
	for _, s := range fleet {
		r, stop := read(t, j, s, grants, mortal)
		all, stops = append(all, r), append(stops, stop)
	}
	return all, func() {
		for _, stop := range stops {
			stop()
		}
	}
}

// read fetches a token and uses it.
func (r *reader) read(ctx context.Context, n int) {
	patience, cancel := context.WithTimeout(ctx, 40*time.Second)
	if r.mortal {
		patience, cancel = context.WithTimeout(ctx, time.Second)
	}
	defer cancel()
	token, err := r.server.Token(patience, ref(n), nil)
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			r.refused[n], r.lost[n] = now, errors.Is(err, evergrant.ErrReauthorize)
			r.judgeRefusal(n, now, err)
		}
		return
	}
	r.used, r.lost[n] = r.used+1, false
	generation, issued := r.judge.Generation(token.AccessToken)
	switch {
	case !issued:
		r.finding("%s: a token that was never issued", ref(n))
	case generation < r.handed[n].generation:
		r.finding("%s: generation %d was handed out %v after generation %d", ref(n), generation, now.Sub(r.handed[n].at), r.handed[n].generation)
	case !r.judge.AccessValid(token.AccessToken):
		r.finding("%s: a token of generation %d was handed out that does not work; it is said to end in %v", ref(n), generation, token.Expiry.Sub(now))
	}
	r.handed[n] = handed{generation, token.Expiry, now}
}

// leastLeft is how long a token that is handed out is good for at least, unless
// the caller says otherwise, and if it lives for long enough.
const leastLeft = 10 * time.Second

// judgeRefusal looks at an error: the last token handed out has nearly ended, and
// the error says when to come again.
func (r *reader) judgeRefusal(n int, now time.Time, err error) {
	var e *evergrant.Error
	switch {
	case r.mortal, r.lost[n]: // which has to be explained
	case !errors.As(err, &e), !errors.Is(err, evergrant.ErrTemporary), e.Code != "temporarily_unavailable", e.RetryAfter < time.Second:
		r.finding("%s: refused with %#v", ref(n), err)
	case r.handed[n].expiry.Sub(now) > leastLeft+time.Second:
		r.finding("%s: refused although the token handed out before is good for another %v: %v", ref(n), r.handed[n].expiry.Sub(now), err)
	}
}

func (r *reader) finding(format string, args ...any) {
	if len(r.findings) < 20 {
		r.findings = append(r.findings, fmt.Sprintf("process %d: ", r.server.lives)+fmt.Sprintf(format, args...))
	}
}

// last is the token of a grant that was handed out last, and whether the grant
// was lost since.
func (r *reader) last(n int) (_ handed, lost bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.handed[n], r.lost[n]
}

// refusedSince reports whether a read of every grant was refused after a moment.
func (r *reader) refusedSince(from time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for n := range r.grants {
		if !r.refused[n].After(from) {
			return false
		}
	}
	return true
}

// readers are those of a fleet.
type readers []*reader

// agree reports whether all of them were handed the newest token of every grant,
// or that it is lost, after a moment.
func (all readers) agree(from time.Time) bool {
	newest := all[0].judge.newest()
	for n := range all[0].grants {
		for _, r := range all {
			if h, lost := r.last(n); !lost && (h.at.Before(from) || h.generation != newest[business(n)]) {
				return false
			}
		}
	}
	return true
}

// judge tells what they found.
func (all readers) judge(t *testing.T) {
	t.Helper()
	for _, r := range all {
		r.mu.Lock()
		for _, f := range r.findings {
			t.Error(f)
		}
		r.mu.Unlock()
	}
}

// lost returns the businesses of which any of them heard last that they have to
// authorize again.
func (all readers) lost() []string {
	var names []string
	for n := range all[0].grants {
		if slices.ContainsFunc(all, func(r *reader) bool { _, lost := r.last(n); return lost }) {
			names = append(names, business(n))
		}
	}
	return names
}

// used counts the tokens that were handed out.
func (all readers) used() int {
	n := 0
	for _, r := range all {
		r.mu.Lock()
		n += r.used
		r.mu.Unlock()
	}
	return n
}

// refusal asks for a token as any program would, and returns the status and what
// the answer says about coming again.
func (s *server) refusal(n int) (status int, retryAfter string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.api+"/v1/connections/"+string(ref(n))+"/token", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.key)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode, res.Header.Get("Retry-After")
}

// judgeSends tells what no replica may do, whatever happens to it.
func (j *judge) judgeSends(t *testing.T, policy string) oracle.Report {
	t.Helper()
	r := j.Report()
	if r.Overlaps != 0 || r.Unknown != 0 {
		t.Errorf("%d sends overlapped and %d tokens were never issued", r.Overlaps, r.Unknown)
	}
	if n := wentBack(j.Sends()); n != 0 {
		t.Errorf("%d refresh tokens were presented after one of their successors", n)
	}
	// Where every repetition brings a new pair, a token whose answers were cut off
	// twice is two generations late through nobody's fault.
	if single := policy == oracle.Strict || policy == oracle.FamilyKill; single && r.TwoLate != 0 {
		t.Errorf("%d refresh tokens were presented two generations late", r.TwoLate)
	}
	return r
}

// newest is the generation that the last refresh of each business brought.
func (j *judge) newest() map[string]int {
	newest := map[string]int{}
	for _, s := range j.Sends() {
		newest[s.Grant] = max(newest[s.Grant], s.Issued)
	}
	return newest
}

// senders counts the requests of each replica of a fleet.
func senders(sends []oracle.Send, n int) []int {
	by := make([]int, n)
	for _, s := range sends {
		client, _, _ := strings.Cut(s.Client, ".") // from what a witness adds
		if process, err := strconv.Atoi(client); err == nil && process/processes < n {
			by[process/processes]++
		}
	}
	return by
}

// stored is how long an answer may take from the provider to our database.
const stored = 2 * time.Second

// judgeLosses tells of grants that are lost although the provider lets a refresh
// be repeated, or although nothing explains it: an answer that was cut off, as
// the oracle proves, by one of the blows.
func (j *judge) judgeLosses(t *testing.T, policy string, lost []string, blows []blow) {
	t.Helper()
	for _, name := range lost {
		cut, proven := j.Cut(name)
		late := cut
		late.End = late.End.Add(stored - slack)
		switch {
		case policy != oracle.Strict && policy != oracle.FamilyKill:
			t.Errorf("%s is lost under %s", name, policy)
		case !proven:
			t.Errorf("%s is lost and no rotation of it was cut off", name)
		case !slices.ContainsFunc(blows, func(b blow) bool { return b.cut(late) }):
			t.Errorf("%s is lost and nothing explains it: %s", name, around(blows, cut))
		}
	}
}
