package manager_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/store"
)

func TestAProviderThatContradictsItsPolicyIsReportedOnce(t *testing.T) {
	for name, test := range map[string]struct {
		really  string         // what the provider does
		said    grant.Rotation // what the configuration says of it
		answers bool           // whether they arrive
		want    string         // what is told, "" for nothing
	}{
		"static rotates":                 {oracle.Grace, grant.Static, true, "rotated"},
		"grace refuses":                  {oracle.Strict, grant.Grace, false, "refused_again"},
		"retire_on_use refuses":          {oracle.FamilyKill, grant.RetireOnUse, false, "refused_again"},
		"static is static":               {oracle.Static, grant.Static, true, ""},
		"grace is grace":                 {oracle.Grace, grant.Grace, false, ""},
		"strict refuses":                 {oracle.Strict, grant.Strict, false, ""},
		"family_kill may stay the same":  {oracle.Static, grant.FamilyKill, true, ""},
		"unknown says nothing":           {oracle.Strict, grant.Unknown, false, ""},
		"a policy kinder than it's said": {oracle.Lenient, grant.Strict, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := kitOptions{oracle: oracle.Options{Rotation: test.really, Window: 10 * time.Hour},
				policy: func(p *grant.Policy) { p.Rotation = test.said }}
			bubble(t, o, func(t *testing.T, k *kit) {
				for i := range 3 {
					k.adopt(fmt.Sprint("biz_", i))
				}
				lost := make(map[string]bool) // one answer of each grant
				k.oracle.SetFault(func(s oracle.Send) oracle.Fault {
					if test.answers || lost[s.Grant] {
						return oracle.Fault{}
					}
					lost[s.Grant] = true
					return oracle.Fault{LoseAnswer: true}
				})
				k.sleep(3 * time.Hour)
				events, _, err := k.Events(t.Context(), store.EventFilter{Types: []string{string(grant.EventRotationContradicted)}}, store.Page{Limit: 10}, 0)
				if err != nil {
					t.Fatal(err)
				}
				var got string
				for _, e := range events {
					got += fmt.Sprint(e.Data["observed"])
					if e.App != "app" || e.ActBy() != grant.Operator || e.Data["policy"] != string(test.said) {
						t.Errorf("told %+v", e)
					}
				}
				if got != test.want {
					t.Errorf("told %q, want %q", got, test.want)
				}
			})
		})
	}
}
