package connect

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/issue"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/spool"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/store/sqlite"
	"github.com/evergrant/evergrant/provider"
	"github.com/evergrant/evergrant/provider/builtin"
	"github.com/evergrant/evergrant/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kit is a Service on a real store, a real spool and the sandbox, all on
// loopback, with a clock that can be moved.
type kit struct {
	t            *testing.T
	svc          *Service
	store        *flaky
	spool        *spool.Spool
	spoolOptions spool.Options
	box          *sandbox.Sandbox
	url          string // of the Service
	boxAt        string

	mu     sync.Mutex
	offset time.Duration
	states []string // told to Config.LinkState
	// between, if not nil, handles the sandbox's requests first and says whether
	// it did.
	between func(http.ResponseWriter, *http.Request) bool
}

// flaky is a store that can be made to fail.
type flaky struct {
	store.Store
	mu   sync.Mutex
	down map[string]bool // by method
}

func (f *flaky) set(method string, down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down[method] = down
}

func (f *flaky) fails(method string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down[method] {
		return store.ErrUnavailable
	}
	return nil
}

func (f *flaky) Install(ctx context.Context, in store.Installation) error {
	if err := f.fails("Install"); err != nil {
		return err
	}
	return f.Store.Install(ctx, in)
}

func (f *flaky) LinkByToken(ctx context.Context, h []byte) (grant.Link, error) {
	if err := f.fails("LinkByToken"); err != nil {
		return grant.Link{}, err
	}
	return f.Store.LinkByToken(ctx, h)
}

func (f *flaky) CreateLink(ctx context.Context, l grant.Link, events ...grant.Event) error {
	if err := f.fails("CreateLink"); err != nil {
		return err
	}
	return f.Store.CreateLink(ctx, l, events...)
}

func (k *kit) now() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return time.Now().Add(k.offset)
}

func (k *kit) advance(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.offset += d
}

// apps are two apps of the sandbox: V2 and V1.
func (k *kit) apps() provider.Apps {
	k.t.Helper()
	apps := provider.Apps{}
	for name, o := range map[string]provider.AppOptions{
		"k-series": {ClientID: "devp-v2-demo-acme", Recipe: builtin.Recipes()["lightspeed-k"]},
		"k-old":    {ClientID: "devp-acme", Recipe: builtin.Recipes()["lightspeed-k-v1"]},
	} {
		o.Name, o.Environment, o.SandboxURL, o.PublicURL = name, provider.Sandbox, k.boxAt, k.url
		o.Secrets = []secret.String{secret.New("s3cret-of-" + name)}
		o.Scopes = []string{"financial-api", "offline_access"}
		app, err := provider.NewApp(o)
		if err != nil {
			k.t.Fatal(err)
		}
		apps[name] = app
	}
	return apps
}

// newKit starts a kit. Configure may change the Service's configuration.
func newKit(t *testing.T, configure func(*Config)) *kit {
	t.Helper()
	k := &kit{t: t}
	k.box = sandbox.New(sandbox.Config{Now: k.now})
	boxServer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if k.between == nil || !k.between(w, r) {
			k.box.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(boxServer.Close)
	k.boxAt = boxServer.URL

	server := httptest.NewUnstartedServer(nil)
	k.url = "http://" + server.Listener.Addr().String()

	dir := t.TempDir()
	db, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(dir, "evergrant.db"), Now: k.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	k.store = &flaky{Store: db, down: make(map[string]bool)}
	ring, err := seal.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	k.spoolOptions = spool.Options{Dir: filepath.Join(dir, "spool"), Ring: ring, Now: k.now}
	if k.spool, err = spool.Open(k.spoolOptions); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.spool.Close() })
	sender := oauth.NewSender(oauth.SenderConfig{Now: k.now})
	t.Cleanup(sender.Close)
	discard := slog.New(slog.DiscardHandler)
	c := Config{
		Store: k.store, Ring: ring, Spool: k.spool, Sender: sender, Apps: k.apps(), PublicURL: k.url,
		Issuer: issue.New(issue.Config{Store: k.store, Ring: ring, Sender: sender, Now: k.now, Logger: discard,
			Issued: func(grant.Grant) {}}),
		Brand:          Brand{Name: "Acme Loyalty", SupportEmail: "help@acme.example", SupportPhone: "+32 2 123 01 23", Colour: "#0b5d3b"},
		ReturnURLAllow: []string{"https://app.acme.example/*"},
		Now:            k.now, Logger: discard,
		LinkState: func(app, state string) {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.states = append(k.states, state)
		},
	}
	if configure != nil {
		configure(&c)
	}
	k.svc = New(c)
	t.Cleanup(k.svc.Close)
	k.svc.patience = patience{poll: time.Millisecond, follow: 10 * time.Second, save: 50 * time.Millisecond, again: time.Hour}
	server.Config.Handler = k.svc.Handler()
	server.Start()
	t.Cleanup(server.Close)
	return k
}

// link makes a link for biz_42 at the app.
func (k *kit) link(app string, change func(*LinkRequest)) CreatedLink {
	k.t.Helper()
	r := LinkRequest{Ref: grant.Ref{Key: "biz_42", App: app}, BusinessName: "Café Nord", ReturnURL: "https://app.acme.example/settings"}
	if change != nil {
		change(&r)
	}
	l, err := k.svc.CreateLink(k.t.Context(), r)
	if err != nil {
		k.t.Fatal(err)
	}
	return l
}

const (
	anna  = "anna@cafe-nord.example"
	bruno = "bruno@bistro-soleil.example"
)

// browser returns a browser with its own cookies. One that stops does not
// follow the redirect to the callback.
func (k *kit) browser(stop bool) *http.Client {
	k.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		k.t.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	k.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if stop && strings.HasPrefix(r.URL.Path, "/oauth/callback/") {
			return http.ErrUseLastResponse
		}
		return nil
	}}
}

// visit goes the whole way as somebody and returns where it ends.
func (k *kit) visit(client *http.Client, email, link string) (final, body string) {
	k.t.Helper()
	return k.visitAs(sandbox.Visit{Client: client, Email: email}, link)
}

func (k *kit) visitAs(v sandbox.Visit, link string) (final, body string) {
	k.t.Helper()
	final, body, err := v.Follow(k.t.Context(), link)
	if err != nil {
		k.t.Fatalf("visit ended at %s: %v\n%s", final, err, body)
	}
	return final, body
}

// get fetches a page. Redirects are followed.
func (k *kit) get(client *http.Client, url string) (*http.Response, string) {
	k.t.Helper()
	return k.do(client, http.MethodGet, url)
}

func (k *kit) do(client *http.Client, method, url string) (*http.Response, string) {
	k.t.Helper()
	req, err := http.NewRequestWithContext(k.t.Context(), method, url, nil)
	if err != nil {
		k.t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		k.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		k.t.Fatal(err)
	}
	return resp, string(body)
}

// stored returns the link as it is in the store.
func (k *kit) stored(id string) grant.Link {
	k.t.Helper()
	l, err := k.store.Link(k.t.Context(), id)
	if err != nil {
		k.t.Fatal(err)
	}
	return l
}

// grants returns the grants of biz_42 at the app.
func (k *kit) grants(app string) []grant.Grant {
	k.t.Helper()
	c, err := k.store.Connection(k.t.Context(), grant.Ref{Key: "biz_42", App: app})
	if err != nil {
		k.t.Fatal(err)
	}
	gs, err := k.store.Grants(k.t.Context(), c.ID)
	if err != nil {
		k.t.Fatal(err)
	}
	return gs
}

// events returns the types of the log's link events.
func (k *kit) events() []string {
	k.t.Helper()
	es, _, err := k.store.ListEvents(k.t.Context(), store.EventFilter{Types: []string{"link.*"}}, store.Page{Limit: 1000})
	if err != nil {
		k.t.Fatal(err)
	}
	var types []string
	for _, e := range es {
		types = append(types, string(e.Type))
	}
	return types
}

// exchanged fails the test unless the sandbox honoured n codes and has nothing
// to complain about.
func (k *kit) exchanged(n int) {
	k.t.Helper()
	r := k.box.Report()
	if r.Exchanges != n || len(r.Violations) > 0 {
		k.t.Errorf("sandbox honoured %d codes, want %d; violations: %+v", r.Exchanges, n, r.Violations)
	}
}

// wants fails the test unless the page has all the texts.
func wants(t *testing.T, body string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(body, text) {
			t.Errorf("the page lacks %q:\n%s", text, body)
		}
	}
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s = %q, want %q", what, got, want)
	}
}
