package api_test

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/api/apitest"
)

// TestWhatAKeyMayNotSeeIsAsIfItWereNotThere tries random keys on every operation
// of the OpenAPI document and every object. What a key must not know of answers,
// to the byte, like what does not exist; no answer tells of it; and nothing comes
// of having asked.
func TestWhatAKeyMayNotSeeIsAsIfItWereNotThere(t *testing.T) {
	w := newWorld(t)
	before := w.picture(t)
	rapid.Check(t, func(rt *rapid.T) {
		k := w.anyKey(rt)
		for _, r := range w.lists() {
			w.silent(rt, k, r, w.k.Do(k.secret, r.method, r.target, r.body, r.header...))
		}
		// A few of what it sees and of what it does not, and everything about them.
		for _, o := range rapid.SliceOfNDistinct(rapid.SampledFrom(w.named()), 6, 6, func(o object) string { return o.names[0] }).Draw(rt, "objects") {
			for _, r := range w.about(rt, o) {
				if k.sees(o) {
					w.allowed(rt, k, o, r)
					continue
				}
				w.hidden(rt, k, o, r)
			}
		}
		if after := w.picture(t); after != before {
			rt.Fatalf("%s\nhas changed to\n%s", before, after)
		}
	})
}

// anyKey makes a key with random scopes and limits.
func (w *world) anyKey(rt *rapid.T) triedKey {
	limit := func(name string, all ...string) []string {
		if rapid.Bool().Draw(rt, name+" limited") {
			return rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, len(all), rapid.ID).Draw(rt, name)
		}
		return nil
	}
	k := triedKey{keyLimits: keyLimits{limit("apps", "k-series", "r-series"), limit("businesses", "biz_1", "biz_2", "biz_3", "biz_9")}}
	all := []access.Scope{access.Tokens, access.Connections, access.Links, access.Events}
	if k.scopes = rapid.SliceOfNDistinct(rapid.SampledFrom(all), 0, len(all), rapid.ID).Draw(rt, "scopes"); len(k.scopes) == 0 {
		k.scopes = []access.Scope{access.Admin}
	}
	k.secret = w.k.Key(k.scopes, k.apps, k.businesses)
	return k
}

// triedKey is a key under test.
type triedKey struct {
	keyLimits
	scopes []access.Scope
	secret string
}

// request is one request to the API.
type request struct {
	method, target, body string
	header               []string
	changes              bool // of what it names something would change
}

func (r request) String() string { return r.method + " " + r.target + " " + r.body }

// named are the objects a request can name.
func (w *world) named() []object {
	return slices.DeleteFunc(slices.Clone(w.objects), func(o object) bool { return o.param == "" })
}

// lists are requests that name nothing.
func (w *world) lists() []request {
	var all []request
	for _, target := range []string{
		"/v1/connections", "/v1/connections?q=biz", "/v1/connections?q=name-of", "/v1/connections?tag.tag=tag-of-biz_1-k-series", "/v1/connections?limit=1",
		"/v1/links", "/v1/links?state=created", "/v1/events", "/v1/events?order=desc", "/v1/events?type=connection.*", "/v1/events?limit=1",
		"/v1/webhooks", "/v1/keys", "/v1/apps", "/v1/runway", "/v1/whoami", "/v1/meta",
	} {
		all = append(all, request{method: "GET", target: target})
	}
	return all
}

// about are requests about an object: every operation whose path names something
// of its kind, and those that name it elsewhere.
func (w *world) about(rt *rapid.T, o object) []request {
	bodies := map[string]string{
		"/token/reject": `{"fingerprint":"000000000000"}`, "PATCH /v1/connections/{ref}": `{"name":"other"}`, "PATCH /v1/webhooks/{id}": `{"name":"other"}`,
	}
	var all []request
	add := func(r request) {
		if r.method == http.MethodPost {
			r.header = append(r.header, "Idempotency-Key: the-same")
		}
		all = append(all, r)
	}
	name := rapid.SampledFrom(o.names).Draw(rt, "name")
	for _, operation := range w.operations {
		method, path, _ := strings.Cut(operation, " ")
		parameter := map[string]string{"grant": "/v1/grants/{id}", "link": "/v1/links/{id}", "webhook": "/v1/webhooks/{id}", "key": "/v1/keys/{id}",
			"app": "/v1/apps/{app}", "ref": "/{ref}"}[o.param]
		if !strings.Contains(path, parameter) {
			continue
		}
		r := request{method: method, changes: method != http.MethodGet}
		r.target = strings.NewReplacer("{path}", "a/b", "{id}", name, "{ref}", name, "{app}", name).Replace(path)
		for suffix, body := range bodies {
			if strings.HasSuffix(operation, suffix) {
				r.body = body
			}
		}
		add(r)
	}
	if o.param == "ref" {
		add(request{method: "GET", target: "/v1/links?ref=" + name})
		add(request{method: "GET", target: "/v1/events?ref=" + name})
		add(request{method: "GET", target: "/v1/connections/" + name + "/token?location=" + o.marks[4]})
		add(request{method: "POST", target: "/v1/links", body: `{"ref":"` + name + `"}`, changes: true})
		add(request{method: "POST", target: "/v1/connections", body: `{"ref":"` + o.names[1] + `"}`, changes: true})
		add(request{method: "POST", target: "/v1/connections/import", body: `{"ref":"` + o.names[1] + `"}`, changes: true})
		add(request{method: "POST", target: "/oauth/token", body: "grant_type=client_credentials&client_id=" + name,
			header: []string{"Content-Type: application/x-www-form-urlencoded"}})
	}
	if o.param == "app" {
		for _, target := range []string{"/v1/runway?app=", "/v1/connections?app="} {
			add(request{method: "GET", target: target + name})
		}
		for path, members := range map[string]string{"/v1/keys": `"name":"test","scopes":["tokens"]`, "/v1/webhooks": `"url":"https://x.example/"`} {
			add(request{method: "POST", target: path, body: `{` + members + `,"apps":["` + name + `"]}`, changes: true})
			add(request{method: "POST", target: path, body: `{` + members + `,"apps":["` + name[1:] + `"]}`, changes: true}) // did you mean
		}
	}
	return all
}

// allowed performs what the key may do, unless something would come of it.
func (w *world) allowed(rt *rapid.T, k triedKey, o object, r request) {
	if r.changes {
		return
	}
	a := w.k.Do(k.secret, r.method, r.target, r.body, r.header...)
	if a.Status == http.StatusNotFound && !o.gone() {
		rt.Fatalf("%s: %d for a key that sees it: %s", r, a.Status, a.Body)
	}
	w.silent(rt, k, r, a)
}

// hidden performs what the key must not know of, and the same of what there is
// none of.
func (w *world) hidden(rt *rapid.T, k triedKey, o object, r request) {
	given := w.k.Do(k.secret, r.method, r.target, r.body, r.header...)
	w.silent(rt, k, r, given)
	twin := r
	twin.target, twin.body = o.absent(r.target), o.absent(r.body)
	absent := w.k.Do(k.secret, twin.method, twin.target, twin.body, twin.header...)
	if given.Status != absent.Status || o.absent(withoutID(given)) != withoutID(absent) || !sameHeaders(given.Header, absent.Header) {
		rt.Fatalf("%+v\n%s: %d %s%v\n%s: %d %s%v", k.keyLimits, r, given.Status, given.Body, given.Header, twin, absent.Status, absent.Body, absent.Header)
	}
}

func sameHeaders(a, b http.Header) bool {
	a, b = a.Clone(), b.Clone()
	a.Del("Request-Id")
	b.Del("Request-Id")
	return maps.EqualFunc(a, b, slices.Equal)
}

// silent fails the test if an answer tells of what the key must not know of, and
// the request did not.
func (w *world) silent(rt *rapid.T, k triedKey, r request, a apitest.Answer) {
	// A webhook's place in the log is a place, whoever's event is there.
	said := place.ReplaceAllString(a.Body, "") + fmt.Sprint(a.Header)
	for _, o := range w.objects {
		if o.token != "" && strings.Contains(said, o.token) && !(k.sees(o) && k.can(access.Tokens)) {
			rt.Fatalf("%s tells a key with %v the token of %s", r, k.scopes, o.names[1])
		}
		if k.sees(o) {
			continue
		}
		for _, mark := range o.marks {
			if strings.Contains(said, mark) && !strings.Contains(r.String(), mark) {
				rt.Fatalf("%s tells a key limited to %+v about %s: %d %s", r, k.keyLimits, mark, a.Status, a.Body)
			}
		}
	}
	if strings.Contains(said, "/connect/") && !k.can(access.Links) {
		rt.Fatalf("%s gives a key with %v a link: %s", r, k.scopes, a.Body)
	}
}

var place = regexp.MustCompile(`"last_event":"\w+"`)

func (k triedKey) can(s access.Scope) bool {
	return slices.Contains(k.scopes, s) || slices.Contains(k.scopes, access.Admin)
}

func TestScopesOpenTheirEndpointsAndNoOthers(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	ref := k.Adopt("biz_1", "k-series").Ref().String()
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
		key := k.Key([]access.Scope{have}, nil, nil)
		for request, need := range needs {
			a := k.Do(key, request[0], request[1], "")
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
