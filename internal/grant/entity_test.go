package grant_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/secret"
)

func TestSameParty(t *testing.T) {
	t.Parallel()
	type id = grant.Identity
	for _, tt := range []struct {
		name string
		a, b id
		want bool
	}{
		{"nothing known on either side", id{}, id{}, true},
		{"nothing known on one side", id{Issuer: "i", Subject: "s", Account: "a", Businesses: []string{"1"}}, id{}, true},
		{"the same user", id{Subject: "s"}, id{Subject: "s"}, true},
		{"another user, nothing else known", id{Subject: "s"}, id{Subject: "t"}, false},
		{"another issuer", id{Issuer: "i", Subject: "s"}, id{Issuer: "j", Subject: "s"}, false},
		{"an issuer known on one side only", id{Issuer: "i", Subject: "s"}, id{Subject: "s"}, true},
		{"the same account, another user", id{Account: "a", Subject: "s"}, id{Account: "a", Subject: "t"}, true},
		{"another account, the same user", id{Account: "a", Subject: "s"}, id{Account: "b", Subject: "s"}, false},
		{"the same account at another issuer", id{Issuer: "i", Account: "a"}, id{Issuer: "j", Account: "a"}, false},
		{"a common business, another user", id{Businesses: []string{"1", "2"}, Subject: "s"}, id{Businesses: []string{"2", "3"}, Subject: "t"}, true},
		{"no common business, the same user", id{Businesses: []string{"1"}, Subject: "s"}, id{Businesses: []string{"2"}, Subject: "s"}, false},
		{"businesses on one side, the same user", id{Businesses: []string{"1"}, Subject: "s"}, id{Subject: "s"}, true},
		{"businesses on one side, another user", id{Businesses: []string{"1"}, Subject: "s"}, id{Subject: "t"}, false},
		{"an account on one side, a common business", id{Account: "a", Businesses: []string{"1"}}, id{Businesses: []string{"1"}}, true},
		{"another name is no matter", id{Name: "Quay Bar"}, id{Name: "Harbour"}, true},
	} {
		if tt.a.SameParty(tt.b) != tt.want || tt.b.SameParty(tt.a) != tt.want {
			t.Errorf("%s: %t and %t, want %t", tt.name, tt.a.SameParty(tt.b), tt.b.SameParty(tt.a), tt.want)
		}
	}
}

func TestSamePerson(t *testing.T) {
	t.Parallel()
	type id = grant.Identity
	for _, tt := range []struct {
		name string
		a, b id
		want bool
	}{
		{"the same user", id{Issuer: "i", Subject: "s", Name: "x"}, id{Issuer: "i", Subject: "s"}, true},
		{"nobody knows", id{}, id{}, false},
		{"another user", id{Subject: "s"}, id{Subject: "t"}, false},
		{"the same subject elsewhere", id{Issuer: "i", Subject: "s"}, id{Issuer: "j", Subject: "s"}, false},
	} {
		if tt.a.SamePerson(tt.b) != tt.want || tt.b.SamePerson(tt.a) != tt.want {
			t.Errorf("%s: want %t", tt.name, tt.want)
		}
	}
}

func TestALoginIsWhoApprovedAsFarAsIsKnown(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		a, b grant.Identity
		same bool
	}{
		"one user":                         {grant.Identity{Issuer: "i", Subject: "anna"}, grant.Identity{Issuer: "i", Subject: "anna", Name: "Anna"}, true},
		"one user, seen to reach more":     {grant.Identity{Subject: "anna", Businesses: []string{"1"}}, grant.Identity{Subject: "anna", Businesses: []string{"1", "2"}}, true},
		"two users of an account":          {grant.Identity{Subject: "anna", Account: "9"}, grant.Identity{Subject: "ben", Account: "9"}, false},
		"two issuers":                      {grant.Identity{Issuer: "i", Subject: "anna"}, grant.Identity{Issuer: "j", Subject: "anna"}, false},
		"one account":                      {grant.Identity{Account: "9"}, grant.Identity{Account: "9"}, true},
		"an account is no user":            {grant.Identity{Account: "9"}, grant.Identity{Subject: "9"}, false},
		"the same businesses":              {grant.Identity{Businesses: []string{"1", "2"}}, grant.Identity{Businesses: []string{"2", "1"}}, true},
		"some of the businesses":           {grant.Identity{Businesses: []string{"1", "2"}}, grant.Identity{Businesses: []string{"1"}}, false},
		"a business is not half of two":    {grant.Identity{Businesses: []string{"12"}}, grant.Identity{Businesses: []string{"1", "2"}}, false},
		"a business is no account of that": {grant.Identity{Businesses: []string{"1"}}, grant.Identity{Account: "1"}, false},
	} {
		a, b := tt.a.Login(), tt.b.Login()
		if a == "" || b == "" || (a == b) != tt.same {
			t.Errorf("%s: %q and %q, want the same: %v", name, a, b, tt.same)
		}
	}
	if got := (grant.Identity{Issuer: "i", Name: "Anna"}).Login(); got != "" {
		t.Errorf("a name alone is a login: %q", got)
	}
}

func TestVersionsAreOrdered(t *testing.T) {
	t.Parallel()
	number := rapid.OneOf(rapid.Int64Range(0, 3), rapid.Int64Range(0, 1<<62))
	version := rapid.Custom(func(t *rapid.T) grant.Version {
		return grant.Version{Epoch: number.Draw(t, "epoch"), Seq: number.Draw(t, "seq")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := version.Draw(t, "a"), version.Draw(t, "b"), version.Draw(t, "c")
		if a.Before(a) || a.Before(b) && b.Before(a) || a != b && !a.Before(b) && !b.Before(a) {
			t.Fatalf("%v and %v are not ordered", a, b)
		}
		if a.Before(b) && b.Before(c) && !a.Before(c) {
			t.Fatalf("%v, %v, %v: not transitive", a, b, c)
		}
		if next := a.Next(); !a.Before(next) || next.Epoch != a.Epoch || next.Seq != a.Seq+1 {
			t.Fatalf("%v.Next() = %v", a, next)
		}
		if newer := (grant.Version{Epoch: a.Epoch + 1}); !a.Before(newer) {
			t.Fatalf("a new epoch %v does not come after %v", newer, a)
		}
	})
}

func TestIDsHaveTheirPrefixSortByTimeAndDiffer(t *testing.T) {
	t.Parallel()
	var ids []string
	for i := range 1000 {
		ids = append(ids, grant.NewID(grant.AttemptID, now.Add(time.Duration(i)*time.Millisecond)))
	}
	if !slices.IsSorted(ids) || len(slices.Compact(slices.Clone(ids))) != len(ids) {
		t.Error("ids of rising times are not rising")
	}
	if a, b := grant.NewID(grant.AttemptID, now), grant.NewID(grant.AttemptID, now); a == b {
		t.Error("two ids of one moment are equal")
	}
	if !strings.HasPrefix(ids[0], "att_") || len(ids[0]) != len("att_")+26 {
		t.Errorf("id %s", ids[0])
	}
}

func TestALinkExpiresUnlessItIsFinished(t *testing.T) {
	t.Parallel()
	end := map[grant.LinkState]grant.LinkState{
		grant.LinkStateCreated: grant.LinkStateExpired, grant.LinkStateOpened: grant.LinkStateExpired,
		grant.LinkStateAtProvider: grant.LinkStateExpired, grant.LinkStateFailed: grant.LinkStateExpired,
		grant.LinkStateExpired:   grant.LinkStateExpired,
		grant.LinkStateCompleted: grant.LinkStateCompleted, grant.LinkStateRevoked: grant.LinkStateRevoked,
	}
	for state, after := range end {
		l := grant.Link{State: state, ExpiresAt: now}
		if got := l.StateAt(now.Add(-time.Nanosecond)); got != state {
			t.Errorf("%s before its expiry is %s", state, got)
		}
		if got := l.StateAt(now); got != after {
			t.Errorf("%s at its expiry is %s, want %s", state, got, after)
		}
	}
}

func TestCredentialsSurviveBeingSealed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		c := grant.Credential{
			AccessToken: secret.New(text.Draw(t, "access")), RefreshToken: secret.New(text.Draw(t, "refresh")),
			TokenType: text.Draw(t, "type"), Scope: text.Draw(t, "scope"),
			ExpiresAt: time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC(),
		}
		if vars := rapid.MapOf(text, text).Draw(t, "variables"); len(vars) > 0 {
			c.Variables = vars
		}
		b, err := c.Plaintext()
		if err != nil {
			t.Fatal(err)
		}
		got, err := grant.ParseCredential(b)
		if d := cmp.Diff(c, got, equalSecrets); err != nil || d != "" {
			t.Fatalf("%v (-want +got):\n%s", err, d)
		}
	})
}

var equalSecrets = cmp.Comparer(func(a, b secret.String) bool { return a == b })

// FuzzParseCredential: what is accepted survives being written, and no error
// quotes the plaintext.
func FuzzParseCredential(f *testing.F) {
	for _, s := range []string{"", "{}", `{"at":"a","rt":"r","tt":"Bearer","sc":"x","ex":"2026-11-21T12:00:00Z","va":{"domain_prefix":"quay"}}`, `{"at":1}`, `{"ex":"never"}`, "canary-canary-canary"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := grant.ParseCredential(b)
		if err != nil {
			if err.Error() != "credential: the opened bytes are not a credential" {
				t.Fatalf("error %q", err)
			}
			return
		}
		again, err := c.Plaintext()
		if err != nil {
			return // an expiry that JSON cannot write in UTC
		}
		got, err := grant.ParseCredential(again)
		if err != nil || got.AccessToken != c.AccessToken || got.RefreshToken != c.RefreshToken || !got.ExpiresAt.Equal(c.ExpiresAt) ||
			len(got.Variables) != len(c.Variables) {
			t.Fatalf("%v: not the same again", err)
		}
	})
}

func TestACredentialDoesNotPrintItsTokens(t *testing.T) {
	t.Parallel()
	c := grant.Credential{AccessToken: secret.New("canary-a"), RefreshToken: secret.New("canary-r")}
	holder := struct{ c grant.Credential }{c}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%p"} {
		for _, v := range []any{c, &c, holder, &holder} {
			if out := fmt.Sprintf(format, v); strings.Contains(out, "canary") {
				t.Errorf("%s prints %s", format, out)
			}
		}
	}
}
