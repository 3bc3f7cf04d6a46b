//go:build faults

package fault

import (
	"strings"
	"testing"
	"time"
)

func TestAPlanCountsTheTimesAPointIsReached(t *testing.T) {
	for _, tt := range []struct{ name, plan, reached, want string }{
		{"nothing is planned", "", "a a", "- -"},
		{"the first time unless told otherwise", "a=error", "a a", "error -"},
		{"the third time and no other", "a=kill@3", "a b a a a", "- - - kill -"},
		{"every time from the second on", "a=error@2+", "a a a", "- error error"},
		{"counted from another point on", "b>a=pause@2", "a a b a a a", "- - - - pause -"},
		{"a point does not arm itself by the same visit", "a>a=error", "a a a", "- error -"},
		{"two points", "a=error,b=kill", "a b", "error kill"},
		{"for three seconds from the second time on", "a=error@2+3s", "a a 2s a 0.9s a 0.1s a a", "- error error error - -"},
		{"a bug", "a=panic", "a a", "panic -"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := parse(tt.plan)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			now := time.Unix(1_800_000_000, 0)
			for _, name := range strings.Fields(tt.reached) {
				if d, err := time.ParseDuration(name); err == nil {
					now = now.Add(d)
					continue
				}
				a, ok := p.reach(name, now)
				if !ok {
					a = "-"
				}
				got = append(got, string(a))
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("reaching %s: %s, want %s", tt.reached, s, tt.want)
			}
		})
	}
}

func TestAMisspeltPlanIsRefused(t *testing.T) {
	for _, text := range []string{"a", "a=", "a=explode", "a=kill@", "a=kill@0", "a=kill@x", "a=kill,", "a=error@1+x", "a=error@1+0s", "a=error@+1s"} {
		if _, err := parse(text); err == nil {
			t.Errorf("%q is taken for a plan", text)
		}
	}
}
