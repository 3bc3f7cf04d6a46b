package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// words are what merchants' pages say in one language: its file, as it stands.
type words struct {
	t   *testing.T
	all map[string]any
}

// languages are those that merchants' pages speak.
func languages(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../internal/connect/text/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no language: %v", err)
	}
	var all []string
	for _, f := range files {
		all = append(all, strings.TrimSuffix(filepath.Base(f), ".json"))
	}
	return all
}

func readWords(t *testing.T, language string) words {
	t.Helper()
	text, err := os.ReadFile("../internal/connect/text/" + language + ".json")
	if err != nil {
		t.Fatal(err)
	}
	w := words{t: t}
	if err := json.Unmarshal(text, &w.all); err != nil {
		t.Fatal(err)
	}
	return w
}

// say returns the text with this name, like "problems.declined.heading". The facts
// in braces come as pairs.
func (w words) say(name string, facts ...string) string {
	w.t.Helper()
	var at any = w.all
	for member := range strings.SplitSeq(name, ".") {
		m, _ := at.(map[string]any)
		at = m[member]
	}
	text, ok := at.(string)
	if !ok {
		w.t.Fatalf("there is no text %s", name)
	}
	if text = strings.NewReplacer(facts...).Replace(text); strings.Contains(text, "{") {
		w.t.Fatalf("%s lacks a fact: %s", name, text)
	}
	return text
}
