package storetest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// finds ends the test unless a text names exactly the connections with these keys, in order.
func (f *fixture) finds(text string, limit int, keys ...string) {
	f.Helper()
	list, err := f.Find(f.ctx, text, limit)
	f.ok(err)
	if keys == nil {
		keys = []string{}
	}
	equal(f, fmt.Sprintf("%q, at most %d", text, limit), keysOf(list), keys)
}

func findTests() map[string]func(*fixture) {
	named := func(name string) func(*grant.Connection) { return func(c *grant.Connection) { c.Name = name } }
	return map[string]func(*fixture){
		"an id, an address, a key, a link's id and its short code name a connection": func(f *fixture) {
			one, two := f.changed("biz_1", grant.OK, 0, named("One")), f.changed("biz_2", grant.OK, 0, named("Two"))
			f.changed("biz_1", grant.OK, 0, func(c *grant.Connection) { c.App, c.Name = "x", "Another" })
			l := f.newLink(two)
			l.ShortCode = "7QM2-KX"
			f.ok(f.CreateLink(f.ctx, l))
			f.finds(one.ID, 10, "biz_1")
			list, err := f.Find(f.ctx, "biz_1@x", 10)
			f.ok(err)
			equal(f, "by address", list[0].App, "x")
			equal(f, "by address, found", len(list), 1)
			f.finds("biz_1", 10, "biz_1", "biz_1")
			f.finds("  biz_2\n", 10, "biz_2")
			f.finds(l.ID, 10, "biz_2")
			for _, code := range []string{"7QM2-KX", "7qm2-kx", "7QM2KX", "7q-M2kx", "7qm2 kx", " 7QM2-KX "} {
				f.finds(code, 10, "biz_2")
			}
			got, err := f.Find(f.ctx, two.ID, 1)
			f.ok(err)
			equal(f, "the connection", got, []grant.Connection{two})
		},
		"what nobody is called finds nothing": func(f *fixture) {
			f.link(f.changed("biz_1", grant.OK, 0, named("Quay Bar")))
			for _, text := range []string{"", " ", "\t\n", "-", "--", "7QM2-K", "QM2-KX", "conn_", "link_", "iz_1", "Bar", "biz_1@", "biz_1@none", "@", "none@" + app,
				"%", "_", "b%", "biz%1", "*", "b*", "?", "'", `"`, `\`, "biz_1\x00", "\x00", "\xff", "\U0010FFFF", strings.Repeat("biz_1", 1000)} {
				f.finds(text, 10)
			}
		},
		"beginnings of keys come before beginnings of names, each in alphabetical order": func(f *fixture) {
			for key, name := range map[string]string{"alpha": "x", "ALPHABET": "x", "k1": "Alpha Centauri", "k2": "alpha", "k3": "alphabet soup", "beta": "The Alpha"} {
				f.changed(key, grant.OK, 0, named(name))
			}
			want := []string{"alpha", "ALPHABET", "k2", "k1", "k3"}
			for _, text := range []string{"alpha", "Alpha", "ALPHA", "aLp"} {
				f.finds(text, 10, want...)
				for limit := 1; limit <= len(want); limit++ {
					f.finds(text, limit, want[:limit]...)
				}
			}
			f.finds("alphab", 10, "ALPHABET", "k3")
			f.finds("alpha ", 10, want...) // space around it does not count
			f.finds("alpha c", 10, "k1")
		},
		"the best come first and each connection once": func(f *fixture) {
			f.changed("quay", grant.OK, 0, named("Quay Bar"))
			f.changed("quay2", grant.OK, 0, named("Quay Bar"))
			f.changed("b", grant.OK, 0, named("Quay Bar"))
			coded := f.changed("z", grant.OK, 0, named("Zed"))
			for range 3 {
				l := f.newLink(coded)
				l.ShortCode = "QU-AY"
				f.ok(f.CreateLink(f.ctx, l))
			}
			f.finds("quay", 10, "quay", "z", "quay2", "b")
			f.finds("quay", 3, "quay", "z", "quay2")
			f.finds("quay", 1, "quay")
			f.finds("QUAY", 10, "z", "quay", "quay2", "b") // the key is another
			f.finds("QUAY", 1, "z")
			f.finds("quay bar", 2, f.firstKeys("quay bar", 3)[:2]...)
		},
		"a short code may be that of links of several connections": func(f *fixture) {
			for i := range 3 {
				c := f.connection(fmt.Sprint("biz_", i))
				for range 3 {
					f.link(c)
				}
			}
			list, err := f.Find(f.ctx, "7QM2-KX", 3)
			f.ok(err)
			keys := keysOf(list)
			slices.Sort(keys)
			equal(f, "found", keys, []string{"biz_0", "biz_1", "biz_2"})
		},
		"a link without a short code is not found by none": func(f *fixture) {
			l := f.newLink(f.connection("k"))
			l.ShortCode = ""
			f.ok(f.CreateLink(f.ctx, l))
			f.finds("-", 10)
		},
		"wildcards are letters": func(f *fixture) {
			for _, key := range []string{"100%", "100_", "100*", "100?", `100\`, "100'", "1000"} {
				f.changed(key, grant.OK, 0, named(key+" name"))
			}
			for _, key := range []string{"100%", "100_", "100*", "100?", `100\`, "100'"} {
				f.finds(key, 10, key)
			}
			f.finds("100% N", 10, "100%")
			f.finds("100", 10, "100%", "100'", "100*", "1000", "100?", `100\`, "100_")
		},
		"case is ignored of ASCII letters only": func(f *fixture) {
			f.changed("k1", grant.OK, 0, named("ÉCLAIR"))
			f.changed("k2", grant.OK, 0, named("éclair"))
			f.changed("k3", grant.OK, 0, named("Straße"))
			f.changed("ключ", grant.OK, 0, named("名前"))
			f.finds("É", 10, "k1")
			f.finds("Éclair", 10, "k1")
			f.finds("éCLAIR", 10, "k2")
			f.finds("STRA", 10, "k3")
			f.finds("straß", 10, "k3")
			f.finds("strass", 10)
			f.finds("клю", 10, "ключ")
			f.finds("名", 10, "ключ")
		},
		"a beginning ends where its last letter does": func(f *fixture) {
			for _, key := range []string{"a", "a\uD7FF", "a\uD7FFz", "a\uE000", "a😀", "az", "b", "a\U0010FFFE", "a\u007F", "a\u0080"} {
				if grant.ValidKey(key) == nil {
					f.changed(key, grant.OK, 0, named("x"))
				}
			}
			f.finds("a\uD7FF", 10, "a\uD7FF", "a\uD7FFz")
			f.finds("a\uE000", 10, "a\uE000")
			f.finds("a😀", 10, "a😀")
			f.finds("a\U0010FFFE", 10, "a\U0010FFFE")
			f.finds("az", 10, "az")
			f.finds("a", 10, "a", "az", "a\uD7FF", "a\uD7FFz", "a\uE000", "a😀", "a\U0010FFFE")
		},
		"a long name is found by its beginning": func(f *fixture) {
			name := strings.Repeat("Quay Bar ", 1000)
			f.changed("k", grant.OK, 0, named(name))
			f.finds("quay", 10, "k")
			f.finds(name[:150], 10, "k")
		},
		"what is renamed is found by its new name": func(f *fixture) {
			c := f.changed("k", grant.OK, 0, named("Old"))
			_, err := f.UpdateConnection(f.ctx, c.ID, func(c *grant.Connection) error { c.Name = "New"; return nil })
			f.ok(err)
			f.finds("old", 10)
			f.finds("new", 10, "k")
			f.ok(f.DeleteConnection(f.ctx, c.ID))
			f.finds("new", 10)
		},
		"a limit of what is found is between 1 and 1000": func(f *fixture) {
			f.connection("k")
			f.finds("k", 1000, "k")
			for _, limit := range []int{-1, 0, 1001} {
				if _, err := f.Find(f.ctx, "k", limit); err == nil || isError(err, store.ErrUnavailable) {
					f.Errorf("limit %d: error is %v", limit, err)
				}
			}
		},
	}
}

// firstKeys are the keys of what a text finds.
func (f *fixture) firstKeys(text string, limit int) []string {
	f.Helper()
	list, err := f.Find(f.ctx, text, limit)
	f.ok(err)
	return keysOf(list)
}
