package api_test

import (
	"testing"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/api/apitest"
)

func TestAnAppIsPausedAndResumed(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	admin := k.Key([]access.Scope{access.Admin}, nil, nil)
	k.Adopt("biz_1", "k-series")
	for range 2 { // twice is once
		a := expect(t, k.Do(admin, "POST", "/v1/apps/k-series/pause", ""), 200)
		if a["paused"] != true || a["paused_because"] != "operator" || a["reason"] != "app_paused" || a["act_by"] != "operator" {
			t.Errorf("paused: %v", a)
		}
	}
	if a := expect(t, k.Do(admin, "GET", "/v1/connections/biz_1@k-series/token", ""), 200); a["access_token"] == nil {
		t.Errorf("a token that lives is not served: %v", a)
	}
	if a := expect(t, k.Do(admin, "GET", "/v1/connections/biz_1@k-series", ""), 200); a["state"] != "degraded" || a["reason"] != "app_paused" {
		t.Errorf("its connection: %v", a)
	}
	for range 2 {
		a := expect(t, k.Do(admin, "POST", "/v1/apps/k-series/resume", ""), 200)
		if a["paused"] != false || a["paused_because"] != nil || a["reason"] != "ok" {
			t.Errorf("resumed: %v", a)
		}
	}
}

func TestWhoMayPauseAnApp(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	for name, test := range map[string]struct {
		key    string
		status int
	}{
		"the scope connections":      {k.Key([]access.Scope{access.Connections}, nil, nil), 403},
		"another app":                {k.Key([]access.Scope{access.Admin}, []string{"other"}, nil), 404},
		"one business":               {k.Key([]access.Scope{access.Admin}, nil, []string{"biz_1"}), 403},
		"admin of this app":          {k.Key([]access.Scope{access.Admin}, []string{"k-series"}, nil), 200},
		"admin of everything it has": {k.Key([]access.Scope{access.Admin}, nil, nil), 200},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, k.Do(test.key, "POST", "/v1/apps/k-series/pause", ""), test.status)
			expect(t, k.Do(test.key, "POST", "/v1/apps/k-series/resume", ""), test.status)
		})
	}
	expect(t, k.Do(k.Key([]access.Scope{access.Admin}, nil, nil), "POST", "/v1/apps/none/pause", ""), 404)
}
