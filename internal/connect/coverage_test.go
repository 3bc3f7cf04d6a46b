package connect

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/coverage"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// People of the Harbour Group, and what they see of it.
const (
	olivia = "olivia@harbour-group.example" // everything
	marc   = "marc@harbour-group.example"   // the Quay Bar
	lena   = "lena@harbour-group.example"   // the others

	quay, lighthouse, pier = "310004455667789", "310004455667790", "310004455667791"
)

// coverage reads what biz_42 reaches at the app.
func (k *kit) coverage(app string) coverage.Coverage {
	k.t.Helper()
	c, err := k.store.Connection(k.t.Context(), grant.Ref{Key: "biz_42", App: app})
	if err != nil {
		k.t.Fatal(err)
	}
	got, _ := k.svc.coverage(k.t.Context(), c)
	return got
}

// changes returns the data of the events that tell of changed locations.
func (k *kit) changes() []map[string]any {
	k.t.Helper()
	es, _, err := k.store.ListEvents(k.t.Context(), store.EventFilter{Types: []string{string(grant.ConnectionLocationsChanged)}}, store.Page{Limit: 100})
	if err != nil {
		k.t.Fatal(err)
	}
	var all []map[string]any
	for _, e := range es {
		all = append(all, e.Data)
	}
	return all
}

// loses takes locations away from the only grant, as a reading does.
func (k *kit) loses(app string, ids ...string) {
	k.t.Helper()
	g := k.grants(app)[0]
	ls, err := k.store.Locations(k.t.Context(), g.ConnectionID)
	if err != nil {
		k.t.Fatal(err)
	}
	ls = slices.DeleteFunc(ls, func(l grant.Location) bool { return slices.Contains(ids, l.ID) })
	if err := k.store.SetLocations(k.t.Context(), g.ID, ls); err != nil {
		k.t.Fatal(err)
	}
}

func TestALinkForAFurtherLoginNamesWhatIsMissing(t *testing.T) {
	k := newKit(t, nil)
	k.visit(k.browser(false), olivia, k.link("k-series", nil).URL)
	k.loses("k-series", lighthouse, pier)

	for name, ids := range map[string][]string{"all that is missing": nil, "some of it, and one nobody ever saw": {pier, quay, "4711"}} {
		l := k.link("k-series", func(r *LinkRequest) { r.Purpose, r.Locations = grant.PurposeAddGrant, ids })
		want, others := []string{"Lighthouse Kitchen", "Pier Café"}, []string{"Quay Bar"}
		if ids != nil {
			want, others = []string{"4711", "Pier Café"}, []string{"Quay Bar", "Lighthouse Kitchen"}
		}
		if !strings.Contains(l.Text, "does not see these locations of Café Nord yet:\n\n- "+strings.Join(want, "\n- ")+"\n\nPlease") {
			t.Errorf("%s: the message is\n%s", name, l.Text)
		}
		_, body := k.get(k.browser(false), l.URL)
		wants(t, body, append([]string{"Add a login for Café Nord", "Still missing:", "Log in as somebody who can see these locations."}, want...)...)
		for _, other := range others {
			if strings.Contains(body, other) || strings.Contains(l.Text, other) {
				t.Errorf("%s: %s is not asked for", name, other)
			}
		}
	}

	// Somebody logs in who cannot see them either.
	l := k.link("k-series", func(r *LinkRequest) { r.Locations = []string{lighthouse, pier} })
	final, body := k.visit(k.browser(false), marc, l.URL)
	if final != l.URL+"/done" {
		t.Fatalf("ended at %s\n%s", final, body)
	}
	wants(t, body, "Café Nord is connected", "but not yet with every location", "Connected locations of Harbour Group:", "Quay Bar",
		"Still missing:", "Lighthouse Kitchen", "Pier Café", "Nobody who has connected can see what is missing")

	l = k.link("k-series", func(r *LinkRequest) { r.Purpose = grant.PurposeAddGrant })
	_, body = k.visit(k.browser(false), lena, l.URL)
	wants(t, body, "There is nothing more to do.", "Lighthouse Kitchen", "Pier Café", "Quay Bar")
	if strings.Contains(body, "Still missing") {
		t.Errorf("nothing is missing:\n%s", body)
	}
	if c := k.coverage("k-series"); len(c.Uncovered) > 0 || len(k.grants("k-series")) != 3 {
		t.Errorf("%+v", c)
	}
	l = k.link("k-series", func(r *LinkRequest) { r.Purpose = grant.PurposeAddGrant })
	if _, body := k.get(k.browser(false), l.URL); strings.Contains(body, "Still missing") || strings.Contains(l.Text, "these locations") {
		t.Errorf("nothing is missing, and the link says otherwise:\n%s\n%s", l.Text, body)
	}
	k.exchanged(3)
}

func TestAFurtherLoginTellsWhatItAdds(t *testing.T) {
	k := newKit(t, nil)
	k.visit(k.browser(false), marc, k.link("k-series", nil).URL)
	if got := k.changes(); got != nil {
		t.Fatalf("of a connection that is new, its own event tells: %v", got)
	}
	k.visit(k.browser(false), lena, k.link("k-series", func(r *LinkRequest) { r.Purpose = grant.PurposeAddGrant }).URL)
	want := []map[string]any{{"added": []any{lighthouse, pier}, "lost": []any{}, "restore": []any{}, "uncovered": []any{}}}
	if d := cmp.Diff(want, k.changes()); d != "" {
		t.Error(d)
	}
}

func TestWhoReplacesAnotherIsToldWhatTheyCannotSee(t *testing.T) {
	k := newKit(t, nil)
	k.visit(k.browser(false), olivia, k.link("k-series", nil).URL)
	was := k.grants("k-series")[0]
	_, body := k.visit(k.browser(false), marc, k.link("k-series", nil).URL)
	wants(t, body, "Quay Bar", "Still missing:", "Lighthouse Kitchen", "Pier Café")
	gs := k.grants("k-series")
	if len(gs) != 1 || gs[0].ID != was.ID || gs[0].Identity.Subject == was.Identity.Subject {
		t.Fatalf("grants = %+v", gs)
	}
	c := k.coverage("k-series")
	equal(t, "uncovered", c.Uncovered, []string{lighthouse, pier})
	for _, l := range c.Locations {
		if l.ID == quay {
			continue
		}
		if len(l.Restorers) != 1 || l.Restorers[0].Identity.Subject != was.Identity.Subject || l.Restorers[0].Live {
			t.Errorf("%s can be restored by %+v, not by who saw it", l.Name, l.Restorers)
		}
	}
	changes := k.changes()
	if len(changes) != 1 {
		t.Fatalf("changes = %v", changes)
	}
	if d := cmp.Diff([]any{lighthouse, pier}, changes[0]["lost"]); d != "" {
		t.Error(d)
	}
	by := changes[0]["restore"].([]any)[1].(map[string]any)["by"].([]any)[0].(map[string]any)
	if by["identity"].(map[string]any)["subject"] != was.Identity.Subject || by["grant"] != was.ID {
		t.Errorf("to be restored by %v", by)
	}
}

func TestTheSamePersonKeepsTheirGrant(t *testing.T) {
	for name, purpose := range map[string]grant.Purpose{"reconnecting": grant.PurposeReconnect, "asked for a further login": grant.PurposeAddGrant} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t, nil)
			k.visit(k.browser(false), marc, k.link("k-series", nil).URL)
			k.visit(k.browser(false), lena, k.link("k-series", func(r *LinkRequest) { r.Purpose = grant.PurposeAddGrant }).URL)
			before := k.grants("k-series")
			k.visit(k.browser(false), lena, k.link("k-series", func(r *LinkRequest) { r.Purpose = purpose }).URL)
			after := k.grants("k-series")
			if len(after) != 2 || before[0].Version != after[0].Version || after[1].Version.Epoch != 2 || after[1].Identity.Subject != before[1].Identity.Subject {
				t.Errorf("before %+v\nafter %+v", before, after)
			}
			if got := k.changes(); len(got) != 1 {
				t.Errorf("nothing changed the second time: %v", got)
			}
		})
	}
}

func TestAFurtherLoginOfAnotherBusinessIsRefused(t *testing.T) {
	k := newKit(t, nil)
	k.visit(k.browser(false), marc, k.link("k-series", nil).URL)
	before := k.grants("k-series")
	l := k.link("k-series", func(r *LinkRequest) { r.Purpose = grant.PurposeAddGrant })
	final, body := k.visit(k.browser(false), bruno, l.URL)
	if final != l.URL+"/problem" {
		t.Fatalf("ended at %s", final)
	}
	wants(t, body, "That login belongs to another business", "Nothing was changed.")
	if d := cmp.Diff(before, k.grants("k-series")); d != "" {
		t.Error(d)
	}
	if got := k.stored(l.Link.ID); got.State != grant.LinkStateFailed || got.Problem != grant.ProblemOtherIdentity {
		t.Errorf("link = %+v", got)
	}
}

func TestLocationsByHandAddUp(t *testing.T) {
	k := newKit(t, func(c *Config) { c.Apps["k-series"].Scopes = []string{"items", "offline_access"} })
	k.visit(k.browser(false), anna, k.link("k-series", func(r *LinkRequest) { r.Locations = []string{"4711"} }).URL)
	_, body := k.visit(k.browser(false), anna, k.link("k-series", func(r *LinkRequest) { r.Locations = []string{"4712", "4711"} }).URL)
	wants(t, body, "4711", "4712", "There is nothing more to do.")
	c := k.coverage("k-series")
	equal(t, "single", c.SingleGrant, []string{"4711", "4712"})
}

// TestLocationsThatCouldNotBeReadAreNotTakenFromTheLink: they are read again
// soon, and what a link wishes for is not what a login sees.
func TestLocationsThatCouldNotBeReadAreNotTakenFromTheLink(t *testing.T) {
	k := newKit(t, nil)
	k.between = func(w http.ResponseWriter, r *http.Request) bool {
		down := strings.HasSuffix(r.URL.Path, "/data/businesses")
		if down {
			w.WriteHeader(http.StatusBadGateway)
		}
		return down
	}
	_, body := k.visit(k.browser(false), anna, k.link("k-series", func(r *LinkRequest) { r.Locations = []string{"4711"} }).URL)
	wants(t, body, "Still missing:", "4711")
	if ids, err := k.store.ClaimReadings(t.Context(), "k-series", 10, 0); err != nil || len(ids) != 1 {
		t.Errorf("due to be read: %v, %v", ids, err)
	}
}
