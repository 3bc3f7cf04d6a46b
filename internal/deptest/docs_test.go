package deptest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// named is a link from a page to a test: [TestName](../path/to/file_test.go).
var named = regexp.MustCompile(`\[((?:Test|Fuzz)\w+)\]\(([^)]+)\)`)

// TestWhatThePagesCallATestIsOne holds the pages that promise something to tests
// that exist, in the file they link to.
func TestWhatThePagesCallATestIsOne(t *testing.T) {
	const docs = "../../docs"
	for page, least := range map[string]int{"reliability.md": 30, "failure-modes.md": 62, "security.md": 30} {
		text, err := os.ReadFile(filepath.Join(docs, page))
		if err != nil {
			t.Fatal(err)
		}
		links := named.FindAllStringSubmatch(string(text), -1)
		if len(links) < least {
			t.Errorf("%s links to %d tests, want at least %d: is it written in another way?", page, len(links), least)
		}
		for _, l := range links {
			source, err := os.ReadFile(filepath.Join(docs, filepath.FromSlash(l[2])))
			if err != nil {
				t.Errorf("%s: %s: %v", page, l[1], err)
				continue
			}
			if !strings.Contains(string(source), "\nfunc "+l[1]+"(") {
				t.Errorf("%s: there is no %s in %s", page, l[1], l[2])
			}
		}
	}
}
