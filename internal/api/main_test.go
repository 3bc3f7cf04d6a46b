package api_test

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/evergrant/evergrant/internal/api/apitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const admin = apitest.AdminKey

// expectProblem fails the test unless a is a well-formed problem with this
// status and code, and returns it.
func expectProblem(t testing.TB, a apitest.Answer, status int, code string) map[string]any {
	t.Helper()
	if a.Status != status {
		t.Fatalf("status %d, want %d: %s", a.Status, status, a.Body)
	}
	p := a.JSON(t)
	checkProblem(t, a, p)
	if p["code"] != code {
		t.Fatalf("code %v, want %s: %s", p["code"], code, a.Body)
	}
	return p
}

// checkProblem fails the test if a problem lacks what every problem has.
func checkProblem(t testing.TB, a apitest.Answer, p map[string]any) {
	t.Helper()
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("content type %q: %s", got, a.Body)
	}
	if got, _ := p["status"].(float64); int(got) != a.Status {
		t.Errorf("status member %v, status %d", p["status"], a.Status)
	}
	if p["type"] != "urn:evergrant:problem:"+p["code"].(string) {
		t.Errorf("type %v for code %v", p["type"], p["code"])
	}
	if p["request_id"] != a.Header.Get("Request-Id") || p["request_id"] == "" {
		t.Errorf("request_id %v, header %q", p["request_id"], a.Header.Get("Request-Id"))
	}
	if title, _ := p["title"].(string); title == "" {
		t.Error("no title")
	}
	switch p["act_by"] {
	case "merchant", "operator", "provider", "nobody":
	default:
		t.Errorf("act_by %v", p["act_by"])
	}
	promised(t, a, p["retry_after"])
}

// promised fails the test unless an answer that time may cure says when to try
// again, in its header and in its body alike, and no other answer does.
func promised(t testing.TB, a apitest.Answer, said any) {
	t.Helper()
	curable := a.Status >= 500 || a.Status == 429
	after, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if n, _ := said.(float64); curable != (err == nil && after >= 1) || int(n) != after {
		t.Errorf("%d with Retry-After %q, retry_after %v: %s", a.Status, a.Header.Get("Retry-After"), said, a.Body)
	}
}

// expect fails the test unless a has this status, and returns its object.
func expect(t testing.TB, a apitest.Answer, status int) map[string]any {
	t.Helper()
	if a.Status != status {
		t.Fatalf("status %d, want %d: %s", a.Status, status, a.Body)
	}
	if a.Body == "" {
		return nil
	}
	return a.JSON(t)
}

// data returns the items of a list.
func data(t testing.TB, a apitest.Answer) []map[string]any {
	t.Helper()
	if a.Status != 200 {
		t.Fatalf("status %d: %s", a.Status, a.Body)
	}
	var l struct {
		Data []map[string]any `json:"data"`
	}
	if err := json.Unmarshal([]byte(a.Body), &l); err != nil {
		t.Fatal(err)
	}
	if l.Data == nil {
		t.Fatalf("data is null: %s", a.Body)
	}
	return l.Data
}

// column returns one member of each item.
func column(items []map[string]any, member string) string {
	var out []string
	for _, it := range items {
		s, _ := it[member].(string)
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

// withoutID is an answer's body with its request id taken out.
func withoutID(a apitest.Answer) string {
	return strings.ReplaceAll(a.Body, a.Header.Get("Request-Id"), "")
}

// sorted puts words in order.
func sorted(words string) string {
	w := strings.Fields(words)
	slices.Sort(w)
	return strings.Join(w, " ")
}
