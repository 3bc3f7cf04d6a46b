package api_test

import (
	"context"
	"testing"

	"github.com/evergrant/evergrant/internal/api/apitest"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

func TestWhatHasChangedSinceItWasReadIsLeftAlone(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	conn := k.Adopt("biz_1", "k-series")
	hook := expect(t, k.Do(admin, "POST", "/v1/webhooks", `{"url":"https://app.example/","types":["app.*"]}`), 201)["id"].(string)
	for _, path := range []string{"/v1/connections/" + conn.ID, "/v1/webhooks/" + hook} {
		read := func(header ...string) string {
			t.Helper()
			a := k.Do(admin, "GET", path, "", header...)
			expect(t, apitest.Answer{Status: a.Status}, 200)
			return a.Header.Get("ETag")
		}
		old := read()
		expect(t, k.Do(admin, "PATCH", path, `{"name":"first"}`, "If-Match: "+old), 200)
		now := read()
		for _, known := range []string{old, `"x"`, `"x", "y"`, "W/" + now, ""} {
			a := k.Do(admin, "PATCH", path, `{"name":"second"}`, "If-Match: "+known)
			expectProblem(t, a, 412, "precondition_failed")
			expectProblem(t, k.Do(admin, "DELETE", path, "", "If-Match: "+known), 412, "precondition_failed")
		}
		if read() != now {
			t.Errorf("%s has changed", path)
		}
		for _, known := range []func() string{
			func() string { return read() }, func() string { return "*" }, func() string { return `"x", ` + read() },
			func() string { return read("Accept-Encoding: gzip") },
		} {
			expect(t, k.Do(admin, "PATCH", path, `{"name":"first"}`, "If-Match: "+known()), 200)
		}
		now = read()
		expectProblem(t, k.Do(admin, "PATCH", path+"0", `{"name":"first"}`, "If-Match: "+now), 404, "not_found")
		expect(t, k.Do(admin, "DELETE", path, "", "If-Match: "+now), 204)
		expectProblem(t, k.Do(admin, "DELETE", path, "", "If-Match: *"), 404, "not_found")
	}
}

// meddler changes a connection just before somebody else's change of it.
type meddler struct {
	store.Store
	meddle bool
}

// UpdateConnection implements [store.Connections].
func (m *meddler) UpdateConnection(ctx context.Context, id string, change func(*grant.Connection) error, events ...grant.Event) (grant.Connection, error) {
	if m.meddle {
		m.meddle = false
		if _, err := m.Store.UpdateConnection(ctx, id, func(c *grant.Connection) error { c.Name = "theirs"; return nil }); err != nil {
			return grant.Connection{}, err
		}
	}
	return m.Store.UpdateConnection(ctx, id, change, events...)
}

func TestNoChangeIsLostBetweenLookingAndChanging(t *testing.T) {
	m := &meddler{}
	k := apitest.New(t, apitest.Options{Wrap: func(s store.Store) store.Store { m.Store = s; return m }})
	path := "/v1/connections/" + k.Adopt("biz_1", "k-series").ID
	tag := k.Do(admin, "GET", path, "").Header.Get("ETag")
	m.meddle = true
	expectProblem(t, k.Do(admin, "PATCH", path, `{"name":"ours"}`, "If-Match: "+tag), 412, "precondition_failed")
	if got := expect(t, k.Do(admin, "GET", path, ""), 200)["name"]; got != "theirs" {
		t.Errorf("the name is %v", got)
	}
	m.meddle = true // and whoever does not ask, has it
	expect(t, k.Do(admin, "PATCH", path, `{"name":"ours"}`), 200)
}
