package sandbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant/sandbox"
)

// Each fault hits one refresh; then the client sends the refresh token again.
func TestFaults(t *testing.T) {
	const dead = "invalid_grant: Token is not active"
	for fault, c := range map[string]struct {
		answer func(a answered, err error) string // "" if the answer is as it should be
		// resend is what sending the same refresh token once more answers, and
		// violations what the judge makes of it.
		resend, violations string
	}{
		"lose_answer":        {closedEarly, dead, "refresh_token_reused/lose_answer"},
		"truncate":           {halved, dead, "refresh_token_reused/truncate"},
		"bad_json":           {notJSON, dead, "refresh_token_reused/bad_json"},
		"lose_request":       {closedEarly, "", ""},
		"reset":              {closedEarly, "", ""},
		"status_500":         {status(500), "", ""},
		"status_429":         {status(429), "", ""},
		"status_503":         {status(503), "", ""},
		"html":               {captive, "", ""},
		"invalid_grant_once": {says(400, dead), "", ""},
		"invalid_client":     {says(401, "invalid_client: Invalid client or Invalid client credentials"), "", ""},
		"revoke":             {says(400, dead), dead, ""},
		"no_refresh_token":   {lacks("refresh_token"), "", ""},
		"no_expires_in":      {lacks("expires_in"), dead, "refresh_token_reused"},
		"expires_in_string":  {raw(`"expires_in":"1500"`), dead, "refresh_token_reused"},
		"expires_in_float":   {raw(`"expires_in":1499.5`), dead, "refresh_token_reused"},
		"scope_shrink":       {raw(`"scope":"financial-api offline_access profile email"`), dead, "refresh_token_reused"},
	} {
		t.Run(fault, func(t *testing.T) {
			b := start(t, sandbox.Config{})
			first := b.connect(anna)
			b.sb.Advance(20 * time.Minute)
			b.sb.Fault(sandbox.Fault{App: v2ClientID, Fault: fault, Times: 1, Match: map[string]string{"grant_type": "refresh_token", "email": anna}})
			if problem := c.answer(b.refresh(first.Refresh)); problem != "" {
				t.Error(problem)
			}
			if got := strings.TrimPrefix(b.must(b.refresh(first.Refresh)).Error, ": "); got != c.resend {
				t.Errorf("sent again: %q, want %q", got, c.resend)
			}
			if got := kinds(b.sb.Report().Violations); got != c.violations {
				t.Errorf("violations = %q, want %q", got, c.violations)
			}
		})
	}
}

func closedEarly(a answered, err error) string {
	if err == nil {
		return fmt.Sprintf("answered %d %s, want a closed connection", a.Status, a.Raw)
	}
	return ""
}

func halved(a answered, err error) string {
	if !errors.Is(err, io.ErrUnexpectedEOF) || a.Status != 200 || len(a.Raw) < 100 {
		return fmt.Sprintf("answered %d %q %v, want half a body", a.Status, a.Raw, err)
	}
	return ""
}

func notJSON(a answered, err error) string {
	if err != nil || a.Status != 200 || json.Valid([]byte(a.Raw)) {
		return fmt.Sprintf("answered %d %q %v", a.Status, a.Raw, err)
	}
	return ""
}

func captive(a answered, err error) string {
	if err != nil || a.Status != 200 || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
		return fmt.Sprintf("answered %d %q %v", a.Status, a.Raw, err)
	}
	return ""
}

func status(want int) func(answered, error) string {
	return func(a answered, err error) string {
		if err != nil || a.Status != want || (want == 429) != (a.Header.Get("Retry-After") == "5") {
			return fmt.Sprintf("answered %d %v %v, want %d", a.Status, a.Header, err, want)
		}
		return ""
	}
}

func says(status int, text string) func(answered, error) string {
	return func(a answered, err error) string {
		if err != nil || a.Status != status || a.Error != text {
			return fmt.Sprintf("answered %d %q %v, want %d %q", a.Status, a.Error, err, status, text)
		}
		return ""
	}
}

func lacks(field string) func(answered, error) string {
	return func(a answered, err error) string {
		if _, has := a.Fields[field]; err != nil || a.Access == "" || has {
			return fmt.Sprintf("answered %d %q %v, want no %s", a.Status, a.Raw, err, field)
		}
		return ""
	}
}

func raw(part string) func(answered, error) string {
	return func(a answered, err error) string {
		if err != nil || a.Access == "" || !strings.Contains(a.Raw, part) {
			return fmt.Sprintf("answered %d %q %v, want %s in it", a.Status, a.Raw, err, part)
		}
		return ""
	}
}

func TestSameTokenAnswersThePairThereIs(t *testing.T) {
	b := start(t, sandbox.Config{})
	first := b.connect(anna)
	b.sb.Fault(sandbox.Fault{Fault: "same_token"})
	b.sb.Advance(10 * time.Minute)
	a := b.must(b.refresh(first.Refresh))
	if a.Access != first.Access || a.Refresh != first.Refresh || a.Fields["expires_in"] != 900.0 {
		t.Errorf("answered %s", a.Raw)
	}
	b.sb.Advance(15 * time.Minute)
	a = b.must(b.refresh(first.Refresh))
	if a.Access == first.Access || a.Refresh != first.Refresh {
		t.Errorf("an expired access token is not repeated, got %s", a.Raw)
	}
}

func TestFaultsOfAnExchange(t *testing.T) {
	b := start(t, sandbox.Config{})
	b.sb.Fault(sandbox.Fault{Fault: "no_refresh_token", Times: 1})
	if a := b.connect(anna); a.Refresh != "" {
		t.Errorf("answered %s", a.Raw)
	}
	b.sb.Fault(sandbox.Fault{Fault: "invalid_grant_once"})
	code := b.consent(anna).Get("code")
	if a := b.must(b.exchange(code)); a.Error != "invalid_grant: Code not valid" {
		t.Errorf("answered %s", a.Raw)
	}
	if a := b.must(b.exchange(code)); a.Status != http.StatusOK {
		t.Errorf("nothing must be consumed, and by default once means once, got %s", a.Raw)
	}
	b.sb.Fault(sandbox.Fault{Fault: "lose_answer", Times: 1})
	code = b.consent(anna).Get("code")
	if _, err := b.exchange(code); err == nil {
		t.Error("want a closed connection")
	}
	b.must(b.exchange(code))
	if got := kinds(b.sb.Report().Violations); got != "code_reused/lose_answer" {
		t.Errorf("violations = %q", got)
	}
}

func TestAPI401RefusesValidTokens(t *testing.T) {
	b := start(t, sandbox.Config{})
	first := b.connect(anna)
	b.sb.Fault(sandbox.Fault{App: "lightspeed-k", Fault: "api_401", Times: 1})
	b.sb.Fault(sandbox.Fault{App: "k-series", Fault: "api_401", Times: 1, Match: map[string]string{"body": "empty"}})
	for i, wantBody := range []bool{true, false} {
		a := b.get("/f/data/businesses", first.Access)
		if a.Status != 401 || a.Header.Get("WWW-Authenticate") != `Bearer error="invalid_token"` || (a.Raw != "") != wantBody {
			t.Errorf("request %d answered %d %v %q", i, a.Status, a.Header, a.Raw)
		}
	}
	if a := b.get("/f/data/businesses", first.Access); a.Status != 200 {
		t.Errorf("afterwards the token works again, got %d", a.Status)
	}
}

func TestFaultsAreNarrowed(t *testing.T) {
	for name, f := range map[string]sandbox.Fault{
		"to another client":       {App: "devp-v2-demo-other"},
		"to another series":       {App: "lightspeed-k-v1"},
		"to another grant type":   {Match: map[string]string{"grant_type": "authorization_code"}},
		"to another user":         {Match: map[string]string{"email": "marc@harbour-group.example"}},
		"to an id that is longer": {App: v2ClientID + "-2"},
		"to a time that passed":   {For: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, sandbox.Config{})
			first := b.connect(anna)
			f.Fault = "status_500"
			b.sb.Fault(f)
			b.sb.Advance(time.Minute)
			if a := b.must(b.refresh(first.Refresh)); a.Status != http.StatusOK {
				t.Errorf("answered %d %s", a.Status, a.Raw)
			}
		})
	}
}

func TestAWrongFaultIsNotAdded(t *testing.T) {
	b := start(t, sandbox.Config{})
	b.sb.Fault(sandbox.Fault{Fault: "gremlins"})
	var got struct{ Data []any }
	b.control(http.MethodGet, "/faults", "", &got)
	if len(got.Data) != 0 {
		t.Errorf("faults = %v", got.Data)
	}
}

// direct sends requests into the sandbox without a network, so that a bubble's
// clock can run.
type direct struct{ sb *sandbox.Sandbox }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	hungUp := func() (gone bool) {
		defer func() { gone = recover() == http.ErrAbortHandler }() //nolint:errorlint // what net/http compares, too
		d.sb.ServeHTTP(rec, r)
		return false
	}()
	if hungUp {
		return nil, io.ErrUnexpectedEOF
	}
	resp := rec.Result()
	resp.Request = r
	return resp, nil
}

// bubble is a bench inside a synctest bubble, where time is the bubble's.
func bubble(t *testing.T) *bench {
	b := &bench{
		t: t, sb: sandbox.New(sandbox.Config{}), url: "http://sandbox.test", clientID: v2ClientID,
		authorize: "http://sandbox.test" + v2Root + "/auth", token: "http://sandbox.test" + v2Root + "/token", api: "http://sandbox.test/k",
	}
	b.http = &http.Client{Transport: direct{b.sb}, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Host == "app.example" {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return b
}

func TestSlowWaitsAndThenProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bubble(t)
		first := b.connect(anna)
		b.sb.Fault(sandbox.Fault{Fault: "slow", Times: 1, Match: map[string]string{"delay": "40s"}})
		began := time.Now()
		second := b.must(b.refresh(first.Refresh))
		if took := time.Since(began); took != 40*time.Second || second.Status != http.StatusOK {
			t.Errorf("answered %d after %s", second.Status, took)
		}
	})
}

func TestSlowDoesNotProcessWhenTheClientHangsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bubble(t)
		first := b.connect(anna)
		b.sb.Fault(sandbox.Fault{Fault: "slow", Times: 1})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := b.post(ctx, secret, "grant_type", "refresh_token", "refresh_token", first.Refresh); err == nil {
			t.Error("want no answer")
		}
		if a := b.must(b.refresh(first.Refresh)); a.Status != http.StatusOK {
			t.Errorf("sent again it answered %d %s", a.Status, a.Raw)
		}
		if rep := b.sb.Report(); len(rep.Violations) != 0 {
			t.Errorf("violations = %v", rep.Violations)
		}
	})
}

func TestTwoRefreshesAtOnceAreAViolation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bubble(t)
		first, other := b.connect(anna), b.connect(anna)
		b.sb.Fault(sandbox.Fault{Fault: "slow", Times: 1})
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = b.refresh(first.Refresh)
		}()
		synctest.Wait()
		b.must(b.refresh(other.Refresh)) // another grant's does not matter
		if got := kinds(b.sb.Report().Violations); got != "" {
			t.Errorf("violations = %q", got)
		}
		b.must(b.refresh(first.Refresh))
		if got := kinds(b.sb.Report().Violations); got != "concurrent_refresh/slow" {
			t.Errorf("violations = %q", got)
		}
		<-done
		if got := kinds(b.sb.Report().Violations); got != "concurrent_refresh/slow refresh_token_reused" {
			t.Errorf("violations = %q", got)
		}
	})
}

func TestTheJudgeSeesWhatIsInAURL(t *testing.T) {
	b := start(t, sandbox.Config{})
	b.must(b.do(mustRequest(t, http.MethodGet, b.authorizeURL("state", ""))))
	first := b.connect(anna)
	b.must(b.do(mustRequest(t, http.MethodGet, b.api+"/f/data/businesses?access_token="+first.Access)))
	b.must(b.do(mustRequest(t, http.MethodGet, b.url+"/?hint="+url.QueryEscape(first.Refresh))))
	b.must(b.do(mustRequest(t, http.MethodPost, b.url+"/k1/oauth/token?client_secret=x&refresh_token=y")))
	want := "no_state token_in_query token_in_query token_in_query"
	rep := b.sb.Report()
	if got := kinds(rep.Violations); got != want {
		t.Errorf("violations = %q, want %q", got, want)
	}
	if raw, _ := json.Marshal(rep); strings.Contains(string(raw), first.Access) || strings.Contains(string(raw), first.Refresh) {
		t.Error("the report holds a token")
	}
}

func TestTheJudgeNotesEarlyAndAllowedRefreshes(t *testing.T) {
	b := start(t, sandbox.Config{})
	b.control(http.MethodPost, "/clients", `{"client_id":"`+v2ClientID+`","rotation":"grace"}`, nil)
	first := b.connect(anna)
	b.sb.Advance(749 * time.Second)
	b.must(b.refresh(first.Refresh))
	b.sb.Advance(30 * time.Second)
	b.must(b.refresh(first.Refresh))
	rep := b.sb.Report()
	if got := kinds(rep.Notes); got != "early_refresh refresh_token_resent early_refresh" || len(rep.Violations) != 0 {
		t.Errorf("notes = %q, violations = %v", got, rep.Violations)
	}
	if rep.SendsPerRotation != 1 {
		t.Errorf("sends per rotation = %v", rep.SendsPerRotation)
	}
}
