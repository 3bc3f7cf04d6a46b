package access_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/secret"
)

var scopes = []access.Scope{access.Tokens, access.Connections, access.Links, access.Events, access.Admin}

func TestScopesAreParsedByTheirContractNames(t *testing.T) {
	t.Parallel()
	for i, name := range []string{"tokens", "connections", "links", "events", "admin"} {
		if got, err := access.ParseScope(name); err != nil || got != scopes[i] {
			t.Errorf("ParseScope(%q) = %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "Tokens", "token", "admin ", "*"} {
		if got, err := access.ParseScope(name); err == nil {
			t.Errorf("ParseScope(%q) = %q", name, got)
		}
	}
}

func TestAKeyCanDoWhatItsScopesSayAndAdminEverything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		has := rapid.SliceOfDistinct(rapid.SampledFrom(scopes), rapid.ID).Draw(t, "has")
		wants := rapid.SampledFrom(scopes).Draw(t, "wants")
		want := false
		for _, s := range has {
			want = want || s == wants || s == access.Admin
		}
		if got := (&access.Key{Scopes: has}).Can(wants); got != want {
			t.Fatalf("a key with %v can %s: %t, want %t", has, wants, got, want)
		}
	})
}

func TestAKeyReachesWhatItIsLimitedTo(t *testing.T) {
	t.Parallel()
	ref := grant.Ref{Key: "biz_42", App: "k-series"}
	for _, tt := range []struct {
		name             string
		apps, businesses []string
		reaches, limited bool
	}{
		{"an unlimited key reaches everything", nil, nil, true, false},
		{"its app", []string{"r-series", "k-series"}, nil, true, true},
		{"another app", []string{"r-series"}, nil, false, true},
		{"its business", nil, []string{"biz_42"}, true, true},
		{"another business", nil, []string{"biz_4"}, false, true},
		{"both", []string{"k-series"}, []string{"biz_42"}, true, true},
		{"its business at another app", []string{"r-series"}, []string{"biz_42"}, false, true},
		{"another business at its app", []string{"k-series"}, []string{"biz_1"}, false, true},
		{"limited to no app at all", []string{}, nil, false, true},
		{"limited to no business at all", nil, []string{}, false, true},
	} {
		k := &access.Key{Scopes: []access.Scope{access.Admin}, Apps: tt.apps, Businesses: tt.businesses}
		if k.Reaches(ref) != tt.reaches || k.Limited() != tt.limited {
			t.Errorf("%s: reaches %t, limited %t", tt.name, k.Reaches(ref), k.Limited())
		}
	}
}

func TestAKeyWorksUntilItExpiresOrIsRevoked(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name  string
		key   access.Key
		valid bool
	}{
		{"a key without an end works", access.Key{}, true},
		{"before its expiry it works", access.Key{ExpiresAt: now.Add(time.Nanosecond)}, true},
		{"at its expiry it does not", access.Key{ExpiresAt: now}, false},
		{"a revoked key does not work", access.Key{RevokedAt: now.Add(-time.Hour)}, false},
		{"nor does one that would live on", access.Key{RevokedAt: now, ExpiresAt: now.Add(time.Hour)}, false},
	} {
		if got := tt.key.Valid(now); got != tt.valid {
			t.Errorf("%s: Valid = %t", tt.name, got)
		}
	}
}

func TestSecretsOfKeys(t *testing.T) {
	t.Parallel()
	r32 := strings.Repeat("aZ09-_bc", 4)
	for _, tt := range []struct {
		name, secret, err string
	}{
		{"32 characters after the prefix", "evg_" + r32, ""},
		{"more than 32", "evg_" + r32 + r32, ""},
		{"empty", "", "followed by at least 32"},
		{"only the prefix", "evg_", "followed by at least 32"},
		{"31 characters", "evg_" + r32[1:], "followed by at least 32"},
		{"no prefix", r32 + r32, "followed by at least 32"},
		{"another prefix", "EVG_" + r32, "followed by at least 32"},
		{"a space", "evg_" + r32 + " ", "may contain only"},
		{"a newline", "evg_" + r32 + "\n", "may contain only"},
		{"base64 that is not for URLs", "evg_" + r32 + "+/=", "may contain only"},
		{"a letter beyond ASCII", "evg_" + r32 + "é", "may contain only"},
	} {
		err := access.CheckSecret(secret.New(tt.secret))
		switch {
		case (err == nil) != (tt.err == ""):
			t.Errorf("%s: %v", tt.name, err)
		case err != nil && !strings.Contains(err.Error(), tt.err):
			t.Errorf("%s: %v, want %q in it", tt.name, err, tt.err)
		case err != nil && len(tt.secret) > 4 && strings.Contains(err.Error(), tt.secret[4:]):
			t.Errorf("%s: the error tells the key", tt.name)
		}
	}
}

func TestNewSecretsAreGoodAndDiffer(t *testing.T) {
	t.Parallel()
	seen := map[secret.String]bool{}
	for range 100 {
		s := access.NewSecret()
		if err := access.CheckSecret(s); err != nil || seen[s] {
			t.Fatalf("NewSecret: %v, seen before: %t", err, seen[s])
		}
		seen[s] = true
	}
}

// urlSafe is the alphabet of RFC 4648 section 5.
const urlSafe = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// FuzzCheckSecret: what is accepted survives a header and a URL unchanged.
func FuzzCheckSecret(f *testing.F) {
	for _, s := range []string{"", "evg_", access.NewSecret().Reveal(), "evg_" + strings.Repeat("x", 32), "evg_" + strings.Repeat("\x00", 32)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		err := access.CheckSecret(secret.New(s))
		body, prefixed := strings.CutPrefix(s, access.Prefix)
		want := prefixed && len(body) >= 32 && !strings.ContainsFunc(body, func(c rune) bool { return !strings.ContainsRune(urlSafe, c) })
		if (err == nil) != want {
			t.Fatalf("CheckSecret(%q) = %v", s, err)
		}
		if err != nil && len(s) > 40 && strings.Contains(err.Error(), s) {
			t.Fatalf("the error tells the key: %v", err)
		}
	})
}
