package api_test

import (
	"net/http/httptest"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/api/apitest"
)

// from sends a request that reads a token from an address.
func from(k *apitest.Kit, remote, key string) apitest.Answer {
	r := httptest.NewRequest("GET", "/v1/connections/biz_1@k-series/token", nil)
	r.RemoteAddr = remote
	r.Header.Set("Authorization", "Bearer "+key)
	w := httptest.NewRecorder()
	k.Handler.ServeHTTP(w, r)
	return apitest.Answer{Status: w.Code, Header: w.Result().Header, Body: w.Body.String()}
}

func TestWhoeverGuessesKeysIsToldToWaitAndNobodyElse(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	k.Adopt("biz_1", "k-series")
	const guesser = "203.0.113.7:50001"
	expectProblem(t, from(k, guesser, "evg_wrong"), 401, "unauthorized")
	limited := apitest.Answer{}
	for range 100 {
		if limited = from(k, guesser, "evg_wrong"); limited.Status != 401 {
			break
		}
	}
	expectProblem(t, limited, 429, "unauthorized")
	wait, err := strconv.Atoi(limited.Header.Get("Retry-After"))
	if err != nil || wait < 1 || wait > 10 {
		t.Fatalf("Retry-After %q", limited.Header.Get("Retry-After"))
	}
	for remote, c := range map[string]struct {
		key    string
		status int
	}{
		"203.0.113.7:50002":            {"evg_other", 429},
		"[::ffff:203.0.113.7]:50002":   {"evg_other", 429},
		"203.0.113.8:50001":            {"evg_wrong", 401},
		"[2001:db8::1]:50001":          {"evg_wrong", 401},
		"@":                            {"evg_wrong", 401},
		guesser:                        {admin, 200},
		"[2001:db8:0:0:ffff::1]:50001": {admin, 200},
	} {
		if a := from(k, remote, c.key); a.Status != c.status {
			t.Errorf("%s: %d, want %d", remote, a.Status, c.status)
		}
	}
	k.Advance(time.Duration(wait) * time.Second)
	expectProblem(t, from(k, guesser, "evg_wrong"), 401, "unauthorized")
	expectProblem(t, from(k, guesser, "evg_wrong"), 429, "unauthorized")
}

func TestEveryWayInCountsTheSameFailures(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	k.Adopt("biz_1", "k-series")
	wrong := url.Values{"client_id": {"biz_1@k-series"}, "client_secret": {"evg_wrong"}}
	var a apitest.Answer
	for range 100 {
		if a = ask(k, wrong, ""); a.Status != 401 {
			break
		}
	}
	if got := expect(t, a, 429); got["error"] != "invalid_client" || got["retry_after"] == nil || a.Header.Get("Retry-After") == "" {
		t.Errorf("%s", a.Body)
	}
	expectProblem(t, k.Do("evg_wrong", "GET", "/proxy/biz_1@k-series/x", ""), 429, "unauthorized")
	expectProblem(t, k.Do("evg_wrong", "GET", "/v1/forward-auth/biz_1@k-series", ""), 403, "unauthorized") // gateways know no 429
	expectProblem(t, k.Do("", "GET", "/v1/whoami", ""), 401, "unauthorized")                               // no key is no guess
	expect(t, k.Do(admin, "GET", "/v1/whoami", ""), 200)
}
