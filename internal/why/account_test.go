package why

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/client"
)

// TestAnAccountReadsALongLogInPart: a log without end is read up to a bound, and
// the story says that there is more.
func TestAnAccountReadsALongLogInPart(t *testing.T) {
	conn := cafe("connected", "ok", "10:00:00", anna("connected", "ok"))
	pages := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "@k-series/events") {
			http.NotFound(w, r) // as for a key that may see nothing else
			return
		}
		pages++
		if got := r.URL.Query(); got.Get("order") != "desc" || got.Get("cursor") != strings.TrimPrefix(strconv.Itoa(pages-1), "0") {
			t.Errorf("page %d is asked for with %s", pages, r.URL.RawQuery)
		}
		// Newest first, so the later page has the older events.
		e := func(n int) client.Event {
			return client.Event{
				ID: testID("evt", 900-n), Type: "grant.refreshed", Time: moment21("14:00:00").Add(-time.Duration(n) * time.Minute),
				Grant: conn.Grants[0].ID, App: "k-series", Data: map[string]any{},
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": []client.Event{e(2 * pages), e(2*pages + 1)}, "next_cursor": strconv.Itoa(pages)})
	}))
	defer server.Close()
	r, err := client.New(client.Config{URL: server.URL, Key: "evg_test"})
	if err != nil {
		t.Fatal(err)
	}
	a := Read(t.Context(), r, conn, viewer.zone)
	if pages != mostPages || !a.cut || len(a.events) != 2*mostPages {
		t.Errorf("%d pages, %d events, cut: %v", pages, len(a.events), a.cut)
	}
	if text := a.Text(); !strings.Contains(text, "The log goes back further: evergrant event list --ref cafe_nord@k-series") ||
		!strings.Contains(text, "Renewed 10 times without trouble, the last time at 13:58:00.") {
		t.Error(text)
	}
	checkStory(t, a)
}
