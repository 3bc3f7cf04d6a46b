package manager_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/manager"
)

func TestWhatIsWrongIsNamedByItsFieldWithTheNextStep(t *testing.T) {
	t.Parallel()
	const key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	app := func(c *manager.Config, change func(*manager.App)) {
		a := c.Apps["k.series"]
		change(&a)
		c.Apps = map[string]manager.App{"k": {}, "k.series": a}
		delete(c.Apps, "k")
	}
	for _, tt := range []struct {
		name   string
		change func(*manager.Config)
		want   []string
	}{
		{"no storage", func(c *manager.Config) { c.SQLite = "" }, []string{"SQLite: is missing; name the file of the database"}},
		{"two storages", func(c *manager.Config) { c.Postgres = "postgres://x" }, []string{"SQLite: is set, and Postgres too"}},
		{"memory", func(c *manager.Config) { c.SQLite = ":memory:" }, []string{"SQLite: must be a file"}},
		{"PostgreSQL without a spool", func(c *manager.Config) { c.SQLite, c.Postgres = "", "postgres://x" }, []string{"Spool: is missing; name a folder"}},
		{"the mirror is the database", func(c *manager.Config) { c.Mirror = c.SQLite }, []string{"Mirror: is the database itself"}},
		{"async commit on SQLite", func(c *manager.Config) { c.AllowAsyncCommit = true }, []string{"AllowAsyncCommit: is for"}},
		{"no master key", func(c *manager.Config) { c.MasterKeys = nil }, []string{"MasterKeys: is missing; make a key"}},
		{"an empty master key", func(c *manager.Config) { c.MasterKeys[0].Key = "" }, []string{"MasterKeys[0]: "}},
		{"a master key without an id", func(c *manager.Config) { c.MasterKeys[0].ID = "" }, []string{"MasterKeys[0].ID: must be a short name"}},
		{"a master key that is too short", func(c *manager.Config) { c.MasterKeys[0].Key = "c2hvcnQ=" }, []string{"MasterKeys[0]: ", "has 5 bytes, needs 32"}},
		{"no public URL", func(c *manager.Config) { c.PublicURL = "" }, []string{"PublicURL: is missing; write the address"}},
		{"a public URL with a path", func(c *manager.Config) { c.PublicURL = "https://a.example/x" }, []string{"PublicURL: must be only a scheme and a host"}},
		{"no provider", func(c *manager.Config) { app(c, func(a *manager.App) { a.Provider = "" }) }, []string{`Apps["k.series"].Provider: is missing`}},
		{"a provider nobody knows", func(c *manager.Config) { app(c, func(a *manager.App) { a.Provider = "lightspeed" }) },
			[]string{`Apps["k.series"].Provider: must be one of`}},
		{"no client id", func(c *manager.Config) { app(c, func(a *manager.App) { a.ClientID = "" }) }, []string{`Apps["k.series"].ClientID: `}},
		{"several at once", func(c *manager.Config) {
			app(c, func(a *manager.App) { a.Refresh.Rate, a.Rotation.Policy = -1, "none" })
		},
			[]string{`Apps["k.series"].Refresh.Rate: must be between`, `Apps["k.series"].Rotation.Policy: `}},
		{"an error that means nothing", func(c *manager.Config) {
			app(c, func(a *manager.App) { a.Errors = map[string]string{"400:x_y": "nothing"} })
		}, []string{`Apps["k.series"].Errors["400:x_y"]: `, "must be one of refused"}},
		{"a link that lives a second", func(c *manager.Config) { c.LinkTTL = time.Second }, []string{"LinkTTL: must be between"}},
		{"a return URL", func(c *manager.Config) { c.ReturnURLAllow = []string{"http://a.example/"} }, []string{"ReturnURLAllow[0]: "}},
		{"a colour", func(c *manager.Config) { c.Brand.Colour = "green" }, []string{"Brand.Colour: must be six hex digits"}},
		{"an address for support", func(c *manager.Config) { c.Brand.SupportEmail = "help" }, []string{"Brand.SupportEmail: must be a mail address"}},
		{"a refresh of everything", func(c *manager.Config) { c.Refresh.MaxInFlight = 5000 }, []string{"Refresh.MaxInFlight: must be between 1 and 1000"}},
		{"the sandbox", func(c *manager.Config) { c.SandboxURL = "ftp://x" }, []string{"SandboxURL: "}},
		{"a file and a field", func(c *manager.Config) { c.File = "evergrant.yaml" }, []string{"SQLite: is set beside File"}},
		{"a file that is not there", func(c *manager.Config) { *c = manager.Config{File: "absent.yaml"} }, []string{"absent.yaml does not exist"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := manager.Config{
				SQLite: filepath.Join(t.TempDir(), "e.db"), MasterKeys: []manager.MasterKey{{ID: "k1", Key: key}},
				PublicURL: "https://connect.acme.example",
				Apps: map[string]manager.App{"k.series": {
					Provider: "lightspeed-k", ClientID: "devp-v2-prod-x", ClientSecret: "s", Scopes: []string{"financial-api"},
				}},
			}
			tt.change(&c)
			m, err := manager.New(t.Context(), c)
			if err == nil {
				t.Fatal(m.Close())
			}
			for _, want := range tt.want {
				if !strings.HasPrefix(err.Error(), "manager: ") || !strings.Contains(err.Error(), want) {
					t.Errorf("error is %q, want %q", err, want)
				}
			}
			if strings.Contains(err.Error(), key) {
				t.Error("the error tells the key")
			}
		})
	}
}
