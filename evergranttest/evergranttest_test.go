package evergranttest_test

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/evergranttest"
	"github.com/evergrant/evergrant/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// token returns a token that the sandbox takes.
func token(t *testing.T, e *evergranttest.Engine, src evergrant.Source, ref evergrant.Ref) *evergrant.Token {
	t.Helper()
	tok, err := src.Token(t.Context(), ref, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !tok.Expiry.After(e.Clock.Now()) {
		t.Errorf("the token of %s ended at %s, and it is %s", ref, tok.Expiry, e.Clock.Now())
	}
	return tok
}

func TestEachSeriesConnectsAndItsTokensWorkForMonths(t *testing.T) {
	e := evergranttest.New(t)
	for ref, path := range map[evergrant.Ref]string{
		"biz_1@k-series": "/f/data/businesses",
		"biz_2@r-series": "/API/V3/Account.json",
		"biz_3@x-series": "/api/2.0/retailer",
	} {
		if conn := e.Connect(ref); conn.State != "connected" {
			t.Fatalf("%s is %s", ref, conn.State)
		}
		if c, err := e.Client().Locations(t.Context(), ref); err != nil || len(c.Locations) == 0 {
			t.Errorf("%s reaches %v, %v", ref, c.Locations, err)
		}
		first := token(t, e, e, ref)
		api := evergrant.NewHTTPClient(e, ref)
		for _, d := range []time.Duration{time.Hour, 90 * 24 * time.Hour} {
			e.Clock.Advance(d)
			res, err := api.Get(token(t, e, e, ref).BaseURL + path)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if res.StatusCode != http.StatusOK || err != nil {
				t.Errorf("%s, %s later: %s %s, %v", ref, d, res.Status, body, err)
			}
		}
		if last := token(t, e, e, ref); last.AccessToken == first.AccessToken {
			t.Errorf("the token of %s is the first one still", ref)
		}
	}
	if r := e.Sandbox.Report(); len(r.Violations) > 0 {
		t.Errorf("the judge found %v", r.Violations)
	}
}

func TestATokenIsRenewedOnceOnTheWayAndNotByTheCaller(t *testing.T) {
	e := evergranttest.New(t)
	e.Connect("biz_42@k-series")
	first := token(t, e, e, "biz_42@k-series")
	e.Clock.Advance(time.Minute)
	if again := token(t, e, e, "biz_42@k-series"); again.AccessToken != first.AccessToken {
		t.Error("renewed after a minute")
	}
	if r := e.Sandbox.Report(); r.Refreshes != 0 {
		t.Errorf("%d refreshes", r.Refreshes)
	}
	e.Clock.Advance(24 * time.Minute)
	if r := e.Sandbox.Report(); r.Refreshes != 1 {
		t.Errorf("%d refreshes", r.Refreshes)
	}
	if next := token(t, e, e, "biz_42@k-series"); next.AccessToken == first.AccessToken {
		t.Error("not renewed after 25 minutes")
	}
}

func TestTroubleComesAndGoesByTheClock(t *testing.T) {
	e := evergranttest.New(t)
	e.Connect("biz_42@k-series")
	e.Break(sandbox.Fault{Fault: "status_500", App: "k-series"})
	e.Clock.Advance(time.Hour)
	_, err := e.Token(t.Context(), "biz_42@k-series", nil)
	if !errors.Is(err, evergrant.ErrTemporary) {
		t.Fatalf("error is %v", err)
	}
	e.Heal()
	e.Clock.Advance(10 * time.Minute)
	token(t, e, e, "biz_42@k-series")
}

func TestAMerchantWhoLeavesIsToldApartAndComesBack(t *testing.T) {
	e := evergranttest.New(t)
	e.ConnectAs("biz_42@k-series", "anna@cafe-nord.example")
	e.Sandbox.RevokeUser("anna@cafe-nord.example")
	e.Clock.Advance(time.Hour)
	e.Clock.Advance(time.Minute) // the proof is a second refusal
	_, err := e.Token(t.Context(), "biz_42@k-series", nil)
	var problem *evergrant.Error
	if !errors.As(err, &problem) || !errors.Is(err, evergrant.ErrReauthorize) || problem.ActBy != evergrant.ActMerchant {
		t.Fatalf("error is %v", err)
	}
	if conn := e.ConnectAs("biz_42@k-series", "anna@cafe-nord.example"); conn.State != "connected" {
		t.Errorf("it is %s", conn.State)
	}
	token(t, e, e, "biz_42@k-series")
}

func TestSeveralUsersApproveForOneBusiness(t *testing.T) {
	e := evergranttest.New(t)
	e.ConnectAs("harbour@k-series", "marc@harbour-group.example")
	if conn := e.ConnectAs("harbour@k-series", "lena@harbour-group.example"); len(conn.Grants) != 2 {
		t.Errorf("%d grants", len(conn.Grants))
	}
	e.Clock.Advance(time.Hour)
	for _, location := range []string{"310004455667789", "310004455667791"} {
		if _, err := e.Token(t.Context(), "harbour@k-series", &evergrant.TokenOptions{Location: location}); err != nil {
			t.Error(err)
		}
	}
}

func TestClientsOverHTTPSeeTheSameEngine(t *testing.T) {
	e := evergranttest.New(t)
	e.Connect("biz_42@k-series")
	c, err := client.New(client.Config{URL: e.URL, Key: e.Key})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdleConnections()
	here := token(t, e, e, "biz_42@k-series")
	for _, src := range []evergrant.Source{c, e.Client()} {
		if there := token(t, e, src, "biz_42@k-series"); there.AccessToken != here.AccessToken {
			t.Errorf("%v gives another token", src)
		}
		next, err := src.Reject(t.Context(), "biz_42@k-series", here.Fingerprint)
		if err != nil || next.AccessToken == here.AccessToken {
			t.Errorf("%v takes no rejection: %v", src, err)
		}
		e.Clock.Advance(time.Minute)
		here = token(t, e, e, "biz_42@k-series")
	}
}

func TestTestsRunBesideEachOther(t *testing.T) {
	for _, name := range []string{"one", "another"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := evergranttest.New(t)
			e.Connect("biz_42@k-series")
			e.Clock.Advance(time.Hour)
			token(t, e, e, "biz_42@k-series")
		})
	}
}
