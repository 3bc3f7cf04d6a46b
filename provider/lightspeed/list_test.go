package lightspeed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// serve answers each query of the path /base/list with a page.
func serve(t *testing.T, pages map[string]string) (API, *[]string) {
	t.Helper()
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery)
		body, ok := pages[r.URL.RawQuery]
		if r.URL.Path != "/base/list" || !ok || r.UserAgent() != "acme/1" {
			t.Errorf("asked %s by %s", r.RequestURI, r.UserAgent())
		}
		_, _ = fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	return API{Client: s.Client(), Base: s.URL + "/base", UserAgent: "acme/1"}, &asked
}

type entry struct {
	ID scalar `json:"id"`
}

// collect reads a whole list.
func collect(ctx context.Context, a API, l List) (ids []string, err error) {
	for e, err := range All[entry](ctx, a, l) {
		if err != nil {
			return ids, err
		}
		ids = append(ids, string(e.ID))
	}
	return ids, nil
}

func TestListsArePagedAsTheirAPIsDo(t *testing.T) {
	tests := []struct {
		name  string
		list  List
		pages map[string]string // by query
		want  string
	}{
		{"HAL pages from 0, whose links name a host of old", List{Paging: KPages, PageSize: 2}, map[string]string{
			"page=0&size=2": `{"_embedded":{"richItemDtoList":[{"id":1},{"id":2}]},"_links":{"next":{"href":"https://api.ikentoo.com/evil?page=7"}},"page":{"size":2,"totalPages":2,"number":0}}`,
			"page=1&size=2": `{"_embedded":{"richItemDtoList":[{"id":3}]},"_links":{"self":{"href":"https://api.ikentoo.com/"}}}`,
		}, "1 2 3"},
		{"HAL pages that are shorter than asked for", List{Paging: KPages}, map[string]string{
			"page=0&size=1000": `{"_embedded":{"businessList":[{"id":310004455667788901}]},"page":{"totalPages":2}}`,
			"page=1&size=1000": `{"_embedded":{"businessList":[{"id":2}]},"page":{"totalPages":2}}`,
		}, "310004455667788901 2"},
		{"HAL without anything embedded", List{Paging: KPages}, map[string]string{"page=0&size=1000": `{"_links":{}}`}, ""},
		{"a bare array of reservations' locations", List{Paging: KPages, PageSize: 1}, map[string]string{
			"page=0&size=1": `[{"id":"1"}]`, "page=1&size=1": `[]`,
		}, "1"},
		{"staff from 1", List{Paging: KStaff, Query: url.Values{"isActive": {"true"}}}, map[string]string{
			"isActive=true&page=1": `{"data":{"staff":[{"id":1},{"id":2}]},"links":{"next":{"href":"https://elsewhere.example/?page=9"}},"page":{"page":1,"size":2,"totalElements":3,"totalPages":2}}`,
			"isActive=true&page=2": `{"data":{"staff":[{"id":3}]},"links":{"next":{"href":null}},"page":{"page":2,"totalPages":2}}`,
		}, "1 2 3"},
		{"staff whose data is the list", List{Paging: KStaff}, map[string]string{"page=1": `{"data":[{"id":1}],"links":{}}`}, "1"},
		{"items", List{Paging: KItems, PageSize: 2}, map[string]string{
			"amount=2&offset=0": `[{"id":1},{"id":2}]`, "amount=2&offset=2": `[{"id":3}]`,
		}, "1 2 3"},
		{"items by id are one page", List{Paging: KItems, PageSize: 2, Query: url.Values{"itemIds": {"1,2"}}}, map[string]string{
			"amount=2&itemIds=1%2C2&offset=0": `[{"id":1},{"id":2}]`,
		}, "1 2"},
		{"sales V1, of whose links the token counts", List{Paging: KSalesLinks}, map[string]string{
			"pageSize=1000":                        `{"sales":[{"id":1}],"_links":{"nextPage":{"href":"https://api.ikentoo.com/finance/1?nextPageToken=A40021.7&pageSize=3"}}}`,
			"nextPageToken=A40021.7&pageSize=1000": `{"sales":[{"id":2}],"_links":{"self":{"href":"x"}}}`,
		}, "1 2"},
		{"sales V2", List{Paging: KSalesTokens, Query: url.Values{"from": {"2026-01-01T00:00:00Z"}}}, map[string]string{
			"from=2026-01-01T00%3A00%3A00Z&pageSize=100":                    `{"sales":[{"id":"a"}],"nextPageToken":"A1.7"}`,
			"from=2026-01-01T00%3A00%3A00Z&nextPageToken=A1.7&pageSize=100": `{"sales":[],"nextPageToken":"A2.7"}`, // more to come after an empty page
			"from=2026-01-01T00%3A00%3A00Z&nextPageToken=A2.7&pageSize=100": `{"sales":[{"id":"b"}],"nextPageToken":null}`,
		}, "a b"},
		{"payments", List{Paging: KPayments}, map[string]string{
			"offset=0&pageSize=100":   `{"payments":[{"id":1}],"pageSize":100,"offset":0,"nextOffset":100}`,
			"offset=100&pageSize=100": `{"payments":[{"id":2}],"pageSize":100,"offset":100,"nextOffset":null}`,
		}, "1 2"},
		{"R-Series' next, of which the query counts", List{Paging: RNext, Query: url.Values{"load_relations": {`["Contact"]`}}}, map[string]string{
			"limit=100&load_relations=%5B%22Contact%22%5D":            `{"@attributes":{"next":"https://evil.example/API/V3/Account/1/Customer.json?limit=100&load_relations=%5B%22Contact%22%5D&after=WzJd","previous":""},"Customer":[{"id":"1"},{"id":"2"}]}`,
			"after=WzJd&limit=100&load_relations=%5B%22Contact%22%5D": `{"@attributes":{"next":"","previous":"x"},"Customer":{"id":"3"}}`,
		}, "1 2 3"},
		{"R-Series' empty list", List{Paging: RNext}, map[string]string{"limit=100": `{"@attributes":{"next":"","previous":""}}`}, ""},
		{"R-Series' empty text", List{Paging: RNext}, map[string]string{"limit=100": `{"@attributes":[],"Customer":""}`}, ""},
		{"X-Series' versions, which no float holds", List{Paging: XVersions}, map[string]string{
			"":                       `{"data":[{"id":"a"}],"version":{"min":1,"max":9007199254740993}}`,
			"after=9007199254740993": `{"data":[],"version":{"min":null,"max":null}}`,
		}, "a"},
		{"X-Series since a version", List{Paging: XVersions, PageSize: 200, Query: url.Values{"after": {"7"}, "deleted": {"true"}}}, map[string]string{
			"after=7&deleted=true&page_size=200": `{"data":[{"id":"a"}],"version":{"min":8,"max":8}}`,
			"after=8&deleted=true&page_size=200": `{"data":[],"version":{}}`,
		}, "a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, asked := serve(t, tt.pages)
			tt.list.Path = "/list"
			ids, err := collect(t.Context(), a, tt.list)
			if err != nil || strings.Join(ids, " ") != tt.want || len(*asked) != len(tt.pages) {
				t.Errorf("%q, %v, asked %q", ids, err, *asked)
			}
		})
	}
}

func TestAListWithoutEndIsAnError(t *testing.T) {
	number := 0
	tests := []struct {
		name   string
		paging Paging
		answer func(q url.Values) string
		repeat bool
	}{
		{"the same token for ever, as the documentation server", KSalesTokens, func(url.Values) string { return `{"sales":[{"id":1}],"nextPageToken":"A1.7"}` }, true},
		{"two tokens in turn", KSalesTokens, func(q url.Values) string {
			number++
			return fmt.Sprintf(`{"sales":[{"id":%d}],"nextPageToken":"%t"}`, number, q.Get(pageToken) == "true" == false)
		}, true},
		{"the same link", KSalesLinks, func(url.Values) string {
			return `{"sales":[{"id":1}],"_links":{"nextPage":{"href":"?nextPageToken=A"}}}`
		}, true},
		{"a page whatever its number", KPages, func(url.Values) string { return `{"_embedded":{"l":[{"id":1}]},"_links":{"next":{"href":"x"}}}` }, true},
		{"staff whatever the page", KStaff, func(url.Values) string { return `{"data":{"staff":[{"id":1}]},"page":{"totalPages":99}}` }, true},
		{"an offset that stays", KPayments, func(url.Values) string { return `{"payments":[{"id":1}],"nextOffset":0}` }, true},
		{"R-Series' link to itself", RNext, func(url.Values) string { return `{"@attributes":{"next":"https://x.example/?after=a"},"C":{"id":"1"}}` }, true},
		{"a version that does not grow", XVersions, func(url.Values) string { return `{"data":[{"id":1}],"version":{"max":7}}` }, true},
		{"a link without a token", KSalesLinks, func(url.Values) string { return `{"sales":[],"_links":{"nextPage":{"href":"https://x.example/"}}}` }, false},
		{"a page without a version", XVersions, func(url.Values) string { return `{"data":[{"id":1}]}` }, false},
		{"two lists in one answer", KPages, func(url.Values) string { return `{"_embedded":{"a":[],"b":[]}}` }, false},
		{"two members beside @attributes", RNext, func(url.Values) string { return `{"A":{},"B":{}}` }, false},
		{"another shape", KItems, func(url.Values) string { return `{"items":[]}` }, false},
		{"no JSON", XVersions, func(url.Values) string { return `<data/>` }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			asked := 0
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if asked++; asked > 10 {
					t.Error("asked for ever")
				}
				_, _ = fmt.Fprint(w, tt.answer(r.URL.Query()))
			}))
			defer s.Close()
			_, err := collect(t.Context(), API{Client: s.Client(), Base: s.URL}, List{Path: "/x", Paging: tt.paging})
			if err == nil || errors.Is(err, ErrPagesRepeat) != tt.repeat {
				t.Errorf("error = %v", err)
			}
		})
	}
}

func TestNoRedirectIsFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s was asked", r.Host) }))
	defer elsewhere.Close()
	s := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusFound))
	defer s.Close()
	_, err := collect(t.Context(), API{Client: s.Client(), Base: s.URL}, List{Path: "/x", Paging: KItems})
	var e *Error
	if !errors.As(err, &e) || e.Status != http.StatusFound {
		t.Errorf("error = %v", err)
	}
}

func TestAnIterationThatEndsAsksForNothingMore(t *testing.T) {
	a, asked := serve(t, map[string]string{"": `{"data":[{"id":"a"},{"id":"b"}],"version":{"max":7}}`})
	for range All[json.RawMessage](t.Context(), a, List{Path: "list", Paging: XVersions}) {
		break
	}
	if len(*asked) != 1 {
		t.Errorf("asked %q", *asked)
	}

	cause := errors.New("Ctrl-C")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	a, asked = serve(t, map[string]string{"": `{"data":[{"id":"a"},{"id":"b"}],"version":{"max":7}}`})
	n := 0
	var err error
	for _, err = range All[json.RawMessage](ctx, a, List{Path: "list", Paging: XVersions}) {
		n++
		cancel(cause)
	}
	if !errors.Is(err, cause) || n != 3 || len(*asked) != 1 { // what was read is not taken away
		t.Errorf("error %v after %d, asked %q", err, n, *asked)
	}
}

func TestAnEntryOfAnotherShapeEndsTheList(t *testing.T) {
	a, _ := serve(t, map[string]string{"": `{"data":[{"id":"a"},7],"version":{"max":7}}`})
	ids, err := collect(t.Context(), a, List{Path: "list", Paging: XVersions})
	if err == nil || !slices.Equal(ids, []string{"a"}) {
		t.Errorf("%q, %v", ids, err)
	}
	var v struct{ Data []json.RawMessage }
	if err := a.Get(t.Context(), "list", nil, &v); err != nil || len(v.Data) != 2 {
		t.Errorf("%v, %v", v, err)
	}
	if err := a.Get(t.Context(), "list", nil, &[]int{}); err == nil {
		t.Error("an object was read into an array")
	}
}

func TestListsThatCannotBeAskedForAreErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		api  API
		list List
	}{
		"no way of paging":      {API{http.DefaultClient, "https://x.example", ""}, List{Path: "/x"}},
		"a page too large":      {API{http.DefaultClient, "https://x.example", ""}, List{Path: "/x", Paging: KSalesTokens, PageSize: 101}},
		"a negative page":       {API{http.DefaultClient, "https://x.example", ""}, List{Path: "/x", Paging: RNext, PageSize: -1}},
		"no client":             {API{Base: "https://x.example"}, List{Path: "/x", Paging: RNext}},
		"no base":               {API{Client: http.DefaultClient}, List{Path: "/x", Paging: RNext}},
		"a base with a query":   {API{http.DefaultClient, "https://x.example/?a", ""}, List{Path: "/x", Paging: RNext}},
		"a path to a host":      {API{http.DefaultClient, "https://x.example", ""}, List{Path: "//evil.example/x", Paging: RNext}},
		"a path out of a proxy": {API{http.DefaultClient, "https://x.example/proxy/a", ""}, List{Path: "/../b", Paging: RNext}},
		"a path with a query":   {API{http.DefaultClient, "https://x.example", ""}, List{Path: "/x?a=b", Paging: RNext}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := collect(t.Context(), tt.api, tt.list); err == nil {
				t.Error("no error")
			}
		})
	}
}

// FuzzPages: whatever a page says, what is asked for next keeps the caller's
// query and the page's size, and entries are JSON.
func FuzzPages(f *testing.F) {
	all := []Paging{KPages, KStaff, KItems, KSalesLinks, KSalesTokens, KPayments, RNext, XVersions}
	for i, body := range []string{
		`{"_embedded":{"l":[{"id":1}]},"_links":{"next":{"href":"x"}},"page":{"totalPages":2}}`,
		`{"data":{"staff":[{"id":1}]},"links":{"next":{"href":"x"}}}`, `[{"id":1},[],"",null]`,
		`{"sales":[{}],"_links":{"nextPage":{"href":"https://api.ikentoo.com/?nextPageToken=A40021.7"}}}`,
		`{"sales":[{"id":"a"}],"nextPageToken":"A1.7"}`, `{"payments":[{"id":1}],"nextOffset":100}`,
		`{"@attributes":{"next":"https://x.example/?after=WzJd&limit=100"},"C":{"id":"1"}}`, `{"data":[{"id":"a"}],"version":{"max":9007199254740993}}`,
	} {
		f.Add(uint8(i), []byte(body))
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		p := all[int(which)%len(all)]
		d, _ := p.dialect()
		q, err := d.first(List{Query: url.Values{"mine": {"1"}}, PageSize: 1})
		if err != nil {
			t.Fatal(err)
		}
		before := q.Encode()
		got, err := d.read(q, body)
		if q.Encode() != before {
			t.Error("the query was changed")
		}
		if err != nil {
			return
		}
		for _, e := range got.entries {
			if !json.Valid(e) {
				t.Errorf("entry %q", e)
			}
		}
		if got.next == nil || p == RNext { // its links are the vendor's, query and all
			return
		}
		want := url.Values{"mine": {"1"}, d.size: {"1"}}
		for name := range want {
			if diff := cmp.Diff(want[name], got.next[name]); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
		if got.next.Encode() == before && len(got.entries) > 0 && p == XVersions {
			t.Error("the same page again")
		}
	})
}
