package proxy_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPagingLinksStayOnTheProxy(t *testing.T) {
	const (
		kNext = `{"_embedded":{"businessList":[{"businessId":310004455667788,"note":"<&>","_links":{"self":{"href":"https://api.ikentoo.com/x"}}}]},` +
			`"_links":{"self":{"href":"https://api.ikentoo.com/data/businesses?page=0"},` + "\n" + `"next" : { "href":"https://api.ikentoo.com/data/businesses?page=1&size=2" },` +
			`"docs":{"href":"https://docs.example/"}}, "n":1.50e3}`
		rNext = `{"@attributes":{"count":"412","next":"https:\/\/api.lightspeedapp.com\/API\/V3\/Account\/1\/Item.json?limit=2&after=WzFd","previous":""},"Item":[{"next":"x"}]}`
	)
	for _, c := range []struct {
		name, recipe, path, body, want, kind string
	}{
		{name: "K-Series, from a host that is not its API's", recipe: "lightspeed-k", path: "/f/data/businesses?page=0&size=2", body: kNext,
			want: strings.NewReplacer(`https://api.ikentoo.com/data/businesses?page=0`, `OURS/f/data/businesses?page=0`,
				`https://api.ikentoo.com/data/businesses?page=1&size=2`, `OURS/f/data/businesses?page=1&size=2`).Replace(kNext)},
		{name: "K-Series with V1 authorization", recipe: "lightspeed-k-v1", path: "/x", body: `{"_links":{"nextPage":{"href":"https://o/x?nextPageToken=A.1"}}}`,
			want: `{"_links":{"nextPage":{"href":"OURS/x?nextPageToken=A.1"}}}`},
		{name: "K-Series Staff", recipe: "lightspeed-k", path: "/staff/v1/users", body: `{"data":[],"links":{"next":{"href":"/staff/v1/users?page=2"},"last":"/staff/v1/users?page=9"}}`,
			want: `{"data":[],"links":{"next":{"href":"OURS/staff/v1/users?page=2"},"last":"OURS/staff/v1/users?page=9"}}`},
		{name: "R-Series", recipe: "lightspeed-r", path: "/API/V3/Account/1/Item.json?limit=2", body: rNext,
			want: `{"@attributes":{"count":"412","next":"OURS/API/V3/Account/1/Item.json?limit=2&after=WzFd","previous":""},"Item":[{"next":"x"}]}`},
		{name: "with the location it was asked for", recipe: "lightspeed-r", path: "/Item.json?evergrant_location=7", body: `{"@attributes":{"next":"https://a/Item.json?after=x"}}`,
			want: `{"@attributes":{"next":"OURS/Item.json?after=x&evergrant_location=7"}}`},
		{name: "another provider", recipe: "generic", path: "/x", body: rNext, want: rNext},
		{name: "XML", recipe: "lightspeed-r", path: "/x", body: rNext, want: rNext, kind: "application/xml"},
		{name: "an array", recipe: "lightspeed-k", path: "/x", body: `[{"_links":{}}]`, want: `[{"_links":{}}]`},
		{name: "half a document", recipe: "lightspeed-k", path: "/x", body: `{"_links":{"next":{"href":"https://a/"}}`, want: `{"_links":{"next":{"href":"https://a/"}}`},
		{name: "no document", recipe: "lightspeed-k", path: "/x", body: ``, want: ``},
		{name: "links of another shape", recipe: "lightspeed-k", path: "/x", body: `{"_links":[1],"links":"x","@attributes":{"next":"https://a/"}}`,
			want: `{"_links":[1],"links":"x","@attributes":{"next":"https://a/"}}`},
		{name: "longer than is read", recipe: "lightspeed-k", path: "/x", body: `{"_links":{"next":{"href":"https://a/"}},"x":"` + strings.Repeat("x", 9<<20) + `"}`,
			want: `{"_links":{"next":{"href":"https://a/"}},"x":"` + strings.Repeat("x", 9<<20) + `"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKit(t, func(w http.ResponseWriter, r *http.Request) {
				if got := r.Header.Get("Accept-Encoding"); (got == "identity") != strings.HasPrefix(c.recipe, "lightspeed") {
					t.Errorf("Accept-Encoding %q", got)
				}
				kind := c.kind
				if kind == "" {
					kind = "application/json; charset=utf-8"
				}
				w.Header().Set("Content-Type", kind)
				_, _ = w.Write([]byte(c.body))
			}, options{recipe: c.recipe})
			res, got := k.do("GET", c.path, "")
			want := strings.ReplaceAll(c.want, "OURS", k.server.URL+prefix)
			if res.StatusCode != 200 || got != want {
				t.Errorf("%d %s", res.StatusCode, cmp.Diff(want, got))
			}
		})
	}
}

// FuzzLinks: rewriting changes nothing but links; what was JSON stays JSON.
func FuzzLinks(f *testing.F) {
	for _, s := range []string{`{"_links":{"next":{"href":"https://a/?p=2"}}}`, `{"@attributes":{"next":"https://a/?p=2"}}`, `{"_links":{"x":"y","x":{"href":1}}}`,
		`{"_links":{"next":{"href":"\u002f?\ud800"}},"_links":{}} x`, "{\"a\":\x00}", `{}`, ``, `{"links":{"self":[{"href":"a"}]}}`} {
		f.Add(s)
	}
	var body string
	api := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/hal+json")
		_, _ = w.Write([]byte(body))
	}
	kits := []*kit{newKit(f, api, options{recipe: "lightspeed-k"}), newKit(f, api, options{recipe: "lightspeed-r"})}
	f.Fuzz(func(t *testing.T, doc string) {
		body = doc
		for _, k := range kits {
			k := &kit{t: t, proxy: k.proxy, tokens: k.tokens, server: k.server}
			res, got := k.do("GET", "/x", "")
			if res.StatusCode != 200 || json.Valid([]byte(doc)) != json.Valid([]byte(got)) {
				t.Fatalf("%q became %d %q", doc, res.StatusCode, got)
			}
			var before, after any
			if json.Unmarshal([]byte(doc), &before) != nil {
				continue
			}
			if err := json.Unmarshal([]byte(got), &after); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(withoutLinks(before), withoutLinks(after)); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

// withoutLinks is a document without the members that hold links.
func withoutLinks(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	for _, name := range []string{"_links", "links", "@attributes"} {
		delete(m, name)
	}
	return m
}
