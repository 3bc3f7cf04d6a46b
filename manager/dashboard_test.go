package manager_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/manager"
)

// asked is what the mounted dashboard answers.
func asked(h http.Handler, method, path, user string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.Header.Set("X-User", user)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestTheDashboardIsMountedBesideAProgramsOwnPages(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	people := map[string]manager.Role{"Vera": manager.Viewer, "Sam": manager.Support, "Olga": manager.Operator, "Nemo": "king"}
	pages, err := k.DashboardHandler("/evergrant", func(r *http.Request) (manager.Person, bool) {
		name := r.Header.Get("X-User")
		role, ok := people[name]
		return manager.Person{Name: name, Role: role}, ok
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Client().CreateLink(t.Context(), client.NewLink{Ref: "cafe@k-series", BusinessName: "Café Nord"}); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/evergrant/", pages)

	list := asked(mux, "GET", "/evergrant/connections", "Vera")
	if list.Code != http.StatusOK || !strings.Contains(list.Body.String(), "Café Nord") {
		t.Fatalf("the list is answered with %d: %s", list.Code, list.Body)
	}
	address := regexp.MustCompile(`(?:href|src|action)="(/[^"]*)"`)
	for _, found := range address.FindAllStringSubmatch(list.Body.String(), -1) {
		if !strings.HasPrefix(found[1], "/evergrant/") {
			t.Errorf("a page leads to %s, outside its prefix", found[1])
		}
		if got := asked(mux, "GET", found[1], "Olga").Code; got != http.StatusOK {
			t.Errorf("%s is answered with %d", found[1], got)
		}
	}
	const message = "/evergrant/connections/cafe@k-series/links"
	for name, want := range map[string]int{"Vera": http.StatusForbidden, "Sam": http.StatusOK, "Nemo": http.StatusForbidden, "": http.StatusForbidden} {
		if got := asked(mux, "POST", message, name).Code; got != want {
			t.Errorf("%q asks for a message and is answered with %d, want %d", name, got, want)
		}
	}
	if got := asked(mux, "POST", message, "Olga", "Sec-Fetch-Site", "cross-site").Code; got != http.StatusForbidden {
		t.Errorf("another site asks for a message and is answered with %d", got)
	}
	if got := asked(mux, "GET", "/evergrant/", "").Code; got != http.StatusForbidden {
		t.Errorf("a stranger is answered with %d", got)
	}
}

func TestTheDashboardsPrefixIsChecked(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	nobody := func(*http.Request) (manager.Person, bool) { return manager.Person{}, false }
	for _, prefix := range []string{"evergrant", "/evergrant/", "/"} {
		if _, err := k.DashboardHandler(prefix, nobody); err == nil {
			t.Errorf("the prefix %q is taken", prefix)
		}
	}
	if _, err := k.DashboardHandler("", nil); err == nil {
		t.Error("a dashboard for everybody is made")
	}
}
