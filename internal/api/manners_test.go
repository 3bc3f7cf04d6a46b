package api_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/api"
	"github.com/evergrant/evergrant/internal/api/apitest"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

func TestEveryMalformedRequestNamesItsFault(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	const conns = "/v1/connections"
	for _, c := range []struct {
		name, method, target, body string
		status                     int
		code, says                 string
	}{
		{"an unknown path", "GET", "/v1/nothing", "", 404, "not_found", "no such path"},
		{"a webhook that is none", "GET", "/v1/webhooks/wh_none/deliveries", "", 404, "not_found", "no such webhook"},
		{"a webhook without an address", "POST", "/v1/webhooks", `{}`, 400, "invalid_request", `"field":"url"`},
		{"a webhook in plain text", "POST", "/v1/webhooks", `{"url":"http://app.example/"}`, 400, "invalid_request", "https://"},
		{"a webhook with a password", "POST", "/v1/webhooks", `{"url":"https://a:b@app.example/"}`, 400, "invalid_request", "user name"},
		{"a webhook of an unknown type", "POST", "/v1/webhooks", `{"url":"https://app.example/","types":["conection.*"]}`, 400, "invalid_request", `"field":"types"`},
		{"a webhook of an unknown app", "POST", "/v1/webhooks", `{"url":"https://app.example/","apps":["k-serie"]}`, 400, "invalid_request", "did you mean k-series?"},
		{"runway of an unknown app", "GET", "/v1/runway?app=none", "", 404, "not_found", "no such app"},
		{"a slash too many", "GET", "//v1/meta", "", 404, "not_found", ""},
		{"a slash at the end", "GET", "/v1/meta/", "", 404, "not_found", ""},
		{"dots in the path", "GET", "/v1/../v1/meta", "", 404, "not_found", ""},
		{"an empty segment", "GET", "/v1/connections//token", "", 404, "not_found", ""},
		{"a method that is none of the path's", "PUT", conns, "", 405, "method_not_allowed", "GET, HEAD, POST"},
		{"OPTIONS", "OPTIONS", "/v1/links", "", 405, "method_not_allowed", "GET, HEAD, POST"},
		{"a body that is not JSON", "POST", conns, "ref=biz", 400, "invalid_request", `"field":"body"`},
		{"half a body", "POST", conns, `{"ref":"a@k-series"`, 400, "invalid_request", `"field":"body"`},
		{"two bodies", "POST", conns, `{"ref":"a@k-series"} {}`, 400, "invalid_request", `"field":"body"`},
		{"an array", "POST", conns, `[]`, 400, "invalid_request", "must be a JSON object"},
		{"no body", "POST", conns, "", 400, "invalid_request", "a JSON object is required"},
		{"a misspelt member", "POST", conns, `{"reff":"a@k-series"}`, 400, "invalid_request", "did you mean ref?"},
		{"a misspelt member inside", "POST", conns, `{"ref":"a@k-series","tokens":{"acces_token":"x"}}`, 400, "invalid_request",
			`"field":"tokens.acces_token","message":"there is no such field; did you mean access_token?"`},
		{"a member in other letters", "POST", conns, `{"Ref":"a@k-series"}`, 400, "invalid_request", "did you mean ref?"},
		{"a number for a string", "POST", conns, `{"ref":7}`, 400, "invalid_request", `"field":"ref","message":"it must be a string, not a number"`},
		{"a fraction for a whole number", "POST", conns, `{"ref":"a@k-series","tokens":{"access_token":"x","expires_in":1.5}}`, 400, "invalid_request",
			`"field":"tokens.expires_in","message":"it must be a whole number, not a number"`},
		{"tokens that are empty", "POST", conns, `{"ref":"a@k-series","tokens":{}}`, 400, "invalid_request", `"field":"tokens"`},
		{"two lives of a token", "POST", conns, `{"ref":"a@k-series","tokens":{"access_token":"x","expires_in":5,"expires_at":"2099-01-01T00:00:00Z"}}`, 400, "invalid_request", "not both"},
		{"an access token that breaks a header", "POST", conns, `{"ref":"a@k-series","tokens":{"access_token":"x\nX-Evil: y"}}`, 400, "invalid_request", `"field":"tokens.access_token"`},
		{"a token of another type", "POST", conns, `{"ref":"a@k-series","tokens":{"access_token":"x","token_type":"mac"}}`, 400, "invalid_request", `"field":"tokens.token_type"`},
		{"a time that is none", "POST", conns, `{"ref":"a@k-series","tokens":{"access_token":"x","expires_at":"tomorrow"}}`, 400, "invalid_request", `"field":"tokens.expires_at"`},
		{"an id where an address is needed", "POST", conns, `{"ref":"conn_01"}`, 400, "invalid_request", "not an id"},
		{"an app that is none", "POST", conns, `{"ref":"a@none"}`, 400, "invalid_request", `"field":"ref"`},
		{"a key with a space", "POST", conns, `{"ref":"a b@k-series"}`, 400, "invalid_request", `"field":"ref"`},
		{"a limit of nothing", "GET", conns + "?limit=0", "", 400, "invalid_request", "from 1 to 1000"},
		{"a limit too high", "GET", conns + "?limit=1001", "", 400, "invalid_request", "from 1 to 1000"},
		{"a state that is none", "GET", conns + "?state=fine", "", 400, "invalid_request", `"field":"state"`},
		{"an actor that is none", "GET", conns + "?act_by=me", "", 400, "invalid_request", `"field":"act_by"`},
		{"a misspelt filter", "GET", conns + "?stat=connected", "", 400, "invalid_request", "did you mean state?"},
		{"a query that cannot be read", "GET", conns + "?q=%zz", "", 400, "invalid_request", `"field":"query"`},
		{"a link that lives for nothing", "POST", "/v1/links", `{"ref":"a@k-series","ttl":"0s"}`, 400, "invalid_request", `"field":"ttl"`},
		{"a link that lives for a word", "POST", "/v1/links", `{"ref":"a@k-series","ttl":"soon"}`, 400, "invalid_request",
			`"errors":[{"field":"ttl","message":"it must be a time span such as 30s, 5m or 7d"}]`},
		{"a link that lives too long", "POST", "/v1/links", `{"ref":"a@k-series","ttl":"365d"}`, 400, "invalid_request", `"field":"ttl"`},
		{"a return_url that is not allowed", "POST", "/v1/links", `{"ref":"a@k-series","return_url":"https://evil.example/"}`, 400, "invalid_request", `"field":"return_url"`},
		{"a state of links that is none", "GET", "/v1/links?state=fine", "", 400, "invalid_request", `"field":"state"`},
		{"links of an absent connection", "GET", "/v1/links?ref=none@k-series", "", 404, "not_found", ""},
		{"a wait too long", "GET", "/v1/events?wait=61s", "", 400, "invalid_request", `"field":"wait"`},
		{"an event id that is none", "GET", "/v1/events?after=5", "", 400, "invalid_request", `"field":"after"`},
		{"an order that is none", "GET", "/v1/events?order=up", "", 400, "invalid_request", `"field":"order"`},
		{"a key without scopes", "POST", "/v1/keys", `{"name":"x"}`, 400, "invalid_request", `"field":"scopes"`},
		{"a key with a scope that is none", "POST", "/v1/keys", `{"name":"x","scopes":["all"]}`, 400, "invalid_request", `"field":"scopes"`},
		{"a key for an app that is none", "POST", "/v1/keys", `{"name":"x","scopes":["tokens"],"apps":["k-serie"]}`, 400, "invalid_request", "did you mean k-series?"},
		{"a key for nothing", "POST", "/v1/keys", `{"name":"x","scopes":["tokens"],"apps":[]}`, 400, "invalid_request", `"field":"apps"`},
		{"a key that has expired", "POST", "/v1/keys", `{"name":"x","scopes":["tokens"],"expires_at":"2001-01-01T00:00:00Z"}`, 400, "invalid_request", `"field":"expires_at"`},
		{"an app that is not there", "GET", "/v1/apps/none", "", 404, "not_found", "no such app"},
		{"a link that is not there", "GET", "/v1/links/link_none", "", 404, "not_found", "no such link"},
		{"a key that is not there", "DELETE", "/v1/keys/key_none", "", 404, "not_found", "no such API key"},
		{"a key of the file", "DELETE", "/v1/keys/key_admin", "", 409, "conflict", "configuration file"},
		{"a body too large", "POST", conns, `{"ref":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "request_too_large", ""},
		{"an Idempotency-Key too long", "POST", conns, `{"ref":"a@k-series"}`, 400, "invalid_request", `"field":"Idempotency-Key"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var header []string
			if strings.Contains(c.says, "Idempotency-Key") {
				header = append(header, "Idempotency-Key: "+strings.Repeat("k", 256))
			}
			a := k.Do(admin, c.method, c.target, c.body, header...)
			expectProblem(t, a, c.status, c.code)
			if !strings.Contains(a.Body, c.says) {
				t.Errorf("%s does not say %s", a.Body, c.says)
			}
			if c.status == 405 && a.Header.Get("Allow") != c.says {
				t.Errorf("Allow %q, want %q", a.Header.Get("Allow"), c.says)
			}
		})
	}
}

func TestRequestIDsAreTakenOnIfSane(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	for given, kept := range map[string]bool{"req_mine-1.2": true, "": false, "a b": false, "<script>": false, strings.Repeat("x", 65): false} {
		got := k.Do("", "GET", "/livez", "", "Request-Id: "+given).Header.Get("Request-Id")
		if (got == given) != kept || got == "" {
			t.Errorf("%q became %q", given, got)
		}
		if !kept && !strings.HasPrefix(got, "req_") {
			t.Errorf("our own id is %q", got)
		}
	}
}

func TestHeadAnswersLikeGetWithoutABody(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	k.Adopt("biz_1", "k-series")
	for _, path := range []string{"/v1/meta", "/v1/openapi.json", "/docs", "/v1/connections/biz_1@k-series", "/v1/connections/biz_1@k-series/token?wait=60s"} {
		got := k.Do(admin, "GET", path, "")
		req, err := http.NewRequestWithContext(t.Context(), "HEAD", k.Server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+admin)
		for _, tag := range []string{"", got.Header.Get("ETag")} { // HEAD waits for nothing
			req.Header.Set("If-None-Match", tag)
			res, err := k.Server.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			want := 200
			if tag != "" {
				want = 304
			}
			if res.StatusCode != want || want == 200 && res.ContentLength <= 0 || res.Header.Get("ETag") != got.Header.Get("ETag") {
				t.Errorf("%s: status %d, length %d, %v", path, res.StatusCode, res.ContentLength, res.Header)
			}
		}
	}
}

func TestHealth(t *testing.T) {
	broken := &faulty{}
	k := apitest.New(t, apitest.Options{Wrap: func(s store.Store) store.Store { broken.Store = s; return broken }})
	if a := k.Do("", "GET", "/livez", ""); a.Status != 200 || a.Body != "ok\n" {
		t.Errorf("livez %d %q", a.Status, a.Body)
	}
	if a := k.Do("", "GET", "/readyz", ""); a.Status != 200 || a.Body != "ok\n" {
		t.Errorf("readyz %d %q", a.Status, a.Body)
	}
	if a := k.Do("", "GET", "/readyz?verbose", ""); a.Status != 200 || a.Body != "[+]spool ok\n[+]store ok\nready\n" {
		t.Errorf("readyz?verbose %d %q", a.Status, a.Body)
	}
	broken.down.Store(true)
	a := k.Do("", "GET", "/readyz", "")
	if a.Status != 503 || a.Header.Get("Retry-After") == "" || a.Body != "[+]spool ok\n[-]store failed\nnot ready\n" {
		t.Errorf("readyz without a store: %d %q", a.Status, a.Body)
	}
}

func TestAStoreThatIsDownIsTemporary(t *testing.T) {
	broken := &faulty{}
	k := apitest.New(t, apitest.Options{Wrap: func(s store.Store) store.Store { broken.Store = s; return broken }})
	k.Adopt("biz_1", "k-series")
	expect(t, k.Do(admin, "GET", "/v1/connections/biz_1@k-series/token", ""), 200)
	broken.down.Store(true)
	for _, path := range []string{"/v1/connections", "/v1/connections/biz_2@k-series/token", "/v1/events", "/v1/links", "/v1/keys"} {
		expectProblem(t, k.Do(admin, "GET", path, ""), 503, "temporarily_unavailable")
	}
	expect(t, k.Do(admin, "GET", "/v1/connections/biz_1@k-series/token", ""), 200)
}

func TestInternalErrorsStayInTheLog(t *testing.T) {
	var log bytes.Buffer
	broken := &faulty{}
	k := apitest.New(t, apitest.Options{
		Wrap:   func(s store.Store) store.Store { broken.Store = s; return broken },
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	broken.odd.Store(true)
	a := k.Do(admin, "GET", "/v1/connections/biz_1@k-series", "")
	expectProblem(t, a, 500, "internal")
	if strings.Contains(a.Body, "tilt") {
		t.Errorf("the cause is told: %s", a.Body)
	}
	if !strings.Contains(log.String(), "tilt") || !strings.Contains(log.String(), a.Header.Get("Request-Id")) {
		t.Errorf("the log has no cause, or no request id: %s", log.String())
	}
	broken.odd.Store(false)
	broken.panics.Store(true)
	a = k.Do(admin, "GET", "/v1/connections/biz_1@k-series", "")
	expectProblem(t, a, 500, "internal")
	if !strings.Contains(log.String(), "handler panicked") {
		t.Error("the panic is not logged")
	}
}

func TestTheAccessLogTellsNoQueriesAndNoKeys(t *testing.T) {
	var log bytes.Buffer
	k := apitest.New(t, apitest.Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	k.Adopt("biz_1", "k-series")
	tok := expect(t, k.Do(admin, "GET", "/v1/connections/biz_1@k-series/token?min_valid=77s", ""), 200)
	k.Do(admin, "GET", "/v1/connections?q=findme", "")
	for _, secret := range []string{admin, tok["access_token"].(string), "77s", "findme", "biz_1"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log tells %q", secret)
		}
	}
	for _, want := range []string{"route=/v1/connections/{ref}/token", "status=200", "key=key_admin", "request_id=req_", "method=GET"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s: %s", want, log.String())
		}
	}
}

func TestTheAdminSocketNeedsNoKey(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	c := k.Config
	c.TrustAll = true
	h, err := api.New(c)
	if err != nil {
		t.Fatal(err)
	}
	who := expect(t, apitest.Serve(h, "", "GET", "/v1/whoami", ""), 200)
	if who["source"] != "admin_socket" {
		t.Errorf("%v", who)
	}
	expect(t, apitest.Serve(h, "", "GET", "/v1/keys", ""), 200)
}

func TestMetaAndWhoami(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	if m := expect(t, k.Do("", "GET", "/v1/meta", ""), 200); m["version"] != "test" || m["public_url"] != "https://connect.example" {
		t.Errorf("%v", m)
	}
	key := k.Key([]access.Scope{access.Tokens}, []string{"k-series"}, nil)
	if w := expect(t, k.Do(key, "GET", "/v1/whoami", ""), 200); w["source"] != "store" || w["businesses"] != nil || w["key"] != nil {
		t.Errorf("%v", w)
	}
	expectProblem(t, k.Do("", "GET", "/v1/whoami", ""), 401, "unauthorized")
}

// faulty is a store that can be made to fail.
type faulty struct {
	store.Store
	down, odd, panics atomic.Bool
}

func (f *faulty) fails() error {
	switch {
	case f.down.Load():
		return store.ErrUnavailable
	case f.odd.Load():
		return errors.New("tilt")
	case f.panics.Load():
		panic("tilt")
	}
	return nil
}

func (f *faulty) Check(ctx context.Context) error {
	if err := f.fails(); err != nil {
		return err
	}
	return f.Store.Check(ctx)
}

func (f *faulty) Connection(ctx context.Context, ref grant.Ref) (grant.Connection, error) {
	if err := f.fails(); err != nil {
		return grant.Connection{}, err
	}
	return f.Store.Connection(ctx, ref)
}

func (f *faulty) Holdings(ctx context.Context, ref grant.Ref) (grant.Connection, []store.Holding, error) {
	if err := f.fails(); err != nil {
		return grant.Connection{}, nil, err
	}
	return f.Store.Holdings(ctx, ref)
}

func (f *faulty) ListConnections(ctx context.Context, c store.ConnectionFilter, p store.Page) ([]grant.Connection, string, error) {
	if err := f.fails(); err != nil {
		return nil, "", err
	}
	return f.Store.ListConnections(ctx, c, p)
}

func (f *faulty) ListEvents(ctx context.Context, e store.EventFilter, p store.Page) ([]grant.Event, string, error) {
	if err := f.fails(); err != nil {
		return nil, "", err
	}
	return f.Store.ListEvents(ctx, e, p)
}

func (f *faulty) ListLinks(ctx context.Context, l store.LinkFilter, p store.Page) ([]grant.Link, string, error) {
	if err := f.fails(); err != nil {
		return nil, "", err
	}
	return f.Store.ListLinks(ctx, l, p)
}

func (f *faulty) ListKeys(ctx context.Context) ([]access.Key, error) {
	if err := f.fails(); err != nil {
		return nil, err
	}
	return f.Store.ListKeys(ctx)
}
