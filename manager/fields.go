package manager

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/evergrant/evergrant/internal/config"
)

// load turns c into a checked configuration. The error joins everything that is
// wrong, a line each, by the names of the fields.
func (c Config) load() (*config.Config, error) {
	if c.File != "" {
		if err := c.checkAlone(); err != nil {
			return nil, err
		}
		conf, err := config.Load(c.File, nil)
		if err != nil {
			return nil, fmt.Errorf("manager: %w", err)
		}
		return conf, nil
	}
	conf := c.internal()
	var problems config.Problems
	switch {
	case c.SQLite == "" && c.Postgres == "":
		return nil, errors.New("manager: SQLite: is missing; name the file of the database, or set Postgres to a connection string")
	case c.SQLite != "" && c.Postgres != "":
		return nil, errors.New("manager: SQLite: is set, and Postgres too; keep the one that holds the grants")
	case len(c.MasterKeys) == 0:
		return nil, errors.New("manager: MasterKeys: is missing; make a key once, with NewMasterKey or evergrant master-key generate, and keep it")
	case c.PublicURL == "":
		return nil, errors.New("manager: PublicURL: is missing; write the address merchants reach ConnectHandler at, like https://connect.acme.example")
	case c.Spool == "" && c.Postgres != "":
		return nil, errors.New("manager: Spool: is missing; name a folder of this process's own on a local disk")
	case c.Spool == "":
		conf.Spool = filepath.Join(filepath.Dir(c.SQLite), "spool")
	}
	if err := conf.Complete(); errors.As(err, &problems) {
		all := make([]error, len(problems))
		for i, p := range problems {
			all[i] = fmt.Errorf("manager: %s: %s", c.field(p.Path), p.Text)
		}
		return nil, errors.Join(all...)
	} else if err != nil {
		return nil, fmt.Errorf("manager: %w", err)
	}
	return conf, nil
}

// checkAlone reports a field that is set beside File.
func (c Config) checkAlone() error {
	c.File, c.Logger, c.Now, c.OnEvent = "", nil, nil, nil
	v := reflect.ValueOf(c)
	for f := range v.Fields() {
		if !v.FieldByIndex(f.Index).IsZero() {
			return fmt.Errorf("manager: %s: is set beside File; write it into the file, or leave File out", f.Name)
		}
	}
	return nil
}

// internal is c in the words of the configuration file.
func (c Config) internal() *config.Config {
	conf := &config.Config{
		Server: config.Server{PublicURL: c.PublicURL},
		Storage: config.Storage{
			SQLite: c.SQLite, Postgres: config.Given(string(c.Postgres)), AllowAsyncCommit: c.AllowAsyncCommit, Mirror: c.Mirror,
		},
		Spool:      c.Spool,
		Apps:       make(map[string]*config.App, len(c.Apps)),
		Refresh:    c.Refresh.internal(),
		Links:      config.Links{TTL: config.Duration(c.LinkTTL), ReturnURLAllow: slices.Clone(c.ReturnURLAllow)},
		Brand:      config.Brand{Name: c.Brand.Name, Support: config.Support{Email: c.Brand.SupportEmail}, Colour: c.Brand.Colour, Logo: c.Brand.Logo},
		SandboxURL: strings.TrimRight(c.SandboxURL, "/"),
	}
	for _, k := range c.MasterKeys {
		conf.Encryption.Keys = append(conf.Encryption.Keys, config.MasterKey{ID: k.ID, Secret: config.Given(string(k.Key))})
	}
	for name, a := range c.Apps {
		conf.Apps[name] = a.internal()
	}
	return conf
}

func (a App) internal() *config.App {
	in := &config.App{
		Provider: a.Provider, Environment: a.Environment, ClientID: a.ClientID,
		Scopes: slices.Clone(a.Scopes), RequiredScopes: slices.Clone(a.RequiredScopes),
		Issuer: a.Issuer, Endpoints: config.Endpoints(a.Endpoints), ClientAuth: a.ClientAuth, PKCE: a.PKCE,
		Rotation: config.Rotation{
			Policy: a.Rotation.Policy, Window: config.Duration(a.Rotation.Window), OldAccessToken: a.Rotation.OldAccessToken,
		},
		RefreshTokenLifetime: config.RefreshTokenLifetime{
			Idle: config.Duration(a.RefreshTokenLifetime.Idle), Absolute: config.Duration(a.RefreshTokenLifetime.Absolute),
		},
		Errors:  maps.Clone(a.Errors),
		Refresh: a.Refresh.internal(),
		Proxy:   config.Proxy{Methods: slices.Clone(a.Proxy.Methods), Paths: slices.Clone(a.Proxy.Paths), Queue: config.Duration(a.Proxy.Queue)},
	}
	for _, s := range []Secret{a.ClientSecret, a.NextClientSecret} {
		if s != "" {
			in.ClientSecret = append(in.ClientSecret, config.Given(string(s)))
		}
	}
	return in
}

func (r Refresh) internal() config.Refresh {
	return config.Refresh{
		Window: config.Duration(r.Window), MinInterval: config.Duration(r.MinInterval),
		MaxInFlight: r.MaxInFlight, MaxInFlightStrict: r.MaxInFlightStrict, Rate: r.Rate,
	}
}

// field is the name of a field by the path of the configuration file's key:
// Apps["k-series"].ClientID for apps.k-series.client_id.
func (c Config) field(path string) string {
	for _, known := range [][2]string{
		{"server.public_url", "PublicURL"}, {"storage.sqlite", "SQLite"}, {"storage.postgres", "Postgres"},
		{"storage.allow_async_commit", "AllowAsyncCommit"}, {"storage.mirror", "Mirror"}, {"encryption.keys", "MasterKeys"},
		{"links.ttl", "LinkTTL"}, {"links.return_url_allow", "ReturnURLAllow"}, {"brand.support.email", "Brand.SupportEmail"},
		{"EVERGRANT_SANDBOX_URL", "SandboxURL"},
	} {
		if rest, ok := strings.CutPrefix(path, known[0]); ok {
			return known[1] + camel(rest)
		}
	}
	rest, ok := strings.CutPrefix(path, "apps.")
	if !ok {
		return strings.TrimPrefix(camel("."+path), ".")
	}
	app := "" // a name may have dots
	for name := range c.Apps {
		if (rest == name || strings.HasPrefix(rest, name+".")) && len(name) > len(app) {
			app = name
		}
	}
	return fmt.Sprintf("Apps[%q]%s", app, camel(strings.TrimPrefix(rest, app)))
}

// camel writes the names after dots as Go does. What follows errors is a code.
func camel(path string) string {
	if before, code, ok := strings.Cut(path, ".errors."); ok {
		return fmt.Sprintf("%s.Errors[%q]", camel(before), code)
	}
	initials := map[string]string{"id": "ID", "pkce": "PKCE", "api": "API", "url": "URL", "ttl": "TTL"}
	parts := strings.Split(path, ".")
	for i := 1; i < len(parts); i++ {
		words := strings.Split(parts[i], "_")
		for j, w := range words {
			if s, ok := initials[w]; ok {
				words[j] = s
			} else if w != "" {
				words[j] = strings.ToUpper(w[:1]) + w[1:]
			}
		}
		parts[i] = strings.Join(words, "")
	}
	return strings.Join(parts, ".")
}
