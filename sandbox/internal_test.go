package sandbox

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "1h30m": 90 * time.Minute, "1d": 24 * time.Hour, "13d23h": 335 * time.Hour,
		"2w": 14 * 24 * time.Hour, "1w1d1ns": 8*24*time.Hour + 1,
	} {
		if got, err := parseDuration(in); err != nil || got != want {
			t.Errorf("parseDuration(%q) = %s, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "0", "0d", "-1h", "1d-1h", "1d1w", "d", "1.5d", "3651d", "65536w", "1", "99999999h"} {
		if got, err := parseDuration(in); err == nil {
			t.Errorf("parseDuration(%q) = %s, want an error", in, got)
		}
	}
}

// What is read is positive, bounded, and reads the same when written.
func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"90s", "1h30m", "13d23h", "2w", "1d-1h", "1e9h", "9999999999999999999d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := parseDuration(s)
		if err != nil {
			return
		}
		if d <= 0 || d > maxDuration {
			t.Errorf("parseDuration(%q) = %s", s, d)
		}
		if again, err := parseDuration(d.String()); err != nil || again != d {
			t.Errorf("parseDuration(%q) = %s, %v, want %s", d.String(), again, err, d)
		}
	})
}

// A page token is read only for the location and the sale it was made for.
func FuzzSaleToken(f *testing.F) {
	f.Add("A40021.7", int64(310004455667789))
	f.Add("A-1.9", int64(9))
	f.Add("A.", int64(1))
	f.Fuzz(func(t *testing.T, token string, id int64) {
		if id < 0 {
			return
		}
		l := Location{ID: id}
		n, ok := readSaleToken(l, token)
		if !ok {
			return
		}
		if again, ok := readSaleToken(l, saleToken(l, n)); !ok || again != n || n < 0 {
			t.Errorf("%q reads as %d and then %d, %t", token, n, again, ok)
		}
	})
}

// However broken a page is, its forms go where http goes or are refused.
func FuzzForms(f *testing.F) {
	f.Add(`<form method=post action=/x?y#z><input name=a value=1><button name=b value=2>go</button></form>`)
	f.Add(`<form action="javascript:alert(1)" method=POST><form><input type=password name=password>`)
	f.Add(`<form method=post action="http://[::1"><input>`)
	f.Fuzz(func(t *testing.T, page string) {
		for _, form := range parseForms(page) {
			r, err := form.press("b").request(t.Context(), "http://127.0.0.1/page")
			if err != nil {
				continue
			}
			if r.URL.Scheme != "http" && r.URL.Scheme != "https" {
				t.Errorf("%q leads to %s", page, r.URL)
			}
		}
	})
}

func TestClipNeverCutsACharacter(t *testing.T) {
	for n := range 8 {
		got := clip(strings.Repeat("x", 195+n) + strings.Repeat("é", 20))
		if strings.ContainsRune(got, '\uFFFD') || strings.Contains(got, "?") || len(got) > 210 {
			t.Errorf("clip = %q", got)
		}
	}
}

func TestRingKeepsTheNewest(t *testing.T) {
	var r ring[int]
	for i := range keptEntries + 3 {
		r.add(i)
	}
	got := r.all()
	if len(got) != keptEntries || got[0] != 3 || got[len(got)-1] != keptEntries+2 {
		t.Errorf("%d items from %d to %d", len(got), got[0], got[len(got)-1])
	}
}

func TestUsedRefreshTokensAreForgottenInTheEnd(t *testing.T) {
	w := newWorld(Config{})
	g := &grant{client: &client{rotation: familyKill}}
	now := time.Now()
	for i := range keptSpent + 5 {
		tok := &token{refresh: true, value: strings.Repeat("x", i+1), grant: g, expires: now.Add(time.Hour)}
		w.register(tok)
		w.spend(tok, now)
	}
	if len(w.tokens) != keptSpent || len(g.spent) != keptSpent {
		t.Errorf("%d tokens known, %d spent, want %d", len(w.tokens), len(g.spent), keptSpent)
	}
}

func TestExpiredAccessTokensAreForgotten(t *testing.T) {
	w := newWorld(Config{})
	g := &grant{client: &client{}}
	now := time.Now()
	for i, life := range []time.Duration{-2 * time.Minute, -time.Second, time.Hour} {
		tok := &token{value: strings.Repeat("x", i+1), grant: g, expires: now.Add(life)}
		w.register(tok)
		g.issued = append(g.issued, tok)
	}
	w.forgetExpired(g, now)
	if len(w.tokens) != 2 || len(g.issued) != 2 {
		t.Errorf("%d tokens known, %d listed, want 2", len(w.tokens), len(g.issued))
	}
}

func TestBasicCredentialsMayBeEncodedOrNot(t *testing.T) {
	for sent, want := range map[string]string{"a%3Ab": "a:b", "plain": "plain", "a+b": "a+b", "50%": "50%"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://sandbox.test/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("id", sent)
		var req tokenRequest
		if readBasic(&req, r); req.secret != want || !req.hasCredentials {
			t.Errorf("secret %q reads as %q, want %q", sent, req.secret, want)
		}
	}
}
