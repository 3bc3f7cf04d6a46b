package api_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/api/apitest"
	"github.com/evergrant/evergrant/internal/grant"
)

func TestALostLocationStaysListedWithWhoHadIt(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	conn := k.Adopt("biz_1", "k-series")
	const path = "/v1/connections/biz_1@k-series"
	grants, err := k.Manager.Grants(t.Context(), grant.Ref{ID: conn.ID})
	if err != nil {
		t.Fatal(err)
	}
	seen := k.Now().UTC().Truncate(time.Second)
	both := []grant.Location{{ID: "310", Name: "Quay Bar", SeenAt: seen}, {ID: "311", Name: "Pier Café", SeenAt: seen}}
	for _, reach := range [][]grant.Location{both, both[:1]} {
		if err := k.Store.SetLocations(t.Context(), grants[0].ID, reach); err != nil {
			t.Fatal(err)
		}
	}
	got := expect(t, k.Do(admin, "GET", path+"/locations", ""), 200)
	listed := got["locations"].([]any)
	if len(listed) != 2 {
		t.Fatalf("%v", listed)
	}
	if _, there := listed[0].(map[string]any)["restorable_by"]; there {
		t.Errorf("what is reached needs nobody: %v", listed[0])
	}
	lost := listed[1].(map[string]any)
	by := lost["restorable_by"].([]any)[0].(map[string]any)
	if by["lost_at"] == nil {
		t.Errorf("%v", by)
	}
	delete(by, "lost_at")
	want := map[string]any{"id": "311", "name": "Pier Café", "business_id": "", "business_name": "", "required": true, "grants": []any{},
		"restorable_by": []any{map[string]any{"grant": grants[0].ID, "live": true, "identity": map[string]any{}, "seen_at": seen.Format(time.RFC3339)}}}
	if d := cmp.Diff(want, lost) + cmp.Diff([]any{"311"}, got["uncovered"]); d != "" {
		t.Error(d)
	}

	// A token may be rejected for a location.
	reject := func(body string) apitest.Answer { return k.Do(admin, "POST", path+"/token/reject", body) }
	p := expectProblem(t, reject(`{"fingerprint":"000000000000","location":"311"}`), 409, "location_not_covered")
	if d := cmp.Diff([]any{"311"}, p["locations"]); d != "" {
		t.Error(d)
	}
	tok := expect(t, k.Do(admin, "GET", path+"/token?location=310", ""), 200)
	again := expect(t, reject(`{"fingerprint":"`+tok["fingerprint"].(string)+`","location":"310"}`), 200)
	if d := cmp.Diff([]any{"location_disputed"}, again["warnings"]); d != "" || again["fingerprint"] != tok["fingerprint"] {
		t.Errorf("%s%v", d, again)
	}
	expectProblem(t, reject(`{"location":"310"}`), 400, "invalid_request")
}
