package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/sandbox"
)

const (
	harbour = evergrant.Ref("harbour@k-series")
	groupID = 310007700000700
)

// place is the id of one of the group's five locations.
func place(n int) string { return fmt.Sprint(groupID + n) }

// branches is a business with five locations that no one user sees all of, its
// users in the sandbox, and a server.
type branches struct {
	*server
	box    string
	grants map[string]string // by user
}

func newBranches(t *testing.T) *branches {
	t.Helper()
	box := httptest.NewServer(sandbox.New(sandbox.Config{}))
	t.Cleanup(box.Close)
	b := &branches{server: newServer(t), box: box.URL, grants: make(map[string]string)}
	b.env = []string{"EVERGRANT_SANDBOX_URL=" + box.URL}
	b.configure(`  k-series:
    provider: lightspeed-k
    environment: sandbox
    client_id: devp-v2-demo-branches
    client_secret: {file: secrets/client-secret}
    scopes: [financial-api, offline_access]
    refresh: {min_interval: 1s}
`, "")
	b.start()
	return b
}

// sees sets what a user of the group sees.
func (b *branches) sees(user string, places ...int) {
	b.t.Helper()
	group := sandbox.Business{ID: groupID, Name: "Harbour Group", Currency: "EUR"}
	for _, n := range places {
		group.Locations = append(group.Locations, sandbox.Location{ID: int64(groupID + n), Name: fmt.Sprint("Bar ", n), Country: "BE", Timezone: "Europe/Brussels"})
	}
	body, err := json.Marshal(sandbox.User{Email: b.email(user), Password: "sandbox", Name: user, Businesses: []sandbox.Business{group}})
	if err != nil {
		b.t.Fatal(err)
	}
	if status, answer := ask(b.t, http.MethodPost, b.box+"/_sandbox/users", "", string(body)); status != http.StatusOK {
		b.t.Fatalf("the sandbox's users: %d %s", status, answer)
	}
}

func (b *branches) email(user string) string { return user + "@harbour.example" }

// approves has a user follow a link that was made for the locations, and returns
// the page it ends at.
func (b *branches) approves(user string, n client.NewLink) string {
	b.t.Helper()
	n.Ref, n.BusinessName = harbour, "Harbour Group"
	l, err := b.CreateLink(b.t.Context(), n)
	if err != nil {
		b.t.Fatal(err)
	}
	before := b.known()
	final, page, err := sandbox.Visit{Email: b.email(user)}.Follow(b.t.Context(), l.URL)
	if err != nil || final != l.URL+"/done" {
		b.t.Fatalf("%s ended at %s: %v\n%s", user, final, err, page)
	}
	for _, id := range b.known() {
		if !slices.Contains(before, id) {
			b.grants[user] = id
		}
	}
	return page
}

// known returns the ids of the grants there are.
func (b *branches) known() []string {
	gs, err := b.Grants(b.t.Context(), harbour)
	if err != nil && !errors.Is(err, evergrant.ErrNotFound) {
		b.t.Fatal(err)
	}
	var ids []string
	for _, g := range gs {
		ids = append(ids, g.ID)
	}
	return ids
}

// expected is the whole answer, in words: for each of the locations its
// users, and who could restore it.
type expected struct {
	reached   map[int][]string
	restore   map[int][]string
	uncovered []int
	single    []int
	minimal   []string
}

// expect compares the JSON of the coverage, every member of it.
func (b *branches) expect(what, method, path string, e expected) {
	b.t.Helper()
	status, body := ask(b.t, method, b.api+"/v1/connections/"+url.PathEscape(string(harbour))+path, b.key, "")
	var got map[string]any
	if err := json.Unmarshal(body, &got); err != nil || status != http.StatusOK {
		b.t.Fatalf("%s: %d %s", what, status, body)
	}
	if at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(got["as_of"])); err != nil || time.Since(at) > time.Hour {
		b.t.Errorf("%s: as of %v", what, got["as_of"])
	}
	delete(got, "as_of")
	names := func(users []string) []any {
		ids := []any{}
		for _, u := range users {
			ids = append(ids, b.grants[u])
		}
		slices.SortFunc(ids, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
		return ids
	}
	ids := func(places []int) []any {
		list := []any{}
		for _, n := range places {
			list = append(list, place(n))
		}
		return list
	}
	var locations []any
	for n := 1; n <= 5; n++ {
		users, known := e.reached[n]
		if !known {
			continue
		}
		l := map[string]any{"id": place(n), "name": fmt.Sprint("Bar ", n), "business_id": fmt.Sprint(groupID), "business_name": "Harbour Group",
			"required": true, "grants": names(users)}
		if by := e.restore[n]; by != nil {
			l["restorable_by"] = names(by)
		}
		locations = append(locations, l)
	}
	for _, l := range got["locations"].([]any) { // of those who could restore it, the grant will do here
		l := l.(map[string]any)
		by, ok := l["restorable_by"].([]any)
		for i := range by {
			by[i] = by[i].(map[string]any)["grant"]
		}
		if ok {
			slices.SortFunc(by, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
		}
	}
	want := map[string]any{"locations": locations, "uncovered": ids(e.uncovered), "single_grant": ids(e.single), "minimal_grants": names(e.minimal)}
	if d := cmp.Diff(want, got); d != "" {
		b.t.Errorf("%s: %s", what, d)
	}
}

// TestACombinationOfTokensReachesEveryLocation is the case Lightspeed's own page
// raises: no one user sees all five locations of a business.
func TestACombinationOfTokensReachesEveryLocation(t *testing.T) {
	t.Parallel()
	b := newBranches(t)
	b.sees("anna", 1, 2)
	b.sees("ben", 2, 3)
	b.sees("cleo", 4, 5)
	b.sees("dora", 1, 5)

	b.approves("anna", client.NewLink{})
	b.expect("anna has connected", http.MethodGet, "/locations", expected{
		reached: map[int][]string{1: {"anna"}, 2: {"anna"}}, single: []int{1, 2}, minimal: []string{"anna"}})
	b.approves("ben", client.NewLink{Purpose: "add_grant"})
	b.expect("ben has, too", http.MethodGet, "/locations", expected{
		reached: map[int][]string{1: {"anna"}, 2: {"anna", "ben"}, 3: {"ben"}}, single: []int{1, 3}, minimal: []string{"anna", "ben"}})
	if page := b.approves("cleo", client.NewLink{Locations: []string{place(3), place(4), place(5)}}); strings.Contains(page, "Still missing") {
		t.Errorf("nothing is missing:\n%s", page)
	}
	all := map[int][]string{1: {"anna"}, 2: {"anna", "ben"}, 3: {"ben"}, 4: {"cleo"}, 5: {"cleo"}}
	b.expect("all three have", http.MethodGet, "/locations", expected{
		reached: all, single: []int{1, 3, 4, 5}, minimal: []string{"anna", "ben", "cleo"}})
	for n, users := range all {
		tok, err := b.Token(t.Context(), harbour, &evergrant.TokenOptions{Location: place(n)})
		if err != nil || !slices.Contains(tok.Locations, place(n)) {
			t.Errorf("location %d, which %v see: %+v, %v", n, users, tok, err)
		}
	}

	// A user loses a location without anybody saying so.
	b.sees("cleo", 4)
	b.expect("cleo has lost one", http.MethodPost, "/locations/refresh", expected{
		reached: map[int][]string{1: {"anna"}, 2: {"anna", "ben"}, 3: {"ben"}, 4: {"cleo"}, 5: {}}, restore: map[int][]string{5: {"cleo"}},
		uncovered: []int{5}, single: []int{1, 3, 4}, minimal: []string{"anna", "ben", "cleo"}})
	b.lost(place(5))
	status, problem := ask(t, http.MethodGet, b.api+"/v1/connections/harbour@k-series/token?location="+place(5), b.key, "")
	if !strings.Contains(string(problem), `"locations":["`+place(5)+`"]`) || status != http.StatusConflict {
		t.Errorf("a token for what nobody reaches: %d %s", status, problem)
	}

	// A user leaves.
	if status, body := ask(t, http.MethodPost, b.box+"/_sandbox/users/"+b.email("anna")+"/revoke", "", "{}"); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	every(t, time.Second, 3*time.Minute, "anna's grant is found to be dead", func() bool {
		_, _ = b.Refresh(t.Context(), harbour)
		g, err := b.Grant(t.Context(), b.grants["anna"])
		return err == nil && g.State == "needs_reauthorization"
	})
	b.expect("anna has left", http.MethodGet, "/locations", expected{
		reached: map[int][]string{1: {}, 2: {"ben"}, 3: {"ben"}, 4: {"cleo"}, 5: {}}, restore: map[int][]string{1: {"anna"}, 5: {"cleo"}},
		uncovered: []int{1, 5}, single: []int{2, 3, 4}, minimal: []string{"ben", "cleo"}})
	conn, err := b.Connection(t.Context(), harbour)
	if err != nil || conn.State != "connected" || !slices.Contains(conn.Flags, "locations_missing") {
		t.Errorf("%+v, %v", conn, err)
	}

	// Somebody else is asked for what is missing, and the link names it.
	l, err := b.CreateLink(t.Context(), client.NewLink{Ref: harbour, Purpose: "add_grant"})
	if err != nil || !strings.Contains(l.Message.Text, "- Bar 1\n- Bar 5\n") {
		t.Errorf("%+v, %v", l, err)
	}
	b.approves("dora", client.NewLink{Locations: []string{place(1), place(5)}})
	b.expect("dora has been added", http.MethodGet, "/locations", expected{
		reached: map[int][]string{1: {"dora"}, 2: {"ben"}, 3: {"ben"}, 4: {"cleo"}, 5: {"dora"}},
		single:  []int{1, 2, 3, 4, 5}, minimal: []string{"ben", "cleo", "dora"}})
	_, body := ask(t, http.MethodGet, b.box+"/_sandbox/report", "", "")
	var report sandbox.Report
	if err := json.Unmarshal(body, &report); err != nil || len(report.Violations) > 0 {
		t.Errorf("%v: %+v", err, report.Violations)
	}
}

// lost fails the test unless the last change of locations tells of one that is
// lost, and by whom it could be restored.
func (b *branches) lost(id string) {
	b.t.Helper()
	events, err := b.Events(b.t.Context(), client.EventFilter{Types: []string{"connection.locations_changed"}, Ref: harbour, Limit: 100})
	if err != nil || len(events.Data) == 0 {
		b.t.Fatalf("%v, %v", events, err)
	}
	e := events.Data[len(events.Data)-1]
	restore, _ := e.Data["restore"].([]any)
	if d := cmp.Diff([]any{id}, e.Data["lost"]); d != "" || len(restore) != 1 || e.Grant != b.grants["cleo"] || e.ActBy != "merchant" {
		b.t.Errorf("%s%+v", d, e)
	}
}
