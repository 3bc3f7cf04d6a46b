package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/provider/lightspeed"
	"github.com/evergrant/evergrant/sandbox"
)

// TestSeriesInTheSandbox takes each of the vendor's series through a whole life:
// a merchant connects, the locations are read, a program pages through everything,
// access tokens are renewed again and again, the refresh token ends while nobody
// looks, and the merchant comes back to the same connection.
func TestSeriesInTheSandbox(t *testing.T) {
	t.Parallel()
	newSeriesRun(t, func(s series, _ string) string { return s.atSandbox() }).whole()
}

// TestSeriesAtConfiguredEndpoints is the same suite for apps of production whose
// endpoints are overridden, as they are for a simulator that is not ours.
func TestSeriesAtConfiguredEndpoints(t *testing.T) {
	t.Parallel()
	newSeriesRun(t, series.atEndpoints).whole()
}

// seriesRun is a server with an app of each series, and the sandbox that judges.
type seriesRun struct {
	*server
	box    *httptest.Server
	all    []series
	tokens map[string]map[string]bool // fingerprints seen, by app
}

func newSeriesRun(t *testing.T, configured func(series, string) string) *seriesRun {
	t.Helper()
	r := &seriesRun{server: newServer(t), box: httptest.NewServer(sandbox.New(sandbox.Config{})), all: allSeries(), tokens: make(map[string]map[string]bool)}
	t.Cleanup(r.box.Close)
	r.env = []string{"EVERGRANT_SANDBOX_URL=" + r.box.URL}
	var apps strings.Builder
	for _, s := range r.all {
		apps.WriteString(configured(s, r.box.URL))
		r.tokens[s.app] = make(map[string]bool)
		r.control("/users", s.user)
		r.control("/lifetimes", map[string]string{"series": s.recipe, "access": s.life.String()})
		if s.server != "" {
			r.control("/clients", map[string]any{"client_id": s.clientID, "series": s.recipe, "server": s.server,
				"redirect_uris": []string{r.public + "/oauth/callback/" + s.app}})
		}
	}
	r.configure(apps.String(), "")
	r.start()
	return r
}

// control tells the sandbox something.
func (r *seriesRun) control(path string, v any) {
	r.t.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		r.t.Fatal(err)
	}
	if status, answer := ask(r.t, http.MethodPost, r.box.URL+"/_sandbox"+path, "", string(body)); status != http.StatusOK {
		r.t.Fatalf("the sandbox's %s: %d %s", path, status, answer)
	}
}

// whole is the suite. Its steps are those of one life, and the series go through
// each together, so that their waiting is one.
func (r *seriesRun) whole() {
	ids := make(map[string]string)
	for _, s := range r.all {
		r.approve(s, "connect", r.visit)
		r.covered(s, "connected")
		r.read(s)
		ids[s.app] = r.connection(s).ID
	}
	for _, s := range r.all {
		r.lives(s)
		r.read(s)
	}
	r.interrupt()
	r.ended()
	r.judged(false)

	// While nobody refreshes, the refresh tokens end; a year is the longest life.
	r.control("/clock", map[string]string{"advance": "400d"})
	r.start()
	for _, s := range r.all {
		every(r.t, time.Second, 3*time.Minute, s.app+" needs its merchant", func() bool {
			return r.connection(s).State == "needs_reauthorization"
		})
		r.lost(s)
	}
	for _, s := range r.all {
		by := r.visit
		if s.recipe == "lightspeed-x" {
			by = r.visitInChromium
		}
		r.approve(s, "reconnect", by)
		r.covered(s, "reconnected")
		r.read(s)
		r.remembered(s, ids[s.app])
	}
	for _, s := range r.all {
		before := r.grant(s.ref()).Seq
		every(r.t, time.Second, 2*time.Minute, s.app+" is renewed again", func() bool { return r.grant(s.ref()).Seq > before })
		r.read(s)
	}
	r.interrupt()
	r.ended()
	r.judged(true)
}

func (r *seriesRun) connection(s series) client.Connection {
	r.t.Helper()
	c, err := r.Connection(r.t.Context(), s.ref())
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// approve has the merchant follow a link through the vendor's login and consent.
func (r *seriesRun) approve(s series, purpose string, by func(series, string)) {
	r.t.Helper()
	l, err := r.CreateLink(r.t.Context(), client.NewLink{Ref: s.ref(), BusinessName: "Harbour"})
	if err != nil || l.Purpose != purpose {
		r.t.Fatalf("%s: a link to %s: %+v, %v", s.app, purpose, l, err)
	}
	by(s, l.URL)
	if c := r.connection(s); c.State != "connected" || c.Reason != "ok" {
		r.t.Fatalf("%s: after the merchant's visit: %+v", s.app, c)
	}
}

// visit follows a link by the pages' forms.
func (r *seriesRun) visit(s series, link string) {
	r.t.Helper()
	final, page, err := sandbox.Visit{Email: s.user.Email}.Follow(r.t.Context(), link)
	if err != nil || final != link+"/done" {
		r.t.Fatalf("%s: the visit ended at %s: %v\n%s", s.app, final, err, page)
	}
}

// visitInChromium follows a link in a real browser.
func (r *seriesRun) visitInChromium(s series, link string) {
	r.t.Helper()
	ctx := chromium(r.t, 1280)
	if _, err := chromedp.RunResponse(ctx, chromedp.Navigate(link)); err != nil {
		r.t.Fatal(err)
	}
	press(r.t, ctx, "Continue")
	press(r.t, ctx, s.user.Email)
	press(r.t, ctx, "Allow")
	if page := shown(r.t, ctx, s.app+"-done"); !strings.Contains(page, "is connected") {
		r.t.Errorf("%s: the page at the end says %q", s.app, page)
	}
}

// covered compares the JSON of the coverage: one grant reaches everything.
func (r *seriesRun) covered(s series, when string) {
	r.t.Helper()
	status, body := ask(r.t, http.MethodGet, r.api+"/v1/connections/"+url.PathEscape(string(s.ref()))+"/locations", r.key, "")
	var got map[string]any
	if err := json.Unmarshal(body, &got); err != nil || status != http.StatusOK {
		r.t.Fatalf("%s %s: %d %s", s.app, when, status, body)
	}
	if at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(got["as_of"])); err != nil || time.Since(at) > time.Hour {
		r.t.Errorf("%s %s: as of %v", s.app, when, got["as_of"])
	}
	delete(got, "as_of")
	grant := []any{r.grant(s.ref()).ID}
	var locations, ids []any
	for _, l := range s.locations {
		locations = append(locations, map[string]any{"id": l.id, "name": l.name, "business_id": l.businessID, "business_name": l.businessName,
			"required": true, "grants": grant})
		ids = append(ids, l.id)
	}
	want := map[string]any{"locations": locations, "uncovered": []any{}, "single_grant": ids, "minimal_grants": grant}
	if d := cmp.Diff(want, got); d != "" {
		r.t.Errorf("%s %s, coverage (-want +got):\n%s", s.app, when, d)
	}
}

// read pages through every sample there is, as a program of a developer's does.
func (r *seriesRun) read(s series) {
	r.t.Helper()
	tok, err := r.Token(r.t.Context(), s.ref(), nil)
	if err != nil {
		r.t.Fatalf("%s: %v", s.app, err)
	}
	r.tokens[s.app][tok.Fingerprint] = true
	if tok.BaseURL != r.box.URL+s.reached {
		r.t.Errorf("%s: the API is at %s, want %s", s.app, tok.BaseURL, r.box.URL+s.reached)
	}
	hc := &http.Client{Transport: lightspeed.NewLimiter().Transport(evergrant.NewHTTPClient(r, s.ref()).Transport)}
	defer hc.CloseIdleConnections()
	api := lightspeed.API{Client: hc, Base: tok.BaseURL, UserAgent: "evergrant-e2e/1"}
	for _, l := range s.lists {
		distinct := make(map[string]bool)
		n := 0
		for entry, err := range lightspeed.All[json.RawMessage](r.t.Context(), api, l.List) {
			if err != nil {
				r.t.Fatalf("%s: %s after %d: %v", s.app, l.Path, n, err)
			}
			distinct[string(entry)] = true
			n++
		}
		if n != l.want || len(distinct) != l.want {
			r.t.Errorf("%s: %s?%s has %d, %d of them different; want %d", s.app, l.Path, l.Query.Encode(), n, len(distinct), l.want)
		}
	}
}

// lives asks for a token every second, as a program that is in use does, until
// the grant has been refreshed often enough.
func (r *seriesRun) lives(s series) {
	r.t.Helper()
	every(r.t, time.Second, 5*time.Minute, fmt.Sprintf("%s has been refreshed %d times", s.app, s.lives), func() bool {
		for _, o := range r.all { // all of them, while this one is waited for
			tok, err := r.Token(r.t.Context(), o.ref(), nil)
			switch {
			case err == nil:
				r.tokens[o.app][tok.Fingerprint] = true
			case !errors.Is(err, evergrant.ErrTemporary): // which a machine under load may cause
				r.t.Fatalf("%s: a token while all is well: %v", o.app, err)
			default:
				r.t.Logf("%s: %v", o.app, err)
			}
		}
		return r.grant(s.ref()).Seq >= s.lives
	})
}

// lost looks at a connection whose refresh token has ended.
func (r *seriesRun) lost(s series) {
	r.t.Helper()
	if c := r.connection(s); c.ActBy != "merchant" || !slices.Contains([]string{"refresh_rejected", "deadline_passed"}, c.Reason) {
		r.t.Errorf("%s: %+v", s.app, c)
	}
	if _, err := r.Token(r.t.Context(), s.ref(), nil); !errors.Is(err, evergrant.ErrReauthorize) {
		r.t.Errorf("%s: a token of a dead grant: %v", s.app, err)
	}
	var want []string
	for _, l := range s.locations {
		want = append(want, l.id)
	}
	got, err := r.Locations(r.t.Context(), s.ref())
	if d := cmp.Diff(want, got.Uncovered); err != nil || d != "" || len(got.MinimalGrants) > 0 {
		r.t.Errorf("%s: coverage of a dead grant: %v %+v\n%s", s.app, err, got, d)
	}
}

// remembered fails the test unless the connection is the one there was, and its
// log tells its whole life.
func (r *seriesRun) remembered(s series, id string) {
	r.t.Helper()
	if c := r.connection(s); c.ID != id || c.Name != "Harbour" {
		r.t.Errorf("%s: the connection was %s and is now %+v", s.app, id, c)
	}
	log, err := r.ConnectionEvents(r.t.Context(), s.ref(), client.EventFilter{Limit: 1000,
		Types: []string{"connection.connected", "connection.needs_reauthorization", "connection.reconnected"}})
	if err != nil {
		r.t.Fatal(err)
	}
	var told []string
	for _, e := range log.Data {
		told = append(told, e.Type)
	}
	if d := cmp.Diff([]string{"connection.connected", "connection.needs_reauthorization", "connection.reconnected"}, told); d != "" {
		r.t.Errorf("%s: history (-want +got):\n%s", s.app, d)
	}
}

// sent is what the sandbox's log says of the token requests of one app.
type sent struct {
	exchanged, refreshed, refused int
	first, last                   time.Time
}

// judged compares the sandbox's report with that of a client without mistakes and
// its log with what a calm one sends: before the refresh tokens ended, or after
// everybody came back.
func (r *seriesRun) judged(reconnected bool) {
	r.t.Helper()
	var report sandbox.Report
	var log struct{ Data []sandbox.LogEntry }
	for path, v := range map[string]any{"/report": &report, "/log": &log} {
		if _, body := ask(r.t, http.MethodGet, r.box.URL+"/_sandbox"+path, "", ""); json.Unmarshal(body, v) != nil {
			r.t.Fatalf("the sandbox's %s: %s", path, body)
		}
	}
	for _, f := range report.Violations {
		r.t.Errorf("the judge: %+v", f)
	}
	for _, f := range report.Notes {
		if f.Kind != "early_refresh" { // nothing was sent again, nothing ran into a limit
			r.t.Errorf("the judge notes: %+v", f)
		}
	}
	for _, s := range r.all {
		got := tokenRequests(log.Data, s.clientID)
		codes, refused := 1, 0
		if reconnected {
			codes, refused = 2, 2 // a death is confirmed by asking once more
		}
		if got.exchanged != codes || got.refused != refused {
			r.t.Errorf("%s: %d codes exchanged and %d requests refused, want %d and %d", s.app, got.exchanged, got.refused, codes, refused)
		}
		if reconnected {
			continue
		}
		// Twice in a life is what callers cause who want ten seconds of a token, and
		// what a server costs that first answers with the token there is.
		lives := int(got.last.Sub(got.first)/s.life) + 1
		tokens := len(r.tokens[s.app])
		r.t.Logf("%s: %d refreshes in %d lives of an access token brought %d tokens", s.app, got.refreshed, lives, tokens)
		if int64(got.refreshed) < s.lives || got.refreshed > 2*lives {
			r.t.Errorf("%s: %d refreshes, want %d to %d", s.app, got.refreshed, s.lives, 2*lives)
		}
		if s.server == "old" && tokens > got.refreshed {
			r.t.Errorf("%s: every refresh brought another token, so it was never asked too early", s.app)
		}
	}
}

// tokenRequests counts those of one client.
func tokenRequests(log []sandbox.LogEntry, clientID string) sent {
	var s sent
	for _, e := range log {
		if e.ClientID != clientID || e.GrantType == "" {
			continue
		}
		switch {
		case e.Status != http.StatusOK:
			s.refused++
		case e.GrantType == "refresh_token":
			s.refreshed++
		default:
			s.exchanged++
		}
		if s.first.IsZero() {
			s.first = e.Time
		}
		s.last = e.Time
	}
	return s
}
