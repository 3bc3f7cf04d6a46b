package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Of a package whose tests leave one bound alone, the changes there are not
// noticed, and all others are: those in a switch, and one that never ends.
func TestWhatNoTestLooksAtIsNotNoticed(t *testing.T) {
	s, err := try("testdata/sample", "")
	if err != nil {
		t.Fatal(err)
	}
	var survivors []string
	for _, m := range s.survivors {
		survivors = append(survivors, fmt.Sprintf("%s:%d: %s: %s", m.file, m.line, m.what, m.code))
	}
	if d := cmp.Diff([]string{"sample.go:27: > becomes >=: if n > most {"}, survivors); d != "" {
		t.Errorf("not noticed (-want +got):\n%s", d)
	}
	// n < 0 and i < len(all) and n > most twice each; n == 0; i++; sum + all[i]; two signs.
	if s.all != (score{noticed: 10, of: 11}) {
		t.Errorf("%+v, want 10 of 11", s.all)
	}
	if s.spared != 1 {
		t.Errorf("%d lines could not be changed, want that of the strings", s.spared)
	}
	var b strings.Builder
	s.tell(&b, "sample")
	if !strings.Contains(b.String(), "sample: 10 of 11 changes were noticed, 90.9 %") {
		t.Errorf("it says %q", b.String())
	}
}

func TestTheLinesOfADiff(t *testing.T) {
	const diff = `diff --git a/internal/grant/a.go b/internal/grant/a.go
--- a/internal/grant/a.go
+++ b/internal/grant/a.go
@@ -3,2 +3 @@ func f() {
-	one
-	two
+	three
@@ -10,0 +9,2 @@ func g() {
+	four
+	five
@@ -20,3 +18,0 @@ func h() {
-	gone
--- a/internal/grant/b.go
+++ b/internal/grant/b.go
@@ -1 +1 @@
-x
+y
`
	want := map[place]bool{{"a.go", 3}: true, {"a.go", 9}: true, {"a.go", 10}: true, {"b.go", 1}: true}
	if d := cmp.Diff(want, linesOf(diff), cmp.AllowUnexported(place{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestAScoreOfNothingIsGoodEnough(t *testing.T) {
	for s, want := range map[score]bool{{0, 0}: true, {9, 10}: true, {8, 10}: false} {
		if s.atLeast(90) != want {
			t.Errorf("%v: %t, want %t", s, !want, want)
		}
	}
}
