package sandbox_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/sandbox"
)

func TestItemsPageByOffset(t *testing.T) {
	b := start(t, sandbox.Config{})
	tok := b.connect(manager, "scope", "items").Access
	list := "/items/v1/items?businessLocationId=" + quayBar
	for query, want := range map[string]int{"": 100, "&offset=100": 30, "&offset=130": 0, "&amount=1000": 130, "&itemIds=667789003,667789004": 2} {
		if a := b.get(list+query, tok); a.Status != http.StatusOK || strings.Count(a.Raw, `"sku"`) != want || !strings.HasPrefix(a.Raw, "[") {
			t.Errorf("%s answered %d with %d items", query, a.Status, strings.Count(a.Raw, `"sku"`))
		}
	}
	for path, want := range map[string]int{
		list + "&amount=1001": 400, list + "&offset=x": 400, list + "&itemIds=" + strings.Repeat("1,", 200) + "1": 400, "/items/v1/items?businessLocationId=" + pierCafe: 403, "/items/v1/items": 403,
	} {
		if a := b.get(path, tok); a.Status != want || want == 400 && a.Fields["status"] != "400" {
			t.Errorf("%.90s answered %d %s", path, a.Status, a.Raw)
		}
	}
}

func TestPaymentsPageByNextOffset(t *testing.T) {
	b := start(t, sandbox.Config{})
	tok := b.connect(manager).Access
	seen, pages := 0, 0
	for next := any(0.0); next != nil; pages++ {
		a := b.get("/f/v2/business-location/"+quayBar+"/lightspeed-payments?from=2026-11-01&to=2026-11-06&pageSize=100&offset="+fmt.Sprint(next), tok)
		if a.Status != http.StatusOK {
			t.Fatalf("answered %d %s", a.Status, a.Raw)
		}
		seen += len(a.Fields["payments"].([]any))
		next = a.Fields["nextOffset"]
	}
	if seen != 140 || pages != 2 { // 28 a day
		t.Errorf("%d payments on %d pages", seen, pages)
	}
	if a := b.get("/f/v2/business-location/"+quayBar+"/lightspeed-payments", tok); a.Status != http.StatusBadRequest {
		t.Errorf("without from answered %d", a.Status)
	}
}

func TestAReservationPlatformListsItsLocations(t *testing.T) {
	b := start(t, sandbox.Config{})
	b.control(http.MethodPost, "/clients", `{"client_id":"`+v2ClientID+`","scopes":["reservation-acme","items"]}`, nil)
	list := "/reservation/api/1/user/platform/acme/business-locations"
	tok := b.connect(owner, "scope", "reservation-acme").Access
	for path, want := range map[string]int{list: 3, list + "?size=2": 2, list + "?size=2&page=1": 1, list + "?page=9": 0} {
		if a := b.get(path, tok); a.Status != http.StatusOK || strings.Count(a.Raw, `"businessLocationId"`) != want || !strings.HasPrefix(a.Raw, "[") {
			t.Errorf("%s answered %d %s", path, a.Status, a.Raw)
		}
	}
	if a := b.get(strings.Replace(list, "acme", "other", 1), tok); a.Status != http.StatusForbidden {
		t.Errorf("another platform answered %d", a.Status)
	}
	if a := b.get(list, b.connect("noah@cafe-nowhere.example", "scope", "reservation-acme").Access); a.Status != http.StatusNotFound {
		t.Errorf("nobody's locations answered %d", a.Status)
	}
}

func TestStaffPageFromOne(t *testing.T) {
	b := start(t, sandbox.Config{})
	tok := b.connect(manager, "scope", "staff-api").Access
	list := "/staff/v1/businessLocations/" + quayBar + "/userTypes/POS"
	for query, want := range map[string]struct {
		staff int
		next  bool
	}{"": {10, true}, "?page=2": {10, true}, "?page=3": {5, false}, "?page=4": {0, false}, "?size=100": {25, false}} {
		a := b.get(list+query, tok)
		if a.Status != http.StatusOK || strings.Count(a.Raw, `"staffId"`) != want.staff || strings.Contains(a.Raw, `"next"`) != want.next {
			t.Errorf("%s answered %d %s", query, a.Status, a.Raw)
		}
	}
	if a := b.get(list+"?page=0", tok); a.Status != http.StatusBadRequest {
		t.Errorf("page 0 answered %d", a.Status)
	}
}
