package dashboard

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/words"
)

// links is how far merchants come who are sent a link.
type links struct {
	Funnel    []funnelStep
	Problems  []problemLine
	Languages []languageLine
	TakenBack int // how far these had come is not known
	Tabs      []tab
	Rows      []linkLine
	Next      string
	Done      string
}

// funnelStep is how many links came at least this far.
type funnelStep struct {
	Label  string
	Count  int
	Share  string // of those that were made
	Filled int    // of 100
}

// problemLine is what kept merchants from finishing.
type problemLine struct {
	Problem, Means string
	Count          int
}

// languageLine is the funnel of one language.
type languageLine struct {
	Name                          string
	Made, Opened, AtProvider, Out int
}

// linkLine is a link in the list.
type linkLine struct {
	linkRow
	Called string
}

// funnelDays is what the funnel looks back on.
const funnelDays = 30

func (d *Dashboard) links(v *visit) answer {
	ctx, q := v.Context(), v.URL.Query()
	now := d.c.Now()
	counts, err := d.c.Store.CountLinks(ctx, now.AddDate(0, 0, -funnelDays), now)
	if err != nil {
		return failed(err)
	}
	page := links{Tabs: linkTabs(q.Get("state")), Done: done[q.Get("done")]}
	page.funnel(counts)
	list, err := d.c.API.Links(ctx, client.LinkFilter{State: q.Get("state"), Limit: pageSize, Cursor: q.Get("cursor")})
	if err != nil {
		return failed(err)
	}
	for _, l := range list.Data {
		page.Rows = append(page.Rows, linkLine{d.linkRow(l), cmp.Or(l.BusinessName, l.Ref)})
	}
	page.Next = nextPage(v, list.NextCursor)
	return show("links", "Links", page)
}

// nextPage is where a list goes on, "" after its last page.
func nextPage(v *visit, cursor string) string {
	if cursor == "" {
		return ""
	}
	q := v.URL.Query()
	q.Set("cursor", cursor)
	q.Del("done")
	return v.URL.Path + "?" + q.Encode()
}

// linkTabs are the states that the list may be of.
func linkTabs(current string) []tab {
	all := []tab{{Label: "All", Path: "/links", Current: current == "", Count: -1}}
	for _, s := range []grant.LinkState{grant.LinkStateCreated, grant.LinkStateOpened, grant.LinkStateAtProvider, grant.LinkStateCompleted,
		grant.LinkStateFailed, grant.LinkStateExpired, grant.LinkStateRevoked} {
		all = append(all, tab{Label: upper(linkState(s)), Path: "/links?state=" + url.QueryEscape(string(s)), Current: current == string(s), Count: -1})
	}
	return all
}

// linkState is a state in a word or two.
func linkState(s grant.LinkState) string {
	switch s {
	case grant.LinkStateCreated:
		return "not opened"
	case grant.LinkStateAtProvider:
		return "at the provider"
	case grant.LinkStateCompleted:
		return "done"
	case grant.LinkStateRevoked:
		return "taken back"
	}
	return string(s)
}

// reached is how many steps of the funnel a link came, from 1.
func reached(c store.LinkCount) int {
	switch {
	case c.State == grant.LinkStateCompleted:
		return 4
	case c.State == grant.LinkStateAtProvider, c.State == grant.LinkStateFailed, c.Problem != "":
		return 3
	case c.State == grant.LinkStateOpened:
		return 2
	}
	return 1
}

// funnel counts how far links came.
func (p *links) funnel(counts []store.LinkCount) {
	var steps [4]int
	problems, languages := map[string]int{}, map[string]*languageLine{}
	for _, c := range counts {
		l := languages[c.Locale]
		if l == nil {
			l = &languageLine{Name: languageName(c.Locale)}
			languages[c.Locale] = l
		}
		far := reached(c)
		for i, n := range []*int{&l.Made, &l.Opened, &l.AtProvider, &l.Out} {
			if i < far {
				steps[i] += c.Count
				*n += c.Count
			}
		}
		if c.Problem != "" && c.State != grant.LinkStateCompleted {
			problems[string(c.Problem)] += c.Count
		}
		if c.State == grant.LinkStateRevoked {
			p.TakenBack += c.Count
		}
	}
	for i, label := range []string{"made", "opened", "reached the provider", "done"} {
		s := funnelStep{Label: label, Count: steps[i], Share: "–"}
		if steps[0] > 0 {
			s.Share, s.Filled = share(steps[i], steps[0]), 100*steps[i]/steps[0]
		}
		p.Funnel = append(p.Funnel, s)
	}
	for problem, n := range problems {
		e, _ := words.Of(problem)
		p.Problems = append(p.Problems, problemLine{problem, e.Means, n})
	}
	slices.SortFunc(p.Problems, func(x, y problemLine) int { return cmp.Or(y.Count-x.Count, strings.Compare(x.Problem, y.Problem)) })
	for l := range maps.Values(languages) {
		p.Languages = append(p.Languages, *l)
	}
	slices.SortFunc(p.Languages, func(x, y languageLine) int { return cmp.Or(y.Made-x.Made, strings.Compare(x.Name, y.Name)) })
}

// languageName is what a link's language is called; one that names none speaks the
// browser's.
func languageName(tag string) string {
	if tag == "" {
		return "the browser’s"
	}
	for _, l := range languages() {
		if l.Tag == tag {
			return l.Name
		}
	}
	return tag
}
