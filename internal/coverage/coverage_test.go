package coverage

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/evergrant/evergrant/internal/grant"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func person(id string, r grant.Reason, subject string) grant.Grant {
	return grant.Grant{ID: id, Status: grant.StatusOf(r, noon), Identity: grant.Identity{Subject: subject}}
}

// saw is that a grant reaches locations, as it was told at.
func saw(grantID string, at time.Time, ids ...string) []grant.Location {
	var all []grant.Location
	for _, id := range ids {
		all = append(all, grant.Location{GrantID: grantID, ID: id, Name: "Bar " + id, SeenAt: at})
	}
	return all
}

func all(parts ...[]grant.Location) (seen []grant.Location) {
	for _, p := range parts {
		seen = append(seen, p...)
	}
	return seen
}

func TestOnlyLiveGrantsCover(t *testing.T) {
	c := Of(nil, []grant.Grant{person("g1", grant.OK, "anna"), person("g2", grant.Network, "ben"), person("g3", grant.Revoked, "cleo")},
		all(saw("g1", noon, "a"), saw("g2", noon.Add(-time.Hour), "a", "b"), saw("g3", noon.Add(-9*time.Hour), "c")))
	want := Coverage{
		Locations: []Location{
			{ID: "a", Name: "Bar a", Required: true, Grants: []string{"g1", "g2"}},
			{ID: "b", Name: "Bar b", Required: true, Grants: []string{"g2"}},
			{ID: "c", Name: "Bar c", Required: true, Grants: []string{}, Restorers: []Restorer{
				{GrantID: "g3", Identity: grant.Identity{Subject: "cleo"}, SeenAt: noon.Add(-9 * time.Hour)}}},
		},
		Uncovered: []string{"c"}, SingleGrant: []string{"b"}, MinimalGrants: []string{"g2"}, AsOf: noon.Add(-time.Hour),
	}
	if d := cmp.Diff(want, c); d != "" {
		t.Error(d)
	}
}

func TestWhatWasLostStaysWithThoseWhoCouldRestoreIt(t *testing.T) {
	ben := grant.Identity{Subject: "ben"}
	lost := func(l []grant.Location, at time.Time, by *grant.Identity) []grant.Location {
		l[0].LostAt, l[0].LostBy = at, by
		return l
	}
	early, late := noon.Add(-48*time.Hour), noon.Add(-time.Hour)
	c := Of(nil, []grant.Grant{person("g1", grant.OK, "anna"), person("g2", grant.OK, "cleo")},
		all(saw("g1", noon, "a"), lost(saw("g1", early, "b"), late, nil), lost(saw("g2", late, "b"), noon, &ben), lost(saw("g2", early, "a"), late, nil)))
	want := []Restorer{
		{GrantID: "g2", Identity: ben, SeenAt: late, LostAt: noon}, // whose grant is cleo's now
		{GrantID: "g1", Live: true, Identity: grant.Identity{Subject: "anna"}, SeenAt: early, LostAt: late},
	}
	if d := cmp.Diff(want, c.Locations[1].Restorers); d != "" {
		t.Error(d)
	}
	if c.Locations[0].Restorers != nil || !cmp.Equal(c.Uncovered, []string{"b"}) {
		t.Errorf("%+v", c)
	}
	if !c.AsOf.Equal(noon) {
		t.Errorf("as of %v: a grant that lost everything was asked when it was lost", c.AsOf)
	}
}

func TestWhatIsRequiredIsWhatWasAskedFor(t *testing.T) {
	grants, seen := []grant.Grant{person("g1", grant.OK, "anna")}, saw("g1", noon, "a", "b")
	for name, c := range map[string]struct {
		required, uncovered []string
		flags               map[string]bool
	}{
		"nil is everything":      {nil, []string{}, map[string]bool{"a": true, "b": true}},
		"an empty list is none":  {[]string{}, []string{}, map[string]bool{"a": false, "b": false}},
		"one":                    {[]string{"b"}, []string{}, map[string]bool{"a": false, "b": true}},
		"one that nobody saw":    {[]string{"z", "b", "z"}, []string{"z"}, map[string]bool{"a": false, "b": true, "z": true}},
		"sorted, whatever asked": {[]string{"z", "y"}, []string{"y", "z"}, map[string]bool{"a": false, "b": false, "y": true, "z": true}},
	} {
		got := Of(c.required, grants, seen)
		flags := make(map[string]bool)
		for _, l := range got.Locations {
			flags[l.ID] = l.Required
		}
		if d := cmp.Diff(c.uncovered, got.Uncovered) + cmp.Diff(c.flags, flags); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestMissingIsWhatNobodyReaches(t *testing.T) {
	c := Of([]string{"a", "z"}, []grant.Grant{person("g1", grant.OK, "anna"), person("g2", grant.Revoked, "ben")}, all(saw("g1", noon, "a"), saw("g2", noon, "b")))
	for name, test := range map[string]struct{ wanted, want []string }{
		"of nil, what is uncovered":       {nil, []string{"z"}},
		"of what is wanted, in its order": {[]string{"q", "b", "a", "b"}, []string{"q", "Bar b"}},
		"of none":                         {[]string{}, nil},
	} {
		var got []string
		for _, l := range c.Missing(test.wanted) {
			got = append(got, l.Label())
		}
		if d := cmp.Diff(test.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestAChangeTellsWhoCouldRestoreWhatNobodyReaches(t *testing.T) {
	grants := []grant.Grant{person("g1", grant.OK, "anna"), person("g2", grant.OK, "ben")}
	before := all(saw("g1", noon, "a", "b", "c"), saw("g2", noon, "c"))
	later := noon.Add(time.Hour)
	after := Replaced(before, "g1", saw("g1", later, "a", "d"), later)
	c := Between(nil, grants, before, after, "g1")
	want := Change{
		Added: []string{"d"}, Lost: []string{"b", "c"}, Uncovered: []string{"b"},
		Restore: []Loss{{
			Location: Location{ID: "b", Name: "Bar b", Required: true, Grants: []string{}, Restorers: []Restorer{
				{GrantID: "g1", Live: true, Identity: grant.Identity{Subject: "anna"}, SeenAt: noon, LostAt: later}}},
			By: []Restorer{{GrantID: "g1", Live: true, Identity: grant.Identity{Subject: "anna"}, SeenAt: noon, LostAt: later}},
		}},
	}
	if d := cmp.Diff(want, c); d != "" {
		t.Error(d)
	}
	e := c.Event(grant.Connection{ID: "conn_1", App: "k"}, "g1")
	if e.Reason != grant.LocationsMissing || e.ActBy() != grant.Merchant {
		t.Errorf("%+v", e)
	}
	// What comes back is added, and what only another reaches is nobody's to restore.
	back := Between(nil, grants, after, Replaced(after, "g1", saw("g1", later, "a", "b"), later), "g1")
	if d := cmp.Diff([]string{"b"}, back.Added) + cmp.Diff([]string{"d"}, back.Lost); d != "" {
		t.Error(d)
	}
	if same := Between(nil, grants, after, Replaced(after, "g1", saw("g1", later, "d", "a"), later), "g1"); !same.None() {
		t.Errorf("%+v", same)
	}
}

// TestTheSameFactsGiveTheSameAnswer shuffles them.
func TestTheSameFactsGiveTheSameAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var grants []grant.Grant
		var seen []grant.Location
		for _, id := range []string{"g1", "g2", "g3", "g4"} {
			grants = append(grants, person(id, rapid.SampledFrom([]grant.Reason{grant.OK, grant.Network, grant.Revoked}).Draw(t, "reason"), "of "+id))
			for _, l := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d"}), rapid.ID).Draw(t, "reach") {
				s := grant.Location{GrantID: id, ID: l, SeenAt: noon}
				if rapid.Bool().Draw(t, "lost") {
					s.LostAt = noon
				}
				seen = append(seen, s)
			}
		}
		required := rapid.SampledFrom([][]string{nil, {}, {"a", "z"}, {"d", "c"}}).Draw(t, "required")
		want := Of(required, grants, seen)
		if d := cmp.Diff(want, Of(required, rapid.Permutation(grants).Draw(t, "grants"), rapid.Permutation(seen).Draw(t, "seen"))); d != "" {
			t.Fatal(d)
		}
		uncovered := make(map[string]bool)
		for _, id := range want.Uncovered {
			uncovered[id] = true
		}
		for _, l := range want.Locations {
			if uncovered[l.ID] != (l.Required && len(l.Grants) == 0) || len(l.Grants) > 0 && l.Restorers != nil {
				t.Fatalf("%+v of %+v", l, want)
			}
		}
	})
}
