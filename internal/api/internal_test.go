package api

import (
	"fmt"
	"math/bits"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evergrant/evergrant/internal/grant"
)

// TestSmallestCover compares with trying every set of grants.
func TestSmallestCover(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		reach := map[string][]string{}
		all := map[string]bool{}
		for i := range rapid.IntRange(0, 7).Draw(t, "grants") {
			ids := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}), 1, 6, rapid.ID).Draw(t, "reach")
			reach[fmt.Sprintf("grant_%d", i)] = ids
			for _, id := range ids {
				all[id] = true
			}
		}
		reaches := func(grants []string) bool {
			got := map[string]bool{}
			for _, g := range grants {
				for _, id := range reach[g] {
					got[id] = true
				}
			}
			return len(got) == len(all)
		}
		names := sortedKeys(reach)
		fewest := len(names)
		for set := range uint(1) << len(names) {
			var chosen []string
			for i, n := range names {
				if set&(1<<i) != 0 {
					chosen = append(chosen, n)
				}
			}
			if reaches(chosen) {
				fewest = min(fewest, bits.OnesCount(set))
			}
		}
		exact := smallestCover(reach)
		if !reaches(exact) || len(exact) != fewest {
			t.Fatalf("smallestCover(%v) = %v, %d would do", reach, exact, fewest)
		}
		if greedy := greedyCover(names, reach, len(all)); !reaches(greedy) {
			t.Fatalf("greedyCover(%v) = %v", reach, greedy)
		}
	})
}

func TestManyGrantsAreCoveredGreedily(t *testing.T) {
	reach := map[string][]string{"big": nil}
	for i := range 40 {
		id := fmt.Sprint(i)
		reach["grant_"+id] = []string{id}
		reach["big"] = append(reach["big"], id)
	}
	if got := smallestCover(reach); !slices.Equal(got, []string{"big"}) {
		t.Errorf("%v", got)
	}
}

func TestCoverCountsLiveGrantsOnly(t *testing.T) {
	seen := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	status := func(r grant.Reason) grant.Status { return grant.StatusOf(r, seen) }
	c := cover(nil, []grant.Grant{{ID: "g1", Status: status(grant.OK)}, {ID: "g2", Status: status(grant.Network)}, {ID: "g3", Status: status(grant.Revoked)}},
		[]grant.Location{
			{GrantID: "g1", ID: "a", SeenAt: seen}, {GrantID: "g2", ID: "a", SeenAt: seen.Add(-time.Hour)},
			{GrantID: "g2", ID: "b", SeenAt: seen.Add(-2 * time.Hour)}, {GrantID: "g3", ID: "c", SeenAt: seen.Add(-9 * time.Hour)},
		})
	if fmt.Sprint(c.Uncovered, c.SingleGrant, c.MinimalGrants) != "[c] [b] [g2]" {
		t.Errorf("%+v", c)
	}
	if !c.AsOf.Equal(seen.Add(-time.Hour)) {
		t.Errorf("as of %v", c.AsOf)
	}
}

// TestCleanPathsAreThoseServeMuxTakes compares with what ServeMux cleans.
func TestCleanPathsAreThoseServeMuxTakes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{"/", "/", ".", "..", "a", "%2e", "...", "b.c"})).Draw(t, "path"), "")
		want := p != "" && p[0] == '/'
		if want {
			cleaned := path.Clean(p)
			if p[len(p)-1] == '/' && cleaned != "/" {
				cleaned += "/"
			}
			want = cleaned == p
		}
		if got := clean(p); got != want {
			t.Fatalf("clean(%q) = %v", p, got)
		}
	})
}

func TestSuggest(t *testing.T) {
	names := []string{"ref", "name", "tags", "required_locations", "tokens"}
	for written, want := range map[string]string{
		"reff": "ref", "nmae": "name", "Name": "name", "token": "tokens", "required_location": "required_locations",
		"colour": "", "x": "", "": "", strings.Repeat("tags", 100): "",
	} {
		got := strings.TrimSuffix(strings.TrimPrefix(suggest(written, names), "; did you mean "), "?")
		if got != want {
			t.Errorf("suggest(%.20q) = %q, want %q", written, got, want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "5m": 5 * time.Minute, "7d": 7 * 24 * time.Hour, "90": 90 * time.Second, "1h30m": 90 * time.Minute, "0": 0,
		"-1s": -1, "": -1, "d": -1, "1.5d": -1, "-3": -1, "soon": -1, "99999999999d": -1, "99999999999999": -1,
	} {
		got, ok := parseDuration(s)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("parseDuration(%q) = %v, %v", s, got, ok)
		}
	}
}

// FuzzDecode: what is decoded has no member its type lacks, and what is refused
// is refused in words that name a field.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{}`, `{"ref":"a@b","tokens":{"expires_in":1}}`, `{"ref":null}`, `{"tokens":[]}`, `{"Ref":""}`, `{"ref":1e999}`, `[`, `{"a":{"b":{}}}`, "{\"\xff\":1}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var c newConnection
		err := decode(body, &c, false)
		if err == nil {
			if len(body) == 0 || body[0] != '{' {
				t.Fatalf("decoded %q", body)
			}
			return
		}
		p, ok := toProblem(err)
		if !ok || p.Status != 400 || len(p.Errors) == 0 {
			t.Fatalf("%q: %+v", body, p)
		}
		for _, e := range p.Errors {
			if e.Field == "" && !strings.Contains(string(body), `""`) || e.Message == "" {
				t.Fatalf("%q: %+v", body, p.Errors)
			}
		}
	})
}
