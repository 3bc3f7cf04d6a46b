package sandbox_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/sandbox"
)

// shape is an answer of the vendor as its source has it, with invented values.
type shape struct {
	About  string
	Source string // where the fact is published
	// Match: "equal" compares values, "exact" names and types, "includes" lets the
	// sandbox say more.
	Match  string
	Status int               // 0: not an answer of its own
	Header map[string]string // "" is any value
	Body   any
}

// TestAnswersHaveTheVendorsShapes asks the sandbox for everything in
// testdata/shapes.
func TestAnswersHaveTheVendorsShapes(t *testing.T) {
	answers := shapedAnswers(t)
	files, err := filepath.Glob("testdata/shapes/*.json")
	if err != nil || len(files) != len(answers) {
		t.Fatalf("%d shapes for %d answers: %v", len(files), len(answers), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want shape
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(want.Source, "https://") || want.About == "" {
				t.Error("a shape needs its source")
			}
			got, ok := answers[name]
			if !ok {
				t.Fatal("nothing asks for it")
			}
			checkShape(t, want, got)
		})
	}
}

func checkShape(t *testing.T, want shape, got answered) {
	t.Helper()
	if got.Status != want.Status {
		t.Errorf("answered %d %s, want %d", got.Status, got.Raw, want.Status)
	}
	for name, value := range want.Header {
		if has := got.Header.Get(name); has == "" || value != "" && has != value {
			t.Errorf("header %s = %q, want %q", name, has, value)
		}
	}
	var body any
	if err := json.Unmarshal([]byte(got.Raw), &body); err != nil {
		t.Fatalf("answered %s: %v", got.Raw, err)
	}
	if want.Match == "equal" {
		if diff := cmp.Diff(want.Body, body); diff != "" {
			t.Errorf("body (-want +got):\n%s", diff)
		}
		return
	}
	if diff := differs(want.Body, body, want.Match == "includes"); diff != "" {
		t.Errorf("body%s in %s", diff, got.Raw)
	}
}

// differs compares names and types; more lets got have names that want has not.
func differs(want, got any, more bool) string {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf(" is %T and no object", got)
		}
		for _, name := range slices.Sorted(maps.Keys(w)) {
			if _, has := g[name]; !has {
				return "." + name + " is missing"
			}
			if d := differs(w[name], g[name], more); d != "" {
				return "." + name + d
			}
		}
		for _, name := range slices.Sorted(maps.Keys(g)) {
			if _, has := w[name]; !has && !more {
				return "." + name + " is too much"
			}
		}
	case []any:
		g, ok := got.([]any)
		if !ok || len(w) > 0 && len(g) == 0 {
			return fmt.Sprintf(" is %v", got)
		}
		for i, item := range g {
			if len(w) == 0 {
				break
			}
			if d := differs(w[0], item, more); d != "" {
				return fmt.Sprintf("[%d]%s", i, d)
			}
		}
	default:
		if fmt.Sprintf("%T", want) != fmt.Sprintf("%T", got) {
			return fmt.Sprintf(" is %T, want %T", got, want)
		}
	}
	return ""
}

// shapedAnswers are the sandbox's, by the shape they must have.
func shapedAnswers(t *testing.T) map[string]answered {
	t.Helper()
	out := map[string]answered{}
	k := start(t, sandbox.Config{})
	tok := k.connect(manager)
	out["k-token"] = tok
	out["k-businesses"] = k.get("/f/data/businesses", tok.Access)
	out["k-businesses-short"] = k.get("/o/op/data/businesses", tok.Access)
	out["k-sales-v2"] = k.get("/f/v2/business-location/"+quayBar+"/sales?from=2026-11-01&pageSize=5", tok.Access)
	out["k-payments"] = k.get("/f/v2/business-location/"+quayBar+"/lightspeed-payments?from=2026-11-01&to=2026-11-05", tok.Access)
	out["k-staff"] = k.get("/staff/v1/businessLocations/"+quayBar+"/userTypes/POS", k.connect(manager, "scope", "staff-api").Access)
	out["k-items-error"] = k.get("/items/v1/items?amount=0&businessLocationId="+quayBar, k.connect(manager, "scope", "items").Access)
	k.must(k.refresh(tok.Refresh))
	out["k-token-dead"] = k.must(k.refresh(tok.Refresh))
	out["k-client-bad"] = k.must(k.post(t.Context(), "x", "grant_type", "refresh_token", "refresh_token", tok.Refresh))
	maps.Copy(out, shapedR(t))

	x := startX(t, sandbox.Config{})
	tok = x.connectX(sara)
	out["x-token"] = tok
	out["x-retailer"] = x.get("/retailer", tok.Access)
	out["x-outlets"] = x.get("/outlets", tok.Access)
	out["x-page-empty"] = x.get("/outlets?after=9999999", tok.Access)
	out["x-403"] = x.get("/outlets", x.connectX(sara, "scope", "sales:read").Access)
	for out["x-429"].Status != http.StatusTooManyRequests {
		out["x-429"] = x.get("/outlets", tok.Access)
	}
	return out
}

func shapedR(t *testing.T) map[string]answered {
	t.Helper()
	out := map[string]answered{}
	b := startR(t, sandbox.Config{})
	connect := func(email string) answered { return b.connect(email, "redirect_uri", "") }
	tok := connect(ingrid)
	out["r-token"] = tok
	out["r-token-claims"] = answered{Raw: string(decode64(t, strings.Split(tok.Access, ".")[1]))}
	out["r-account"] = b.get("/V3/Account.json", tok.Access)
	out["r-shops"] = b.get("/V3/Account/90210/Shop.json", tok.Access)
	out["r-shop-one"] = b.get("/V3/Account/90210/Shop.json", connect(jonas).Access)
	out["r-shop-none"] = b.get("/V3/Account/90412/Shop.json", connect(nora).Access)
	out["r-count"] = b.get("/V3/Account/90210/Customer.json?count=1", tok.Access)
	out["r-token-error"] = b.must(b.post(t.Context(), secret, "grant_type", "refresh_token"))
	out["r-token-dead"] = b.must(b.refresh("def502x"))
	for out["r-429"].Status != http.StatusTooManyRequests {
		out["r-429"] = b.get("/V3/Account.json", tok.Access)
	}
	for body, name := range map[string]string{"expired": "r-401-expired", "revoked": "r-401-revoked", "merchantos": "r-401-old-api"} {
		b.sb.Fault(sandbox.Fault{Fault: "api_401", Times: 1, Match: map[string]string{"body": body}})
		out[name] = b.get("/V3/Account.json", tok.Access)
	}
	b.token = b.url + "/r/oauth/access_token.php"
	out["r-token-old-server"] = connect(ingrid)
	return out
}
