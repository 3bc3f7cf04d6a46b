package api_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/evergrant/evergrant/internal/api/apitest"
)

// TestTheDocsPageTellsEveryOperationAndAsksForNothingElse reads the page as a
// browser does.
func TestTheDocsPageTellsEveryOperationAndAsksForNothingElse(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	a := k.Do("", "GET", "/docs", "")
	if a.Status != 200 || a.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %v", a.Status, a.Header)
	}
	if csp := a.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; style-src 'self';") || strings.Contains(csp, "unsafe") {
		t.Errorf("Content-Security-Policy %q", csp)
	}
	page, err := html.Parse(strings.NewReader(a.Body))
	if err != nil {
		t.Fatal(err)
	}
	ids, targets := map[string]bool{}, map[string]bool{}
	for n := range page.Descendants() {
		if n.Type == html.ElementNode && (n.Data == "script" || n.Data == "style" || n.Data == "img" || n.Data == "iframe" || n.Data == "form") {
			t.Errorf("there is a <%s>", n.Data)
		}
		for _, attr := range n.Attr {
			switch {
			case attr.Key == "id" && ids[attr.Val]:
				t.Errorf("two things have the id %s", attr.Val)
			case attr.Key == "id":
				ids[attr.Val] = true
			case attr.Key == "href":
				targets[attr.Val] = true
			case attr.Key == "style" || strings.HasPrefix(attr.Key, "on"):
				t.Errorf("there is an attribute %s", attr.Key)
			}
		}
	}
	for target := range targets {
		if name, ok := strings.CutPrefix(target, "#"); ok {
			if !ids[name] {
				t.Errorf("there is nothing at %s", target)
			}
			continue
		}
		if !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "//") || k.Do("", "GET", target, "").Status != 200 {
			t.Errorf("it leads to %s", target)
		}
	}
	var doc struct {
		Paths map[string]map[string]operation
	}
	if err := json.Unmarshal([]byte(k.Do("", "GET", "/v1/openapi.json", "").Body), &doc); err != nil {
		t.Fatal(err)
	}
	for path, operations := range doc.Paths {
		for method, op := range operations {
			if !ids[op.OperationID] {
				t.Errorf("%s %s is not on it", method, path)
			}
		}
	}
	for _, want := range []string{`array of <a href="#schema-Grant">Grant</a>`, "array of string or null", "string: merchant, operator, provider, nobody", "date-time or null"} {
		if !strings.Contains(a.Body, want) {
			t.Errorf("no type is shown as %s", want)
		}
	}
	if left := regexp.MustCompile(`ZgotmplZ|<no value>`).FindString(a.Body); left != "" {
		t.Errorf("the page has %s in it", left)
	}
}
