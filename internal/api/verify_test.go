package api_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/api/apitest"
)

func TestVerifySaysThatThereIsNothingToAskWith(t *testing.T) {
	k := apitest.New(t, apitest.Options{}) // its recipe reads no locations
	k.Adopt("biz_1", "k-series")
	a := k.Do(admin, http.MethodPost, "/v1/connections/biz_1@k-series/verify", "")
	var got struct {
		Grants []client.VerifiedGrant `json:"grants"`
	}
	if err := json.Unmarshal([]byte(a.Body), &got); err != nil || a.Status != http.StatusOK || len(got.Grants) != 1 ||
		got.Grants[0].Result != "unchecked" || got.Grants[0].Reason != "ok" || got.Grants[0].CheckedAt.IsZero() {
		t.Errorf("%d %s, %v", a.Status, a.Body, err)
	}
	if a := k.Do(admin, http.MethodPost, "/v1/connections/nobody@k-series/verify", ""); a.Status != http.StatusNotFound {
		t.Errorf("nobody: %d", a.Status)
	}
	k.Do(admin, http.MethodPost, "/v1/connections/biz_1@k-series/disconnect", "")
	if a := k.Do(admin, http.MethodPost, "/v1/connections/biz_1@k-series/verify", ""); a.Status != http.StatusConflict {
		t.Errorf("disconnected: %d %s", a.Status, a.Body)
	}
}
