package words_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/words"
)

func TestEveryEntryIsWhole(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, e := range words.All() {
		if seen[e.Code] {
			t.Errorf("%s is there twice", e.Code)
		}
		seen[e.Code] = true
		if len(e.Kinds) == 0 || e.Means == "" || e.Next == "" || !strings.HasSuffix(e.Means, ".") {
			t.Errorf("%s is not whole: %+v", e.Code, e)
		}
		if !slices.Contains([]string{"merchant", "operator", "provider", "nobody"}, e.ActBy) {
			t.Errorf("%s: nobody called %q acts", e.Code, e.ActBy)
		}
		if slices.Contains(e.Kinds, words.Reason) != strings.HasSuffix(e.Is, ".") {
			t.Errorf("%s is a reason or has no sentence: %q", e.Code, e.Is)
		}
		if slices.Contains(e.Kinds, words.Problem) != (e.Title != "") {
			t.Errorf("%s is a problem or has no title: %q", e.Code, e.Title)
		}
		if got, ok := words.Of(e.Code); !ok || got.Means != e.Means {
			t.Errorf("%s is not found", e.Code)
		}
	}
	if _, ok := words.Of("no_such_code"); ok {
		t.Error("there is a code that there is not")
	}
}

func TestEveryReasonHasItsWordsAndItsActor(t *testing.T) {
	t.Parallel()
	for _, r := range grant.Reasons() {
		e, ok := words.Of(string(r))
		if !ok || e.ActBy != string(r.ActBy()) {
			t.Errorf("%s: %q acts here, %q there", r, e.ActBy, r.ActBy())
		}
	}
	for _, p := range []grant.Problem{
		grant.ProblemDeclined, grant.ProblemLinkExpired, grant.ProblemLinkRevoked, grant.ProblemLinkUnknown, grant.ProblemOtherIdentity,
		grant.ProblemScopeMissing, grant.ProblemLostSession, grant.ProblemProviderUnavailable, grant.ProblemCodeRejected,
		grant.ProblemOurFault, grant.ProblemOurSetup,
	} {
		if e, ok := words.Of(string(p)); !ok || !slices.Contains(e.Kinds, words.Link) {
			t.Errorf("%s has no words", p)
		}
	}
}

func TestNextForNamesTheConnection(t *testing.T) {
	t.Parallel()
	e, _ := words.Of("app_paused")
	if got := e.NextFor("a@b", "b"); got != "evergrant app show b, and evergrant app resume b when it may go on" {
		t.Errorf("%q", got)
	}
	e, _ = words.Of("revoked")
	if got := e.NextFor("APP@k", "k"); got != "evergrant link create APP@k" {
		t.Errorf("%q", got)
	}
}
