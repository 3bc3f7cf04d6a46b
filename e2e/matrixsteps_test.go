package e2e_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/oracle"
)

// actions are what is made to happen at each step.
var actions = []string{
	"kill",  // the process ends as by kill -9
	"error", // an operation fails, once
	"pause", // the process stops for longer than a request may take, and goes on
	"stop",  // the same, and it is killed while it stands still
	"down",  // from there on the store cannot be written for three seconds
	"panic", // a bug of ours
}

// step is a durable step of a refresh, or the gap beside one, at which
// everything that can go wrong is made to go wrong.
type step struct {
	name  string
	point string // as in EVERGRANT_FAULT, without its action
	with  string // faults that lead there
	first string // the fault an earlier process died of, if the step is its successor's
	only  string // the one store that has this step, if it is not in all

	// trouble is how the provider answers the first request, if not well.
	trouble oracle.Fault
	// lost: the tokens that the provider issued are gone when the fault has
	// happened, whatever it is; killed: when it ends the process.
	lost, killed bool
	// cannot are the actions that make no sense here.
	cannot []string
}

// A commit is tried five times before its token is served from the journal, and
// goes on in the background: seven failures let the second of those succeed.
var unwritable = strings.Join([]string{
	"refresh.before-commit=error@1", "refresh.before-commit=error@2", "refresh.before-commit=error@3", "refresh.before-commit=error@4",
	"refresh.before-commit=error@5", "refresh.before-commit=error@6", "refresh.before-commit=error@7",
}, ",")

var steps = []step{
	{name: "before a claim", point: "refresh.before-claim", cannot: []string{"down"}}, // as at its COMMIT
	{name: "before the COMMIT of a claim", point: "refresh.before-claim>store.before-commit"},
	{name: "after the COMMIT of a claim", point: "refresh.before-claim>store.committed", cannot: []string{"error"}},
	{name: "the answer to the COMMIT of a claim is lost", only: onPostgreSQL, point: "refresh.before-claim>store.committed", cannot: butFailing},
	{name: "claimed", point: "refresh.claimed"},
	{name: "before sending", point: "refresh.before-send"},
	{name: "answer received", point: "refresh.received", killed: true, cannot: []string{"error"}},
	{name: "before the journal is written", point: "spool.before-write", killed: true},
	{name: "journal written", point: "spool.written"},
	{name: "before a commit", point: "refresh.before-commit"},
	{name: "before the COMMIT of a commit", point: "refresh.before-commit>store.before-commit"},
	{name: "after the COMMIT of a commit", point: "refresh.before-commit>store.committed", cannot: []string{"error"}},
	{name: "the answer to the COMMIT of a commit is lost", only: onPostgreSQL, point: "refresh.before-commit>store.committed", cannot: butFailing},
	{name: "committed", point: "refresh.committed"},
	{name: "before the journal is marked", point: "spool.before-done"},

	{name: "store down, before the journal is flushed", with: unwritable, point: "spool.before-sync", cannot: []string{"down"}},
	{name: "store down, journal flushed", with: unwritable, point: "spool.synced", cannot: []string{"down"}},
	{name: "store down, before the journal is written", with: unwritable, point: "spool.before-write", killed: true, cannot: []string{"pause", "down", "panic"}},
	{name: "store down, journal cannot be written", with: unwritable + ",spool.before-write=error@2", point: "spool.before-write", cannot: []string{"kill", "pause", "stop", "down", "panic"}},

	{name: "provider fails, before settling", trouble: failing, point: "refresh.before-settle"},
	{name: "provider fails, before the COMMIT of settling", trouble: failing, point: "refresh.before-settle>store.before-commit"},
	{name: "provider fails, after the COMMIT of settling", trouble: failing, point: "refresh.before-settle>store.committed", cannot: []string{"error"}},
	{name: "provider fails, the answer to the COMMIT of settling is lost", only: onPostgreSQL, trouble: failing, point: "refresh.before-settle>store.committed", cannot: butFailing},
	{name: "provider fails, settled", trouble: failing, point: "refresh.settled"},

	{name: "connection cut before the request is processed, noticed", trouble: unread, point: "refresh.received", cannot: butDying},
	{name: "connection cut before the request is processed, before settling", trouble: unread, point: "refresh.before-settle", cannot: butDying},
	{name: "connection cut before the request is processed, settled", trouble: unread, point: "refresh.settled", cannot: butDying},

	{name: "connection cut before the answer, noticed", trouble: unanswered, point: "refresh.received", lost: true, cannot: butDying},
	{name: "connection cut before the answer, before settling", trouble: unanswered, point: "refresh.before-settle", lost: true},
	{name: "connection cut before the answer, settled", trouble: unanswered, point: "refresh.settled", lost: true},

	{name: "connection cut in the answer, noticed", trouble: torn, point: "refresh.received", lost: true, cannot: butDying},
	{name: "connection cut in the answer, before the journal is written", trouble: torn, point: "spool.before-write", lost: true, cannot: butDying},
	{name: "connection cut in the answer, journal written", trouble: torn, point: "spool.written", lost: true, cannot: butDying},
	{name: "connection cut in the answer, before parking", trouble: torn, point: "refresh.before-park", lost: true, cannot: butDying},
	{name: "connection cut in the answer, parked", trouble: torn, point: "refresh.parked", lost: true, cannot: butDying},
	{name: "connection cut in the answer, before settling", trouble: torn, point: "refresh.before-settle", lost: true, cannot: butDying},

	{name: "answer unusable, before parking", trouble: unusable, point: "refresh.before-park", lost: true},
	{name: "answer unusable, before the COMMIT of parking", trouble: unusable, point: "refresh.before-park>store.before-commit", lost: true},
	{name: "answer unusable, the answer to the COMMIT of parking is lost", only: onPostgreSQL, trouble: unusable, point: "refresh.before-park>store.committed", lost: true, cannot: butFailing},
	{name: "answer unusable, parked", trouble: unusable, point: "refresh.parked", lost: true},

	{name: "recovering, before a commit", first: "spool.written=kill", point: "refresh.before-commit", cannot: []string{"error", "down"}},
	{name: "recovering, before its COMMIT", first: "spool.written=kill", point: "refresh.before-commit>store.before-commit", cannot: []string{"error", "down"}},
	{name: "recovering, committed", first: "spool.written=kill", point: "refresh.committed", cannot: []string{"error", "down"}},
	{name: "recovering, before the journal is marked", first: "spool.written=kill", point: "spool.before-done", cannot: []string{"error", "down"}},
	{name: "recovering what was committed, before the journal is marked", first: "refresh.committed=kill", point: "spool.before-done", cannot: []string{"error", "down"}},
}

// happens reports whether an action is made to happen at the step in a store.
func (s step) happens(action string, where site) bool {
	return (s.only == "" || s.only == where.name) && !slices.Contains(s.cannot, action)
}

// butDying leaves a step to processes that die there.
var butDying = []string{"error", "pause", "stop", "down", "panic"}

// butFailing leaves a step to operations that fail there.
var butFailing = []string{"kill", "pause", "stop", "down", "panic"}

var (
	failing    = oracle.Fault{Status: 500, Body: "out of order"}
	unread     = oracle.Fault{LoseRequest: true}
	unanswered = oracle.Fault{LoseAnswer: true}
	torn       = oracle.Fault{CutAnswer: true}
	unusable   = oracle.Fault{Edit: func(answer map[string]any) { delete(answer, "access_token") }}
)

// exchangeSteps are the durable steps of a code exchange. Where killed is set,
// the death of the process takes the tokens along, and the merchant has to
// approve again.
var exchangeSteps = []step{
	{name: "before the code is sent", point: "connect.before-send", killed: true, cannot: []string{"error"}},
	{name: "answer received", point: "connect.received", killed: true, cannot: []string{"error"}},
	{name: "before the journal is written", point: "spool.before-write", killed: true},
	{name: "journal written", point: "spool.written"},
	{name: "before the journal is flushed", point: "spool.before-sync"},
	{name: "journal flushed", point: "spool.synced"},
	{name: "in the spool", point: "connect.spooled", cannot: []string{"error"}},
	{name: "before the tokens are stored", point: "connect.before-issue"},
	{name: "before the COMMIT of the tokens", point: "connect.before-issue>store.before-commit"},
	{name: "after the COMMIT of the tokens", point: "connect.before-issue>store.committed", cannot: []string{"error", "down"}},
	{name: "the answer to the COMMIT of the tokens is lost", only: onPostgreSQL, point: "connect.before-issue>store.committed", cannot: butFailing},
	{name: "stored", point: "connect.issued", cannot: []string{"error", "down"}},
	{name: "before the journal is marked", point: "spool.before-done", cannot: []string{"down"}},
}

// TestTheMatricesLeaveOutNoPoint compares the steps with the points in the code.
func TestTheMatricesLeaveOutNoPoint(t *testing.T) {
	t.Parallel()
	points := faultPoints(t)
	met := make(map[string]bool)
	for _, s := range slices.Concat(steps, exchangeSteps) {
		for point := range strings.SplitSeq(s.point, ">") {
			if !points[point] {
				t.Errorf("%s: there is no point %s in the code", s.name, point)
			}
		}
		met[s.point[strings.Index(s.point, ">")+1:]] = true
		if left := len(actions) - len(s.cannot); left < 1 {
			t.Errorf("%s: nothing happens there", s.name)
		}
	}
	for _, step := range moveSteps {
		point, _, _ := strings.Cut(step, "@")
		if met[point] = true; !points[point] {
			t.Errorf("a copy is killed at %s, and there is no such point in the code", point)
		}
	}
	for point := range points {
		if !met[point] {
			t.Errorf("nothing goes wrong at %s; add a step", point)
		}
	}
	for _, action := range actions {
		if !slices.ContainsFunc(steps, func(s step) bool { return !slices.Contains(s.cannot, action) }) {
			t.Errorf("%s happens nowhere", action)
		}
	}
}

// faultPoints returns the names of all points in the code.
func faultPoints(t *testing.T) map[string]bool {
	t.Helper()
	call := regexp.MustCompile(`fault\.Point\(([^)]*)\)`)
	found := make(map[string]bool)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range call.FindAllSubmatch(text, -1) {
			name, err := strconv.Unquote(string(m[1]))
			if err != nil {
				t.Errorf("%s: fault.Point(%s) has no name of its own, so nobody can see that it is tested", path, m[1])
				continue
			}
			found[name] = true
		}
		return nil
	})
	if err != nil || len(found) == 0 {
		t.Fatalf("%d points found: %v", len(found), err)
	}
	return found
}
