package api_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/api/apitest"
)

// ledger keeps what is written to it.
type ledger struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *ledger) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

// lines are the entries since the last time.
func (l *ledger) lines(t *testing.T) (all []map[string]any) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.all.String()) {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	l.all.Reset()
	return all
}

func TestEveryTokenAndEveryChangeIsInTheAudit(t *testing.T) {
	book := &ledger{}
	k := apitest.New(t, apitest.Options{Audit: slog.New(slog.NewJSONHandler(book, nil))})
	k.Adopt("cafe_nord", "k-series")
	const conn = "/v1/connections/cafe_nord@k-series"
	for name, c := range map[string]struct {
		method, path, body string
		route              string // "" if the call is nobody's business
		status             float64
	}{
		"a token for a place":   {"GET", conn + "/token?location=nowhere", "", "/v1/connections/{ref}/token", 409},
		"a token that is there": {"GET", conn + "/token", "", "/v1/connections/{ref}/token", 200},
		"a token of nobody":     {"GET", "/v1/connections/nobody@k-series/token", "", "/v1/connections/{ref}/token", 404},
		"a rejection":           {"POST", conn + "/token/reject", `{"fingerprint":"000000000000"}`, "/v1/connections/{ref}/token/reject", 200},
		"a gateway's question":  {"GET", "/v1/forward-auth/cafe_nord@k-series", "", "/v1/forward-auth/{ref}", 200},
		"a change":              {"PATCH", conn, `{"name":"Café Nord"}`, "/v1/connections/{ref}", 200},
		"a change that fails":   {"PATCH", conn, `{"nom":"secret-body"}`, "/v1/connections/{ref}", 400},
		"a new link":            {"POST", "/v1/links", `{"ref":"cafe_nord@k-series"}`, "/v1/links", 201},
		"a look":                {"GET", conn, "", "", 0},
		"a list":                {"GET", "/v1/connections", "", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			a := k.Do(apitest.AdminKey, c.method, c.path, c.body)
			lines := book.lines(t)
			if c.route == "" {
				if len(lines) != 0 {
					t.Errorf("%v", lines)
				}
				return
			}
			if len(lines) != 1 {
				t.Fatalf("%d lines: %v", len(lines), lines)
			}
			e := lines[0]
			if e["route"] != c.route || e["status"] != c.status || e["key_name"] == "" || e["request_id"] != a.Header.Get("Request-Id") || e["method"] != c.method {
				t.Errorf("%v, answered with %d", e, a.Status)
			}
			if text := strings.ToLower(strings.Join(strings.Fields(jsonOf(t, e)), " ")); strings.Contains(text, "secret-") || len(text) > 500 {
				t.Errorf("a line tells too much: %s", text)
			}
		})
	}
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(k.Do(apitest.AdminKey, http.MethodGet, conn+"/token", "").Body), &token); err != nil || token.AccessToken == "" {
		t.Fatal(err)
	}
	if text := jsonOf(t, book.lines(t)); strings.Contains(text, token.AccessToken) || !strings.Contains(text, `"ref":"cafe_nord@k-series"`) {
		t.Errorf("of a token there is %s", text)
	}
	reader := k.Key([]access.Scope{access.Events}, nil, nil)
	k.Do(reader, http.MethodGet, conn+"/token", "")
	if lines := book.lines(t); len(lines) != 1 || lines[0]["status"] != float64(http.StatusForbidden) {
		t.Errorf("a key that may not left %v", lines)
	}
	k.Do("evg_a-key-that-nobody-has-0123456789abcdef01", http.MethodGet, conn+"/token", "")
	if lines := book.lines(t); len(lines) != 0 {
		t.Errorf("a call without a key that works left %v", lines)
	}
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
