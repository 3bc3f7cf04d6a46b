package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/api"
	"github.com/evergrant/evergrant/internal/api/apitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect returns a client of the kit's server.
func connect(t *testing.T, k *apitest.Kit, key string) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{URL: k.Server.URL, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestTokensComeAndAreRejected(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	conn := k.Adopt("biz-100%@home?", "k-series")
	c := connect(t, k, apitest.AdminKey)
	const ref evergrant.Ref = "biz-100%@home?@k-series"
	tok := must(c.Token(t.Context(), ref, nil))(t)
	if left := time.Until(tok.Expiry); left < 59*time.Minute || left > time.Hour || tok.Type != "Bearer" || tok.Connection != conn.ID ||
		tok.BaseURL != "https://api.example" || tok.Locations == nil || !strings.HasPrefix(tok.Grant, "grant_") {
		t.Errorf("%+v", *tok)
	}
	if again := must(c.Token(t.Context(), evergrant.Ref(conn.ID), &evergrant.TokenOptions{MinValid: time.Minute}))(t); again.AccessToken != tok.AccessToken {
		t.Error("another token under the id")
	}
	next := must(c.Reject(t.Context(), ref, tok.Fingerprint))(t)
	if next.AccessToken == tok.AccessToken {
		t.Error("the rejected token came back")
	}
	if s := fmt.Sprintf("%v %+v %#v", *next, next, c); strings.Contains(s, next.AccessToken) || strings.Contains(s, apitest.AdminKey) {
		t.Errorf("a secret prints: %s", s)
	}
}

func TestProblemsAreErrorsWithTheirKind(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	k.Adopt("biz_1", "k-series")
	ctx := t.Context()
	all := connect(t, k, apitest.AdminKey)
	must(all.CreateConnection(ctx, client.NewConnection{Ref: "new@k-series"}))(t)
	must(all.CreateConnection(ctx, client.NewConnection{Ref: "gone@k-series", Tokens: &client.Tokens{AccessToken: "x", ExpiresIn: 3600}}))(t)
	must(all.Disconnect(ctx, "gone@k-series"))(t)
	tokens := connect(t, k, k.Key([]access.Scope{access.Tokens}, nil, nil))
	for _, c := range []struct {
		name string
		do   func() error
		kind error
		code string
	}{
		{"absent", func() error { _, err := tokens.Token(ctx, "none@k-series", nil); return err }, evergrant.ErrNotFound, "not_found"},
		{"never connected", func() error { _, err := all.Token(ctx, "new@k-series", nil); return err }, evergrant.ErrReauthorize, "never_connected"},
		{"disconnected", func() error { _, err := all.Token(ctx, "gone@k-series", nil); return err }, evergrant.ErrReauthorize, "needs_reauthorization"},
		{"not covered", func() error {
			_, err := tokens.Token(ctx, "biz_1@k-series", &evergrant.TokenOptions{Location: "3"})
			return err
		}, evergrant.ErrLocationNotCovered, "location_not_covered"},
		{"no scope", func() error { _, err := tokens.Keys(ctx); return err }, evergrant.ErrForbidden, "forbidden"},
		{"no key", func() error { _, err := connect(t, k, "").Whoami(ctx); return err }, evergrant.ErrForbidden, "unauthorized"},
		{"not a ref", func() error { _, err := tokens.Token(ctx, "biz_1", nil); return err }, evergrant.ErrInvalid, "invalid_request"},
		{"an empty ref", func() error { _, err := tokens.Token(ctx, "", nil); return err }, evergrant.ErrInvalid, "invalid_request"},
		{"a conflict", func() error { return all.RevokeKey(ctx, "key_admin") }, evergrant.ErrInvalid, "conflict"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.do()
			var e *evergrant.Error
			if !errors.As(err, &e) || !errors.Is(err, c.kind) || e.Code != c.code {
				t.Fatalf("%#v", err)
			}
			if e.Message == "" || e.ActBy == "" {
				t.Errorf("%#v", e)
			}
			if (e.RequestID == "") != (c.name == "an empty ref") {
				t.Errorf("request id %q", e.RequestID)
			}
			if (e.ReauthorizeURL != "") != (c.kind == evergrant.ErrReauthorize) {
				t.Errorf("reauthorize URL %q", e.ReauthorizeURL)
			}
		})
	}
}

func TestEverythingCanBeManaged(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	ctx := t.Context()
	c := connect(t, k, apitest.AdminKey)

	at, rt := k.Oracle.Issue("biz_1")
	made := must(c.CreateConnection(ctx, client.NewConnection{Ref: "biz_1@k-series", Name: "Quay", Tags: map[string]string{"a": "b c&d"},
		Tokens: &client.Tokens{AccessToken: at, RefreshToken: rt, ExpiresAt: time.Now().Add(time.Hour),
			RefreshExpiresAt: time.Now().AddDate(0, 0, 20)}}))(t)
	if made.State != "connected" || len(made.Grants) != 1 || made.Since.IsZero() || made.Deadline.IsZero() {
		t.Fatalf("%+v", made)
	}
	ref := evergrant.Ref(made.Ref)
	name, none := "Quay Bar", []string(nil)
	changed := must(c.UpdateConnection(ctx, ref, client.Change{Name: &name, RequiredLocations: &[]string{"9"}}))(t)
	if changed.Name != name || !cmp.Equal(changed.RequiredLocations, []string{"9"}) || changed.Tags["a"] != "b c&d" {
		t.Errorf("%+v", changed)
	}
	if cov := must(c.Locations(ctx, ref))(t); !cmp.Equal(cov.Uncovered, []string{"9"}) || !cov.AsOf.IsZero() {
		t.Errorf("%+v", cov)
	}
	changed = must(c.UpdateConnection(ctx, ref, client.Change{RequiredLocations: &none, Tags: map[string]string{"x": "y"}}))(t)
	if changed.RequiredLocations != nil || len(changed.Tags) != 1 {
		t.Errorf("%+v", changed)
	}
	if p := must(c.Connections(ctx, client.ConnectionFilter{App: "k-series", States: []string{"connected", "degraded"}, ActBy: "nobody", Query: "quay",
		Tags: map[string]string{"x": "y"}, DeadlineBefore: time.Now().AddDate(0, 1, 0)}))(t); len(p.Data) != 1 {
		t.Errorf("%+v", p)
	}
	must(c.RefreshLocations(ctx, ref))(t)
	if r := must(c.Refresh(ctx, ref))(t); len(r) != 1 || !r[0].Refreshed {
		t.Errorf("%+v", r)
	}
	grants := must(c.Grants(ctx, ref))(t)
	if g := must(c.Grant(ctx, grants[0].ID))(t); g.Seq != 1 || g.Connection != made.ID {
		t.Errorf("%+v", g)
	}

	link := must(c.CreateLink(ctx, client.NewLink{Ref: "biz_2@k-series", BusinessName: "Nord", TTL: 36 * time.Hour, ReturnURL: "https://app.example/x",
		Locale: "nl", ExpectBusiness: "8", NoLanding: true, Locations: []string{"1"}}))(t)
	if link.URL == "" || link.Message == nil || link.Landing || link.Ref != "biz_2@k-series" || link.ExpiresAt.Sub(link.CreatedAt) != 36*time.Hour {
		t.Errorf("%+v", link)
	}
	if l := must(c.Link(ctx, link.ID))(t); l.URL != "" || l.State != "created" {
		t.Errorf("%+v", l)
	}
	if l := must(c.RevokeLink(ctx, link.ID))(t); l.State != "revoked" {
		t.Errorf("%+v", l)
	}
	if p := must(c.Links(ctx, client.LinkFilter{Ref: "biz_2@k-series", State: "revoked"}))(t); len(p.Data) != 1 {
		t.Errorf("%+v", p)
	}

	key := must(c.CreateKey(ctx, client.NewKey{Name: "one", Scopes: []string{"tokens"}, Businesses: []string{"biz_1"}, ExpiresAt: time.Now().Add(time.Hour)}))(t)
	if who := must(connect(t, k, key.Key).Whoami(ctx))(t); who.ID != key.ID || who.Apps != nil || !cmp.Equal(who.Businesses, []string{"biz_1"}) {
		t.Errorf("%+v", who)
	}
	if err := c.RevokeKey(ctx, key.ID); err != nil {
		t.Error(err)
	}
	if keys := must(c.Keys(ctx))(t); len(keys) != 2 || keys[1].RevokedAt.IsZero() {
		t.Errorf("%+v", keys)
	}
	if l := must(c.CreateDashboardLogin(ctx, client.NewDashboardLogin{Role: "support", Name: "Anna"}))(t); l.ExpiresAt.IsZero() || !strings.HasPrefix(l.URL, "https://dashboard.example/login/link/") {
		t.Errorf("%+v", l)
	}
	if apps := must(c.Apps(ctx))(t); len(apps) != 2 || !apps[0].CredentialsOK {
		t.Errorf("%+v", apps)
	}
	if app := must(c.App(ctx, "k-series"))(t); app.ClientID != "id-k-series" {
		t.Errorf("%+v", app)
	}
	if m := must(c.Meta(ctx))(t); m.Version != "test" {
		t.Errorf("%+v", m)
	}
	if d := must(c.Disconnect(ctx, ref))(t); d.State != "disconnected" {
		t.Errorf("%+v", d)
	}
	if err := c.DeleteConnection(ctx, ref); err != nil {
		t.Error(err)
	}
}

func TestTheLogIsReadPageByPageAndFollowed(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	for i := range 4 {
		k.Adopt(fmt.Sprint("biz_", i), "k-series")
	}
	c := connect(t, k, apitest.AdminKey)
	var last client.Event
	count := 0
	for e, err := range client.All(func(cursor string) (client.Page[client.Event], error) {
		return c.Events(t.Context(), client.EventFilter{Types: []string{"grant.*", "connection.*"}, Limit: 3, Cursor: cursor})
	}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.ID <= last.ID {
			t.Errorf("%s comes after %s", e.ID, last.ID)
		}
		last = e
		count++
	}
	if count < 8 {
		t.Errorf("%d events", count)
	}
	newest := must(c.Events(t.Context(), client.EventFilter{NewestFirst: true, Limit: 1}))(t)
	if newest.Data[0].ID != last.ID {
		t.Errorf("the newest is %s, not %s", newest.Data[0].ID, last.ID)
	}
	followed := make(chan client.Page[client.Event])
	go func() {
		p, err := c.Events(t.Context(), client.EventFilter{After: last.ID, Wait: time.Minute})
		if err != nil {
			t.Error(err)
		}
		followed <- p
	}()
	must(c.CreateLink(t.Context(), client.NewLink{Ref: "biz_1@k-series"}))(t)
	if p := <-followed; len(p.Data) != 1 || p.Data[0].Type != "link.created" {
		t.Errorf("%+v", p)
	}
	if p := must(c.ConnectionEvents(t.Context(), "biz_2@k-series", client.EventFilter{Ref: "ignored"}))(t); p.Data[0].Ref != "biz_2@k-series" {
		t.Errorf("%+v", p)
	}
}

func TestPagesEndAfterTheFirstError(t *testing.T) {
	want := errors.New("no")
	calls := 0
	for _, err := range client.All(func(string) (client.Page[int], error) { calls++; return client.Page[int]{}, want }) {
		if err != want {
			t.Error(err)
		}
	}
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

func TestTheAdminSocket(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	cfg := k.Config
	cfg.TrustAll = true
	h, err := api.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "evg") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "admin.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	go srv.Serve(l)
	defer srv.Close()
	for _, cfg := range []client.Config{{Socket: path}, {URL: "unix:" + path}, {URL: "unix://" + path}} {
		c, err := client.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if who := must(c.Whoami(t.Context()))(t); who.Source != "admin_socket" {
			t.Errorf("%+v", who)
		}
		c.CloseIdleConnections()
	}
}

func TestForeignAnswersAreToldApart(t *testing.T) {
	for _, c := range []struct {
		name, kind, body string
		status           int
		want             error
		code             string
	}{
		{"a proxy's error page", "text/html", "<h1>Bad Gateway</h1>", 502, evergrant.ErrTemporary, "not_evergrant"},
		{"another server's 404", "text/html", "<h1>Not Found</h1>", 404, evergrant.ErrInvalid, "not_evergrant"},
		{"a redirect", "text/html", "", 302, evergrant.ErrInvalid, "not_evergrant"},
		{"half a token", "application/json", `{"access_token":"a`, 200, evergrant.ErrInvalid, "not_evergrant"},
		{"no token", "application/json", `{}`, 200, evergrant.ErrTemporary, "not_evergrant"},
		{"a problem without a code", "application/problem+json", `{"status":500}`, 500, evergrant.ErrTemporary, "not_evergrant"},
		{"a problem without a body", "application/problem+json", ``, 503, evergrant.ErrTemporary, "not_evergrant"},
		{"a problem of tomorrow", "application/problem+json", `{"code":"teapot","detail":"short and stout"}`, 418, evergrant.ErrInvalid, "teapot"},
		{"too many requests", "application/problem+json", `{"code":"slow_down","retry_after":7}`, 429, evergrant.ErrTemporary, "slow_down"},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", c.kind)
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}))
			defer srv.Close()
			cl := must(client.New(client.Config{URL: srv.URL, Key: "evg_x"}))(t)
			defer cl.CloseIdleConnections()
			_, err := cl.Token(t.Context(), "biz_1@k-series", nil)
			var e *evergrant.Error
			if !errors.As(err, &e) || !errors.Is(err, c.want) || e.Code != c.code {
				t.Fatalf("%#v", err)
			}
			if temporary := c.want == evergrant.ErrTemporary && c.status >= 400; temporary && e.RetryAfter < time.Second {
				t.Errorf("retry after %v", e.RetryAfter)
			}
			if c.code == "slow_down" && e.RetryAfter != 7*time.Second {
				t.Errorf("retry after %v", e.RetryAfter)
			}
		})
	}
}

func TestAServerThatIsAwayIsTemporary(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	c := must(client.New(client.Config{URL: srv.URL, Key: "evg_secret"}))(t)
	_, err := c.Token(t.Context(), "biz_1@k-series", nil)
	if !errors.Is(err, evergrant.ErrTemporary) || strings.Contains(err.Error(), "evg_secret") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Token(ctx, "biz_1@k-series", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestWrongConfigurationsSaySo(t *testing.T) {
	for _, c := range []client.Config{
		{}, {URL: "127.0.0.1:8421"}, {URL: "ftp://x"}, {URL: "http://"}, {URL: "http://user:pass@x"}, {URL: "http://x", Key: "evg_x\n"},
		{Socket: "/x", HTTPClient: http.DefaultClient},
	} {
		if _, err := client.New(c); err == nil {
			t.Errorf("%q is accepted", c.URL)
		} else if strings.Contains(err.Error(), "pass") || strings.Contains(err.Error(), "evg_") {
			t.Errorf("a secret is told: %v", err)
		}
	}
	t.Setenv("EVERGRANT_SERVER", "")
	if _, err := client.FromEnv(); err == nil || !strings.Contains(err.Error(), "EVERGRANT_SERVER") {
		t.Errorf("%v", err)
	}
	t.Setenv("EVERGRANT_SERVER", "http://127.0.0.1:8421/")
	if c := must(client.FromEnv())(t); c.String() != "http://127.0.0.1:8421" {
		t.Errorf("%s", c)
	}
}
