package api_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/api/apitest"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

func TestAGrantShowsTheAttemptThatIsOpenAndOnlyThen(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	conn := k.Adopt("biz_1", "k-series")
	const ofConnection = "/v1/connections/biz_1@k-series"
	grants, err := k.Store.Grants(t.Context(), conn.ID)
	if err != nil || len(grants) != 1 {
		t.Fatalf("%v, %v", grants, err)
	}
	one := "/v1/grants/" + grants[0].ID
	if before := k.Do(admin, "GET", one, ""); strings.Contains(before.Body, "open_attempt") {
		t.Errorf("before there is one: %s", before.Body)
	}

	barrier := grant.Barrier{Settle: time.Hour}
	claim, err := k.Store.ClaimOne(t.Context(), store.ClaimRequest{App: "k-series", Owner: "own_test", Limit: 1, Barrier: barrier},
		grants[0].ID, grants[0].Version)
	if err != nil {
		t.Fatal(err)
	}
	opened := claim.Grant.Attempt.OpenedAt
	want := client.OpenAttempt{ID: claim.Grant.Attempt.ID, Kind: "refresh", OpenedAt: opened.UTC(), BarrierAt: opened.Add(time.Hour).UTC()}

	var alone client.Grant
	var listed client.Page[client.Grant]
	var inside client.Connection
	for path, into := range map[string]any{one: &alone, ofConnection + "/grants": &listed, ofConnection: &inside} {
		a := k.Do(admin, "GET", path, "")
		if err := json.Unmarshal([]byte(a.Body), into); err != nil {
			t.Fatalf("%s: %v: %s", path, err, a.Body)
		}
		if strings.Contains(a.Body, "own_test") {
			t.Errorf("%s names the process that opened it", path)
		}
	}
	for where, got := range map[string]*client.OpenAttempt{
		"alone": alone.OpenAttempt, "in a list": listed.Data[0].OpenAttempt, "in its connection": inside.Grants[0].OpenAttempt,
	} {
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("%s: %s", where, diff)
		}
	}
}
