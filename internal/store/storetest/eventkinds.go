package storetest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// eventKindTests compare what is found by type with what a look at all events finds.
func eventKindTests() map[string]func(*fixture) {
	return map[string]func(*fixture){
		"events found by their types are those of a look at all of them": func(f *fixture) {
			types := []grant.EventType{grant.GrantRefreshed, grant.LinkOpened, grant.LinkFailed, grant.EventAppPaused, grant.GrantRevoked, "link", "linked.up", "Ünï.x"}
			apps := []string{app, "r-series", ""}
			for i := range 60 {
				e := grant.Event{Type: types[i*i%7%len(types)], App: apps[i%3], Reason: grant.Reason(fmt.Sprint(i))}
				if i%10 == 9 {
					e.Type = types[7]
				}
				if e.App != "" {
					e.Ref = fmt.Sprintf("biz_%d@%s", i%2, e.App)
				}
				f.ok(f.AppendEvents(f.ctx, e))
			}
			all := f.listEvents(store.EventFilter{}, 1000)
			matches := func(s store.EventFilter, e grant.Event) bool {
				key, _, _ := strings.Cut(e.Ref, "@")
				return (s.Apps == nil || slices.Contains(s.Apps, e.App)) && (s.Keys == nil || e.Ref != "" && slices.Contains(s.Keys, key)) &&
					slices.ContainsFunc(s.Types, func(t string) bool {
						family, ok := strings.CutSuffix(t, "*")
						return t == string(e.Type) || ok && strings.HasSuffix(family, ".") && strings.HasPrefix(string(e.Type), family)
					})
			}
			for _, of := range [][]string{{"link.*"}, {"link.opened"}, {"link.opened", "app.*", "none.*"}, {"grant.*"}, {"grant.refreshed"}, {"grant.revoked"},
				{"none"}, {"link*"}, {"*"}, {".*"}, {""}, {"Ünï.*"}, {"link.opened", "grant.refreshed"}, {"link.opened", "link.*"}} {
				for _, s := range []store.EventFilter{{}, {Apps: []string{app}}, {Apps: []string{""}}, {Apps: []string{}}, {Apps: []string{"r-series", app}},
					{Keys: []string{"biz_1"}}, {Apps: []string{app}, Keys: []string{"biz_0"}}} {
					s.Types = of
					want := reasons(slices.DeleteFunc(slices.Clone(all), func(e grant.Event) bool { return !matches(s, e) }))
					for _, limit := range []int{1, 7, 1000} {
						equal(f, fmt.Sprintf("%+v in pages of %d", s, limit), reasons(f.listEvents(s, limit)), want)
					}
					s.NewestFirst = true
					slices.Reverse(want)
					for _, limit := range []int{2, 1000} {
						equal(f, fmt.Sprintf("%+v in pages of %d", s, limit), reasons(f.listEvents(s, limit)), want)
					}
				}
			}
		},
	}
}
