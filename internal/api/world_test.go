package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/api/apitest"
)

// world is what keys of every kind are tried on: two apps with three businesses
// each, in every state of life, and what belongs to them.
type world struct {
	k          *apitest.Kit
	objects    []object
	operations []string // of the OpenAPI document: method, path
}

// object is something that some keys may see and others must not know of.
type object struct {
	param string   // the path parameter that names it: ref, grant, link, webhook, key, app, or "" if none does
	names []string // what names it in a path
	marks []string // what must not be told of it, its names too
	// What it belongs to; nil is all. A key sees it if its own limits take these in.
	apps, businesses []string
	token            string // its access token, which takes the scope tokens to see
}

// keyLimits are those of a key.
type keyLimits struct{ apps, businesses []string }

// sees reports whether a key with these limits may know of the object.
func (l keyLimits) sees(o object) bool {
	within := func(some, all []string) bool {
		return all == nil || some != nil && !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
	}
	if o.param == "app" { // shared by its businesses
		return within(o.apps, l.apps)
	}
	return within(o.apps, l.apps) && within(o.businesses, l.businesses)
}

// deleted is a business that was deleted; its events stay.
const deleted = "biz_4"

// gone reports whether nobody finds the object any more.
func (o object) gone() bool { return slices.Contains(o.businesses, deleted) }

// String implements [fmt.Stringer].
func (o object) String() string { return strings.Join(o.names, " ") }

// The names of what there is none of, as long as those of what there is.
const (
	noULID     = "00000000000000000000000000"
	noBusiness = "biz_0"
	noApp      = "o-series"
	noName     = "name-of-none-0"
)

// absent is the text with every name of the object replaced by one that nothing
// has. A connection's app stays, because it decides who may make connections.
func (o object) absent(text string) string {
	for _, name := range o.names {
		twin := noName
		switch prefix, _, _ := strings.Cut(name, "_"); {
		case o.param == "app":
			twin = noApp
		case ulidName.MatchString(name):
			twin = prefix + "_" + noULID
		case o.param == "ref":
			twin = noBusiness + name[strings.LastIndexByte(name, '@'):]
		}
		text = strings.ReplaceAll(text, name, twin)
	}
	return text
}

var ulidName = regexp.MustCompile(`^[a-z]+_[0-9A-Z]{26}$`)

func newWorld(t *testing.T) *world {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }))
	t.Cleanup(upstream.Close)
	w := &world{k: apitest.New(t, apitest.Options{API: upstream.URL})}
	for _, app := range []string{"k-series", "r-series"} {
		w.add(object{param: "app", names: []string{app}, marks: []string{app, "id-" + app}, apps: []string{app}})
		for _, key := range []string{"biz_1", "biz_2", "biz_3"} {
			w.connection(t, key, app, key != "biz_3")
		}
		w.connection(t, deleted, app, true)
		expect(t, w.k.Do(admin, "DELETE", "/v1/connections/"+deleted+"@"+app, ""), 204)
	}
	for i, l := range []keyLimits{{nil, nil}, {[]string{"k-series"}, nil}, {nil, []string{"biz_1"}}, {[]string{"r-series"}, []string{"biz_2", "biz_3"}}} {
		w.webhook(t, i+1, l)
		w.key(t, i+1, l)
	}
	for _, e := range data(t, w.k.Do(admin, "GET", "/v1/events?limit=1000", "")) {
		app, _ := e["app"].(string)
		ref, _ := e["ref"].(string)
		business, _, _ := strings.Cut(ref, "@")
		w.add(object{marks: []string{e["id"].(string)}, apps: []string{app}, businesses: []string{business}})
	}
	w.readOperations(t)
	return w
}

func (w *world) add(o object) { w.objects = append(w.objects, o) }

// connection makes a connection whose every member names it, with a grant and a
// link.
func (w *world) connection(t *testing.T, key, app string, connected bool) {
	t.Helper()
	ref := key + "@" + app
	mark := func(of string) string { return of + "-of-" + key + "-" + app }
	made := expect(t, w.k.Do(admin, "POST", "/v1/connections", fmt.Sprintf(`{"ref":%q,"name":%q,"tags":{"tag":%q},"required_locations":[%q]}`,
		ref, mark("name"), mark("tag"), mark("location"))), 201)
	id := made["id"].(string)
	o := object{param: "ref", names: []string{id, ref}, apps: []string{app}, businesses: []string{key},
		marks: []string{id, ref, mark("name"), mark("tag"), mark("location"), mark("link")}}
	if connected {
		w.k.Adopt(key, app)
		o.token = expect(t, w.k.Do(admin, "GET", "/v1/connections/"+id+"/token", ""), 200)["access_token"].(string)
		for _, g := range data(t, w.k.Do(admin, "GET", "/v1/connections/"+id+"/grants", "")) {
			name := g["id"].(string)
			o.marks = append(o.marks, name)
			w.add(object{param: "grant", names: []string{name}, marks: []string{name}, apps: o.apps, businesses: o.businesses})
		}
	} else { // the problem's link is made once
		w.k.Do(admin, "GET", "/v1/connections/"+id+"/token", "")
	}
	link := expect(t, w.k.Do(admin, "POST", "/v1/links", fmt.Sprintf(`{"ref":%q,"business_name":%q}`, ref, mark("link"))), 201)
	name := link["id"].(string)
	o.marks = append(o.marks, name, link["short_code"].(string))
	w.add(object{param: "link", names: []string{name}, marks: []string{name}, apps: o.apps, businesses: o.businesses})
	w.add(o)
}

// limited is a JSON object with the limits beside other members.
func (l keyLimits) limited(members map[string]any) string {
	if l.apps != nil {
		members["apps"] = l.apps
	}
	if l.businesses != nil {
		members["businesses"] = l.businesses
	}
	body, _ := json.Marshal(members)
	return string(body)
}

// webhook makes a webhook, which is sent nothing.
func (w *world) webhook(t *testing.T, n int, l keyLimits) {
	t.Helper()
	name, url := fmt.Sprintf("name-of-hook-%d", n), fmt.Sprintf("https://hook-%d.example/", n)
	made := expect(t, w.k.Do(admin, "POST", "/v1/webhooks", l.limited(map[string]any{"url": url, "name": name, "types": []string{"app.paused"}})), 201)
	id := made["id"].(string)
	expect(t, w.k.Do(admin, "PATCH", "/v1/webhooks/"+id, `{"enabled":false}`), 200)
	w.add(object{param: "webhook", names: []string{id, name}, marks: []string{id, name, url}, apps: l.apps, businesses: l.businesses})
}

func (w *world) key(t *testing.T, n int, l keyLimits) {
	t.Helper()
	name := fmt.Sprintf("name-of-key-%d", n)
	made := expect(t, w.k.Do(admin, "POST", "/v1/keys", l.limited(map[string]any{"name": name, "scopes": []string{"tokens"}})), 201)
	w.add(object{param: "key", names: []string{made["id"].(string)}, marks: []string{made["id"].(string), name}, apps: l.apps, businesses: l.businesses})
}

func (w *world) readOperations(t *testing.T) {
	t.Helper()
	for operation := range readDocument(t, w.k).operations {
		w.operations = append(w.operations, operation)
	}
	slices.Sort(w.operations)
}

// picture is what a key that sees everything sees, as far as callers change it.
func (w *world) picture(t testing.TB) string {
	t.Helper()
	var all []string
	for _, path := range []string{"/v1/connections", "/v1/links", "/v1/events", "/v1/apps"} {
		all = append(all, w.k.Do(admin, "GET", path+"?limit=1000", "").Body)
	}
	for path, members := range map[string][]string{"/v1/webhooks": {"id", "name", "url", "state"}, "/v1/keys": {"id", "revoked_at"}} {
		for _, item := range data(t, w.k.Do(admin, "GET", path+"?limit=1000", "")) {
			if item["name"] != "test" { // one of the keys that are tried
				for _, m := range members {
					all = append(all, fmt.Sprint(item[m]))
				}
			}
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}
