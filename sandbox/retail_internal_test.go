package sandbox

import (
	"encoding/xml"
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"
)

// What is read of a path is enough to write it again.
func FuzzResourceR(f *testing.F) {
	for _, path := range []string{"Account.json", "Account/90210", "Account/90210/Shop.json", "Account/90210/Shop/1.json", "Account//Shop", "Account/1/Account", "/", "a/b/c/d/e"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		r, ok := parseResourceR(path)
		if !ok {
			return
		}
		parts := []string{"Account"}
		for _, p := range []string{r.account, r.entity, r.id} {
			if p != "" && (r.account != "" || p != "Account") {
				parts = append(parts, p)
			}
		}
		if r.account == "" && r.id == "Account" {
			parts = []string{"Account", "Account"}
		}
		again := strings.Join(parts, "/")
		if r.json {
			again += ".json"
		}
		if again != path || r.entity == "" {
			t.Errorf("%q reads as %+v", path, r)
		}
	})
}

// A cursor that is read is one that was written.
func FuzzCursorR(f *testing.F) {
	f.Add("WyI1Il0=", "5")
	f.Add("W10=", "")
	f.Fuzz(func(t *testing.T, cursor, id string) {
		id = strings.ToValidUTF8(id, "")
		if got, ok := readCursorR(cursorR(id)); !ok || got != id {
			t.Errorf("%q comes back as %q, %t", id, got, ok)
		}
		if got, ok := readCursorR(cursor); ok {
			if again, ok := readCursorR(cursorR(got)); !ok || again != got {
				t.Errorf("%q reads as %q and then %q", cursor, got, again)
			}
		}
	})
}

// Pages lie within the list, and what follows one begins where it ends.
func FuzzPageR(f *testing.F) {
	f.Add("after="+url.QueryEscape(cursorR("7")), 10)
	f.Add("before="+url.QueryEscape(cursorR("7")), 3)
	f.Add("after=x&before=y", 0)
	f.Fuzz(func(t *testing.T, query string, limit int) {
		if limit < 0 || limit > 100 {
			return
		}
		all := sampleItemsR(nil)
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		from, to, ok := pageR(q, "itemID", all, limit)
		if ok && (from < 0 || from > to || to > len(all) || to-from > limit) {
			t.Errorf("%s: from %d to %d", query, from, to)
		}
	})
}

func TestXMLEscapesWhatItHolds(t *testing.T) {
	text := encodeXML("Shop", map[string]any{
		"@attributes": map[string]any{"next": `http://x/?a="b"&c=<d>`},
		"Shop":        []recordR{{"name": "A & B <Bikes>", "link": map[string]any{"@attributes": map[string]any{"href": "x"}, "at": "y"}}, {"name": "C"}},
	})
	d := xml.NewDecoder(strings.NewReader(string(text)))
	var read strings.Builder
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if c, ok := tok.(xml.CharData); ok {
			read.Write(c)
		}
	}
	if got := strings.Join(strings.Fields(read.String()), " "); got != "yA & B <Bikes>C" {
		t.Errorf("text = %q in %s", got, text)
	}
}

func TestABucketOnlyLeaks(t *testing.T) {
	b := &bucket{}
	now := time.Unix(1_800_000_000, 0)
	b.drip(now, 1)
	b.level, b.burst = 5, 3
	b.drip(now.Add(-time.Minute), 1) // a clock that went back
	if b.level != 5 {
		t.Errorf("level = %v", b.level)
	}
	b.drip(now.Add(time.Hour), 1)
	if b.level != 0 || b.burst != 0 {
		t.Errorf("level = %v, burst = %d", b.level, b.burst)
	}
}

func TestAWindowBeginsWithItsFirstCall(t *testing.T) {
	var w window
	now := time.Unix(1_800_000_000, 0)
	for _, c := range []struct {
		after time.Duration
		ok    bool
		left  int
	}{{0, true, 1}, {30 * time.Second, true, 0}, {59 * time.Second, false, 0}, {time.Minute, true, 1}} {
		if ok, left, _ := w.take(now.Add(c.after), 2, time.Minute); ok != c.ok || left != c.left {
			t.Errorf("after %s: %t, %d left", c.after, ok, left)
		}
	}
}
