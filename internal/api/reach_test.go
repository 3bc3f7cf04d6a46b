package api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/api/apitest"
	"github.com/evergrant/evergrant/internal/grant"
)

// world is what the keys of the reach test are tried on.
type world struct {
	k     *apitest.Kit
	conns []grant.Connection
	ids   map[string][]string // by connection: ids of its grants and links
}

func newWorld(t *testing.T) *world {
	w := &world{k: apitest.New(t, apitest.Options{}), ids: map[string][]string{}}
	for _, app := range []string{"k-series", "r-series"} {
		for _, key := range []string{"biz_1", "biz_2", "biz_3"} {
			c := w.k.Adopt(key, app)
			w.conns = append(w.conns, c)
			grants, err := w.k.Manager.Grants(t.Context(), c.Ref())
			if err != nil {
				t.Fatal(err)
			}
			link := expect(t, w.k.Do(admin, "POST", "/v1/links", fmt.Sprintf(`{"ref":%q}`, c.Ref())), 201)
			w.ids[c.ID] = []string{grants[0].ID, link["id"].(string)}
		}
	}
	return w
}

// mentions reports whether text names the connection or what belongs to it.
func (w *world) mentions(text string, c grant.Connection) bool {
	return strings.Contains(text, c.ID) || strings.Contains(text, c.Ref().String()) ||
		slices.ContainsFunc(w.ids[c.ID], func(id string) bool { return strings.Contains(text, id) })
}

// TestKeysNeverSeeWhatIsNotTheirs tries keys with random limits on everything.
func TestKeysNeverSeeWhatIsNotTheirs(t *testing.T) {
	w := newWorld(t)
	lists := []string{"/v1/connections", "/v1/links", "/v1/events", "/v1/keys", "/v1/apps", "/v1/connections?q=biz", "/v1/events?order=desc",
		"/v1/events?type=connection.*", "/v1/links?state=created"}
	rapid.Check(t, func(rt *rapid.T) {
		limit := func(name string, all ...string) []string {
			if rapid.Bool().Draw(rt, name+" limited") {
				return rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, len(all), rapid.ID).Draw(rt, name)
			}
			return nil
		}
		apps, businesses := limit("apps", "k-series", "r-series"), limit("businesses", "biz_1", "biz_2", "biz_3", "biz_4")
		secret := w.k.Key([]access.Scope{access.Admin}, apps, businesses)
		reaches := func(c grant.Connection) bool {
			return (apps == nil || slices.Contains(apps, c.App)) && (businesses == nil || slices.Contains(businesses, c.Key))
		}
		for _, path := range lists {
			a := w.k.Do(secret, "GET", path, "")
			if a.Status != 200 {
				rt.Fatalf("%s: %d %s", path, a.Status, a.Body)
			}
			for _, c := range w.conns {
				if !reaches(c) && w.mentions(a.Body, c) {
					rt.Fatalf("%s tells a key limited to %v %v about %s", path, apps, businesses, c.Ref())
				}
				if reaches(c) && path == "/v1/connections" && !w.mentions(a.Body, c) {
					rt.Fatalf("%s hides %s from a key limited to %v %v", path, c.Ref(), apps, businesses)
				}
			}
		}
		c := rapid.SampledFrom(w.conns).Draw(rt, "connection")
		for _, request := range requestsAbout(c, w.ids[c.ID]) {
			method, path, body := request[0], request[1], request[2]
			a := w.k.Do(secret, method, path, body)
			if reaches(c) {
				if a.Status == 404 {
					rt.Fatalf("%s %s: %d for a key that reaches it", method, path, a.Status)
				}
				continue
			}
			absent := w.k.Do(secret, method, strings.NewReplacer(c.ID, "conn_00000000000000000000000000", c.Key+"@"+c.App, "absent@"+c.App,
				w.ids[c.ID][0], "grant_0", w.ids[c.ID][1], "link_0").Replace(path), strings.ReplaceAll(body, c.Key+"@", "absent@"))
			if a.Status != 404 || path != "/v1/links" && path != "/v1/connections" && withoutID(a) != withoutID(absent) {
				rt.Fatalf("%s %s out of reach: %d %s, absent: %d %s", method, path, a.Status, a.Body, absent.Status, absent.Body)
			}
		}
	})
}

// requestsAbout are requests about one connection, by its address and its id.
func requestsAbout(c grant.Connection, ids []string) [][3]string {
	requests := [][3]string{
		{"GET", "/v1/grants/" + ids[0], ""},
		{"GET", "/v1/links/" + ids[1], ""},
		{"GET", "/v1/links?ref=" + c.Ref().String(), ""},
		{"GET", "/v1/events?ref=" + c.Ref().String(), ""},
		{"POST", "/v1/links", `{"ref":"` + c.Ref().String() + `"}`},
		{"POST", "/v1/connections", `{"ref":"` + c.Ref().String() + `"}`},
	}
	for _, ref := range []string{c.ID, c.Ref().String()} {
		one := "/v1/connections/" + ref
		requests = append(requests,
			[3]string{"GET", one, ""}, [3]string{"GET", one + "/token", ""}, [3]string{"GET", one + "/token?location=7", ""},
			[3]string{"POST", one + "/token/reject", `{"fingerprint":"x"}`}, [3]string{"GET", one + "/grants", ""},
			[3]string{"GET", one + "/locations", ""}, [3]string{"GET", one + "/events", ""}, [3]string{"PATCH", one, `{}`},
		)
	}
	return requests
}

func TestScopesOpenTheirEndpointsAndNoOthers(t *testing.T) {
	w := newWorld(t)
	ref := w.conns[0].Ref().String()
	either := "/v1/connections/" + ref + "/events" // connections will do as well
	needs := map[[2]string]access.Scope{
		{"GET", "/v1/connections/" + ref + "/token"}:              access.Tokens,
		{"POST", "/v1/connections/" + ref + "/token/reject"}:      access.Tokens,
		{"GET", "/v1/connections"}:                                access.Connections,
		{"POST", "/v1/connections"}:                               access.Connections,
		{"GET", "/v1/connections/" + ref}:                         access.Connections,
		{"PATCH", "/v1/connections/" + ref}:                       access.Connections,
		{"DELETE", "/v1/connections/absent@k-series"}:             access.Connections,
		{"GET", "/v1/connections/" + ref + "/grants"}:             access.Connections,
		{"GET", "/v1/connections/" + ref + "/locations"}:          access.Connections,
		{"POST", "/v1/connections/" + ref + "/locations/refresh"}: access.Connections,
		{"POST", "/v1/connections/" + ref + "/refresh"}:           access.Connections,
		{"POST", "/v1/connections/absent@k-series/disconnect"}:    access.Connections,
		{"GET", either}:                access.Events,
		{"GET", "/v1/grants/x"}:        access.Connections,
		{"GET", "/v1/links"}:           access.Links,
		{"POST", "/v1/links"}:          access.Links,
		{"GET", "/v1/links/x"}:         access.Links,
		{"POST", "/v1/links/x/revoke"}: access.Links,
		{"GET", "/v1/events"}:          access.Events,
		{"GET", "/v1/apps"}:            access.Connections,
		{"GET", "/v1/apps/k-series"}:   access.Connections,
		{"GET", "/v1/keys"}:            access.Admin,
		{"POST", "/v1/keys"}:           access.Admin,
		{"DELETE", "/v1/keys/x"}:       access.Admin,
	}
	for _, have := range []access.Scope{access.Tokens, access.Connections, access.Links, access.Events, access.Admin} {
		key := w.k.Key([]access.Scope{have}, nil, nil)
		for request, need := range needs {
			a := w.k.Do(key, request[0], request[1], "")
			allowed := have == need || have == access.Admin || have == access.Connections && request[1] == either
			if allowed == (a.Status == 403) {
				t.Errorf("%s %s with the scope %s: %d", request[0], request[1], have, a.Status)
			}
			if a.Status == 403 {
				expectProblem(t, a, 403, "forbidden")
			}
		}
	}
}
