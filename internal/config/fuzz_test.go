package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzParse feeds Parse any bytes. Either it explains itself, one line a
// problem, or the configuration survives being written and read again.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		contract, minimal, "", "version: 1", "- a", "a: &x [*x]", "a: b: c", "version: !!binary aGk=", "? [a]: b",
		minimal + "apps: {a: }\n", minimal + "apps: {a: {provider: generic, client_id: x, client_secret: literal}}\n",
		minimal + "links: {ttl: 1d12h}\n", minimal + "spool: \"a\\u2028b\"\n", minimal + "<<: {a: b}\n",
		minimal + "brand: {name: '- x: &y'}\n",
	} {
		f.Add([]byte(s))
	}
	src := world()
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data, src)
		if err != nil {
			var ps Problems
			if !errors.As(err, &ps) || len(ps) == 0 {
				t.Fatalf("the error is no list of problems: %v", err)
			}
			for _, p := range ps {
				if p.Text == "" || strings.ContainsAny(p.Error(), "\n\r") {
					t.Errorf("problem %q is not one line that says something", p.Error())
				}
			}
			return
		}
		text, err := c.YAML()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(text, src)
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if diff := cmp.Diff(c, again, ignoreHidden()); diff != "" {
			t.Errorf("parsing the output gives another configuration (-want +got):\n%s", diff)
		}
	})
}
