package client_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
)

// twoPages answers every list with two pages of one item each, and anything
// that asks for less than it may with an error.
func twoPages(w http.ResponseWriter, r *http.Request) {
	name := "id"
	if strings.HasSuffix(r.URL.Path, "/apps") {
		name = "name"
	}
	switch q := r.URL.Query(); {
	case q.Get("limit") != "1000":
		http.Error(w, "limit", http.StatusBadRequest)
	case q.Get("cursor") == "":
		fmt.Fprintf(w, `{"data":[{%q:"first"}],"next_cursor":"a b&c"}`, name)
	case q.Get("cursor") == "a b&c":
		fmt.Fprintf(w, `{"data":[{%q:"last"}],"next_cursor":null}`, name)
	default:
		http.Error(w, "cursor", http.StatusBadRequest)
	}
}

func TestAListOfAllIsReadToItsLastPage(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(twoPages))
	t.Cleanup(srv.Close)
	c := must(client.New(client.Config{URL: srv.URL}))(t)
	t.Cleanup(c.CloseIdleConnections)
	for name, ids := range map[string]func() ([]string, error){
		"keys": func() ([]string, error) {
			all, err := c.Keys(t.Context())
			return each(all, func(k client.Key) string { return k.ID }), err
		},
		"apps": func() ([]string, error) {
			all, err := c.Apps(t.Context())
			return each(all, func(a client.App) string { return a.Name }), err
		},
		"grants": func() ([]string, error) {
			all, err := c.Grants(t.Context(), evergrant.Ref("biz_1@k-series"))
			return each(all, func(g client.Grant) string { return g.ID }), err
		},
		"webhooks": func() ([]string, error) {
			all, err := c.Webhooks(t.Context())
			return each(all, func(w client.Webhook) string { return w.ID }), err
		},
	} {
		if diff := cmp.Diff([]string{"first", "last"}, must(ids())(t)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

// TestAListOfAllIsWholeOrNone: half of it would look like all of it.
func TestAListOfAllIsWholeOrNone(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("cursor") {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		fmt.Fprint(w, `{"data":[{"id":"first"}],"next_cursor":"x"}`)
	}))
	t.Cleanup(srv.Close)
	c := must(client.New(client.Config{URL: srv.URL}))(t)
	t.Cleanup(c.CloseIdleConnections)
	if keys, err := c.Keys(t.Context()); err == nil || keys != nil {
		t.Errorf("%v, %v", keys, err)
	}
}

func each[T any](all []T, name func(T) string) []string {
	var names []string
	for _, it := range all {
		names = append(names, name(it))
	}
	return names
}
