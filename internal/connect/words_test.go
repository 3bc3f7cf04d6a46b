package connect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/provider/builtin"
)

// texts returns every text of a language by its place in the file. The
// paragraphs under a heading are one.
func texts(t *testing.T, w *words) map[string]string {
	t.Helper()
	all := map[string]string{}
	var walk func(path string, v reflect.Value)
	walk = func(path string, v reflect.Value) {
		switch v.Kind() {
		case reflect.String:
			all[path] = v.String()
		case reflect.Struct:
			for f, field := range v.Fields() {
				if f.IsExported() {
					walk(path+"."+f.Name, field)
				}
			}
		case reflect.Slice:
			var paragraphs []string
			for i := range v.Len() {
				if v.Index(i).String() == "" {
					t.Errorf("%s: %s[%d] is empty", w.tag, path, i)
				}
				paragraphs = append(paragraphs, v.Index(i).String())
			}
			all[path] = strings.Join(paragraphs, " ")
		case reflect.Array:
			for i := range v.Len() {
				walk(fmt.Sprintf("%s[%d]", path, i), v.Index(i))
			}
		case reflect.Map:
			for _, k := range v.MapKeys() {
				walk(path+"."+k.String(), v.MapIndex(k))
			}
		default:
			t.Fatalf("%s is a %s", path, v.Kind())
		}
	}
	walk("", reflect.ValueOf(w).Elem())
	return all
}

// facts returns the facts a text needs, whatever their case.
func facts(text string) []string {
	var names []string
	for _, m := range regexp.MustCompile(`\{([A-Za-z]+)(\.dative)?\}`).FindAllStringSubmatch(text, -1) {
		names = append(names, strings.ToLower(m[1]))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestNoLanguageLacksATextOrAFact(t *testing.T) {
	d, err := readWords()
	if err != nil {
		t.Fatal(err)
	}
	want := texts(t, d[english])
	for _, tag := range tags() {
		got := texts(t, d[tag])
		if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
			t.Errorf("%s has other texts than English:\n%s", tag, diff)
		}
		for path, text := range got {
			if strings.TrimSpace(text) == "" || text != strings.TrimSpace(text) {
				t.Errorf("%s: %s is %q", tag, path, text)
			}
			if path == ".Dates.First" {
				continue // "1er" is the day
			}
			if diff := cmp.Diff(facts(want[path]), facts(text)); diff != "" {
				t.Errorf("%s: %s needs other facts than in English:\n%s", tag, path, diff)
			}
			if strings.Count(text, "{") != len(regexp.MustCompile(`\{[A-Za-z]+(\.dative)?\}`).FindAllString(text, -1)) {
				t.Errorf("%s: %s has a brace that begins no fact: %q", tag, path, text)
			}
		}
	}
}

// A decoder takes the last of two members with one name, and takes names in any
// case; neither is what a translator means.
func TestEveryTextIsThereOnceAndByItsName(t *testing.T) {
	var names [][]string
	for _, tag := range tags() {
		raw, err := wordFiles.ReadFile("text/" + tag + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var here, stack []string
		member := []bool{}
		dec := json.NewDecoder(bytes.NewReader(raw))
		seen := map[string]bool{}
		key := true
		for tok, err := dec.Token(); err == nil; tok, err = dec.Token() {
			switch v := tok.(type) {
			case json.Delim:
				switch v {
				case '{', '[':
					member = append(member, v == '{')
					key = v == '{'
					continue
				}
				member = member[:len(member)-1]
				if len(stack) > 0 && len(member) > 0 && member[len(member)-1] {
					stack = stack[:len(stack)-1]
				}
				key = len(member) > 0 && member[len(member)-1]
				continue
			case string:
				if len(member) > 0 && member[len(member)-1] && key {
					stack = append(stack, v)
					path := strings.Join(stack, ".")
					if seen[path] {
						t.Errorf("%s: %s is there twice", tag, path)
					}
					seen[path], here = true, append(here, path)
					key = false
					continue
				}
			}
			if member[len(member)-1] {
				stack, key = stack[:len(stack)-1], true
			}
		}
		slices.Sort(here)
		names = append(names, here)
	}
	for i, tag := range tags() {
		if diff := cmp.Diff(names[0], names[i]); diff != "" {
			t.Errorf("%s names its texts otherwise than English:\n%s", tag, diff)
		}
	}
}

func TestTypographyIsThatOfTheLanguage(t *testing.T) {
	d, err := readWords()
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range tags() {
		for path, text := range texts(t, d[tag]) {
			if strings.ContainsAny(text, "'\"") || strings.Contains(text, "...") || strings.Contains(text, "  ") {
				t.Errorf("%s: %s has a typewriter's quotes, dots or spaces: %q", tag, path, text)
			}
			if strings.ContainsFunc(text, unicode.IsControl) {
				t.Errorf("%s: %s has a control character", tag, path)
			}
			// French has a narrow space before ? ! ; and a space before : and none of
			// them may break the line.
			if bad := regexp.MustCompile(`[^\x{202f}][?!;]|[^\x{a0}]:`).FindString(text); tag == "fr" && bad != "" {
				t.Errorf("fr: %s has %q: %q", path, bad, text)
			}
			if tag == "es" && (strings.Count(text, "?") != strings.Count(text, "¿") || strings.Count(text, "!") != strings.Count(text, "¡")) {
				t.Errorf("es: %s opens no question: %q", path, text)
			}
			// de, que and le would be elided before some names, a and di contracted
			// before an article.
			if bad := regexp.MustCompile(`(?i)\b(de|que|le|la|du) \{(brand|name|login|party)`).FindString(text); tag == "fr" && bad != "" {
				t.Errorf("fr: %s does not fit every name: %q", path, bad)
			}
			if bad := regexp.MustCompile(`(?i)\b(a|di|da|in|su) \{(name|login)`).FindString(text); tag == "it" && bad != "" {
				t.Errorf("it: %s does not fit every name: %q", path, bad)
			}
			if bad := regexp.MustCompile(`(?i)\b(a|de) \{login`).FindString(text); tag == "es" && bad != "" {
				t.Errorf("es: %s does not fit every name: %q", path, bad)
			}
			if bad := regexp.MustCompile(`(?i)\b(bitte|zu|bei|von|mit) \{(name|login)\}`).FindString(text); tag == "de" && bad != "" {
				t.Errorf("de: %s wants another case: %q", path, bad)
			}
		}
	}
}

func TestMerchantsAreAddressedFormally(t *testing.T) {
	d, err := readWords()
	if err != nil {
		t.Fatal(err)
	}
	familiar := map[string]string{
		"fr": `tu|toi|ton|ta|tes`, "nl": `je|jij|jou|jouw|jullie`, "de": `du|dich|dir|dein\pL*|euch|euer`,
		"es": `tú|tu|tus|ti|vosotros|vuestr\pL+`, "it": `tu|tuo|tua|tuoi|tue|ti`,
	}
	for tag, pattern := range familiar {
		re := regexp.MustCompile(`(?i)(?:^|[^\pL])(` + pattern + `)(?:$|[^\pL])`)
		for path, text := range texts(t, d[tag]) {
			if bad := re.FindString(text); bad != "" {
				t.Errorf("%s: %s says %q: %q", tag, path, bad, text)
			}
		}
	}
}

func TestEveryPermissionOfOurRecipesIsTranslated(t *testing.T) {
	d, err := readWords()
	if err != nil {
		t.Fatal(err)
	}
	for name, recipe := range builtin.Recipes() {
		for scope, p := range recipe.Permissions {
			for _, tag := range tags() {
				if d[tag].Permissions[p] == "" {
					t.Errorf("%s: %q, of %s of %s, is not in permissions", tag, p, scope, name)
				}
			}
		}
	}
}

func TestDaysAreWrittenAsInTheLanguage(t *testing.T) {
	d, err := readWords()
	if err != nil {
		t.Fatal(err)
	}
	first := time.Date(2026, time.August, 1, 12, 0, 0, 0, time.UTC)
	third := time.Date(2026, time.November, 3, 23, 30, 0, 0, time.FixedZone("", -3600)) // the 4th in UTC
	for tag, want := range map[string][2]string{
		"en": {"1 August 2026", "4 November 2026"}, "fr": {"1er août 2026", "4 novembre 2026"},
		"nl": {"1 augustus 2026", "4 november 2026"}, "de": {"1. August 2026", "4. November 2026"},
		"es": {"1 de agosto de 2026", "4 de noviembre de 2026"}, "it": {"1º agosto 2026", "4 novembre 2026"},
	} {
		if got := [2]string{d[tag].day(first), d[tag].day(third)}; got != want {
			t.Errorf("%s: %q, want %q", tag, got, want)
		}
	}
}

func TestWhatIsFilledInIsNotFilledInAgain(t *testing.T) {
	if got := phrase("{a} and {b}").with("{a}", "{b}", "{b}", "{a}"); got != "{b} and {a}" {
		t.Error(got)
	}
}
