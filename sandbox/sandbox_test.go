package sandbox_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/sandbox"
)

const (
	callback   = "https://app.example/oauth/callback/k"
	v2ClientID = "devp-v2-demo-acme"
	v1ClientID = "devp-acme"
	secret     = "s3cret"
	v2Root     = "/k/realms/k-series/protocol/openid-connect"
	anna       = "anna@cafe-nord.example"
)

// bench is a sandbox behind a real listener, and a client of it.
type bench struct {
	t    *testing.T
	sb   *sandbox.Sandbox
	url  string
	http *http.Client

	clientID, authorize, token, api string
	inQuery                         bool // V1
	inBody                          bool // R and X: client id and secret
	scope                           string
}

func start(t *testing.T, cfg sandbox.Config) *bench {
	t.Helper()
	var mu sync.Mutex
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	if cfg.Now == nil {
		cfg.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	}
	sb := sandbox.New(cfg)
	srv := httptest.NewServer(sb)
	t.Cleanup(srv.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Host == "app.example" {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return &bench{
		t: t, sb: sb, url: srv.URL, http: client,
		scope:    "financial-api orders-api offline_access",
		clientID: v2ClientID, authorize: srv.URL + v2Root + "/auth", token: srv.URL + v2Root + "/token", api: srv.URL + "/k",
	}
}

func startV1(t *testing.T, cfg sandbox.Config) *bench {
	b := start(t, cfg)
	b.clientID, b.authorize, b.token, b.api, b.inQuery = v1ClientID, b.url+"/k1/oauth/authorize", b.url+"/k1/oauth/token", b.url+"/k1", true
	return b
}

// authorizeURL is a well-formed authorize request; extra overrides, and "" removes.
func (b *bench) authorizeURL(extra ...string) string {
	q := url.Values{
		"response_type": {"code"}, "client_id": {b.clientID}, "redirect_uri": {callback},
		"scope": {b.scope}, "state": {"st4te"},
	}
	for i := 0; i < len(extra); i += 2 {
		q.Set(extra[i], extra[i+1])
		if extra[i+1] == "" {
			q.Del(extra[i])
		}
	}
	return b.authorize + "?" + q.Encode()
}

// consent lets a user approve and returns the query of the callback.
func (b *bench) consent(email string, extra ...string) url.Values {
	b.t.Helper()
	final, page, err := sandbox.Visit{Client: b.http, Email: email}.Follow(b.t.Context(), b.authorizeURL(extra...))
	if err != nil {
		b.t.Fatalf("visit stuck at %s: %v\n%s", final, err, page)
	}
	u, err := url.Parse(final)
	if err != nil || u.Host != "app.example" {
		b.t.Fatalf("visit ended at %s, want the callback", final)
	}
	return u.Query()
}

// answered is a token endpoint's answer.
type answered struct {
	Status  int
	Header  http.Header
	Raw     string
	Fields  map[string]any
	Access  string
	Refresh string
	Error   string // error: error_description
}

// post sends a token request the way the series takes it.
func (b *bench) post(ctx context.Context, secret string, form ...string) (answered, error) {
	b.t.Helper()
	values := url.Values{}
	for i := 0; i < len(form); i += 2 {
		values.Add(form[i], form[i+1])
	}
	if b.inBody {
		values.Set("client_id", b.clientID)
		values.Set("client_secret", secret)
	}
	to, body := b.token, io.Reader(strings.NewReader(values.Encode()))
	if b.inQuery {
		to, body = to+"?"+values.Encode(), nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, body)
	if err != nil {
		b.t.Fatal(err)
	}
	if !b.inQuery {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if secret != "" && !b.inBody {
		r.SetBasicAuth(b.clientID, secret)
	}
	return b.do(r)
}

func (b *bench) do(r *http.Request) (answered, error) {
	resp, err := b.http.Do(r)
	if err != nil {
		return answered{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	a := answered{Status: resp.StatusCode, Header: resp.Header, Raw: string(raw)}
	if err != nil {
		return a, err
	}
	if json.Unmarshal(raw, &a.Fields) == nil {
		a.Access, _ = a.Fields["access_token"].(string)
		a.Refresh, _ = a.Fields["refresh_token"].(string)
		code, _ := a.Fields["error"].(string)
		text, _ := a.Fields["error_description"].(string)
		a.Error = code + ": " + text
	}
	return a, nil
}

func (b *bench) must(a answered, err error) answered {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

// connect goes all the way to the first tokens of a user's grant.
func (b *bench) connect(email string, extra ...string) answered {
	b.t.Helper()
	a := b.must(b.exchange(b.consent(email, extra...).Get("code")))
	if a.Status != http.StatusOK {
		b.t.Fatalf("exchange answered %d %s", a.Status, a.Raw)
	}
	return a
}

func (b *bench) exchange(code string, extra ...string) (answered, error) {
	b.t.Helper()
	return b.post(b.t.Context(), secret, append([]string{"grant_type", "authorization_code", "code", code, "redirect_uri", callback}, extra...)...)
}

func (b *bench) refresh(token string) (answered, error) {
	b.t.Helper()
	return b.post(b.t.Context(), secret, "grant_type", "refresh_token", "refresh_token", token)
}

// get calls the API.
func (b *bench) get(path, token string) answered {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.api+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return b.must(b.do(r))
}

// control calls the control API and decodes the answer into out, if it is not nil.
func (b *bench) control(method, path, body string, out any) answered {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.url+"/_sandbox"+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	a := b.must(b.do(r))
	if out != nil {
		if err := json.Unmarshal([]byte(a.Raw), out); err != nil {
			b.t.Fatalf("%s %s answered %s: %v", method, path, a.Raw, err)
		}
	}
	return a
}

// kinds lists the kinds of findings.
func kinds(fs []sandbox.Finding) string {
	var out []string
	for _, f := range fs {
		k := f.Kind
		if f.AfterFault != "" {
			k += "/" + f.AfterFault
		}
		out = append(out, k)
	}
	return strings.Join(out, " ")
}
