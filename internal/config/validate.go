package config

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/mail"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/proxy"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/secret"
)

// validate checks every value, makes paths absolute, and returns all mistakes.
func (c *Config) validate(dir string) Problems {
	var ps Problems
	if c.Version != 1 {
		c.add(&ps, "version", "must be 1, the only version there is; write version: 1")
	}
	c.validateServer(&ps, dir)
	c.validateStorage(&ps, dir)
	c.Spool = absolute(dir, c.Spool)
	c.validateKeys(&ps, dir)
	for _, name := range slices.Sorted(maps.Keys(c.Apps)) {
		path := "apps." + name
		if err := grant.ValidApp(name); err != nil {
			c.add(&ps, path, "%v", err)
		}
		if n := len(c.Apps[name].ClientSecret); n > 2 {
			c.add(&ps, path+".client_secret", "lists %d secrets; at most two are tried, the new one and the old one", n)
		}
		for i := range c.Apps[name].ClientSecret {
			if err := c.Apps[name].ClientSecret[i].check(dir); err != nil {
				c.add(&ps, path+".client_secret", "%v", err)
			}
		}
		c.validateRefresh(&ps, path+".refresh", c.Apps[name].Refresh)
		c.validateProxy(&ps, path+".proxy", c.Apps[name].Proxy)
	}
	c.validateRefresh(&ps, "refresh", c.Refresh)
	c.validateLinks(&ps)
	c.validateBrand(&ps, dir)
	c.validateAPIKeys(&ps, dir)
	c.validateDashboard(&ps, dir)
	c.validateWebhooks(&ps, dir)
	c.Telemetry.OTLP.Endpoint = strings.TrimRight(c.Telemetry.OTLP.Endpoint, "/")
	if err := checkCollector(c.Telemetry.OTLP.Endpoint); err != nil {
		c.add(&ps, "telemetry.otlp.endpoint", "%v", err)
	}
	if c.Telemetry.Audit != "" {
		c.Telemetry.Audit = absolute(dir, c.Telemetry.Audit)
	}
	c.oneOf(&ps, "telemetry.log.format", c.Telemetry.Log.Format, "json", "text")
	c.oneOf(&ps, "telemetry.log.level", c.Telemetry.Log.Level, "debug", "info", "warn", "error")
	if err := checkOrigin(c.SandboxURL); err != nil {
		ps = append(ps, Problem{Path: "EVERGRANT_SANDBOX_URL", Text: err.Error()})
	}
	return ps
}

// validateServer checks the addresses.
func (c *Config) validateServer(ps *Problems, dir string) {
	s := &c.Server
	s.PublicURL = strings.TrimRight(s.PublicURL, "/")
	if s.PublicURL == "" {
		c.add(ps, "server.public_url", "is missing; write the address merchants reach this server at, like https://connect.acme.example")
	} else if err := checkOrigin(s.PublicURL); err != nil {
		c.add(ps, "server.public_url", "%v", err)
	}
	if err := checkAddress(s.Listen); err != nil {
		c.add(ps, "server.listen", "%v", err)
	}
	if path, ok := strings.CutPrefix(s.PrivateListen, "unix:"); ok {
		path = absolute(dir, path)
		if len(path) > maxSocketPath {
			c.add(ps, "server.private_listen", "has %d characters; a socket's path may have at most %d", len(path), maxSocketPath)
		}
		s.PrivateListen = "unix:" + path
	} else if err := checkAddress(s.PrivateListen); err != nil {
		c.add(ps, "server.private_listen", "%v, or unix: and a path", err)
	}
	if s.Listen == s.PrivateListen && !strings.HasSuffix(s.Listen, ":0") {
		c.add(ps, "server.private_listen", "is the public listener's address too; give it another port")
	}
}

// maxSocketPath is what fits into a sockaddr_un on every system we build for.
const maxSocketPath = 103

// checkAddress reports why s is not an address to listen at.
func checkAddress(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("must be a host and a port, like 127.0.0.1:8420")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("has no usable port; write one between 1 and 65535, like 127.0.0.1:8420")
	}
	return nil
}

// validateKeys checks the references to the master keys.
func (c *Config) validateKeys(ps *Problems, dir string) {
	keys := c.Encryption.Keys
	if len(keys) == 0 {
		c.add(ps, "encryption.keys", "is missing; make a master key with: evergrant master-key generate --out master.key "+
			"and write keys: [{id: k1, file: ./master.key}]")
	}
	seen := map[string]bool{}
	for i := range keys {
		path := fmt.Sprintf("encryption.keys[%d]", i)
		if err := grant.ValidApp(keys[i].ID); err != nil {
			c.add(ps, path+".id", "must be a short name like k1")
		} else if seen[keys[i].ID] {
			c.add(ps, path+".id", "%s names another key already; give every key an id of its own", keys[i].ID)
		}
		seen[keys[i].ID] = true
		if err := keys[i].check(dir); err != nil {
			c.add(ps, path, "%v", err)
		}
	}
}

// validateRefresh checks a refresh section, the global one or an app's.
func (c *Config) validateRefresh(ps *Problems, path string, r Refresh) {
	c.within(ps, path+".window", r.Window, time.Second, 24*time.Hour)
	c.within(ps, path+".min_interval", r.MinInterval, time.Second, time.Hour)
	if r.Keepalive != "" {
		c.oneOf(ps, path+".keepalive", r.Keepalive, "auto")
	}
	c.inFlight(ps, path+".max_in_flight", r.MaxInFlight)
	c.inFlight(ps, path+".max_in_flight_strict", r.MaxInFlightStrict)
	// NaN is in no order.
	if _, given := c.lines[path+".rate"]; (given || r.Rate != 0) && !(r.Rate >= 0.01 && r.Rate <= 10_000) {
		c.add(ps, path+".rate", "must be between 0.01 and 10000 token requests per second")
	}
}

// maxQueue is as long as a caller's own patience may be expected to last.
const maxQueue = 5 * time.Minute

// validateProxy checks what an app lets through the proxy. A list that is given
// and empty would allow everything where it reads as if it allowed nothing.
func (c *Config) validateProxy(ps *Problems, path string, p Proxy) {
	for _, list := range []struct {
		path  string
		items []string
	}{{path + ".methods", p.Methods}, {path + ".paths", p.Paths}} {
		if _, given := c.lines[list.path]; given && len(list.items) == 0 {
			c.add(ps, list.path, "is empty; name what is allowed, or remove the key to allow everything")
		}
	}
	for i, m := range p.Methods {
		if !regexp.MustCompile(`^[A-Z][A-Z0-9-]{0,31}$`).MatchString(m) || m == http.MethodConnect || m == http.MethodTrace {
			c.add(ps, fmt.Sprintf("%s.methods[%d]", path, i), "must be a method in capital letters, like GET; CONNECT and TRACE are never carried")
		}
	}
	for i, pattern := range p.Paths {
		if err := proxy.CheckPattern(pattern); err != nil {
			c.add(ps, fmt.Sprintf("%s.paths[%d]", path, i), "%v", err)
		}
	}
	c.within(ps, path+".queue", p.Queue, 10*time.Millisecond, maxQueue)
}

// inFlight reports a limit of concurrent requests that is given and out of bounds.
func (c *Config) inFlight(ps *Problems, path string, n int) {
	if _, given := c.lines[path]; (given || n != 0) && (n < 1 || n > 1000) {
		c.add(ps, path, "must be between 1 and 1000")
	}
}

// validateLinks checks the links' life and where merchants may be sent back to.
func (c *Config) validateLinks(ps *Problems) {
	c.within(ps, "links.ttl", c.Links.TTL, time.Minute, 90*24*time.Hour)
	for i, pattern := range c.Links.ReturnURLAllow {
		if err := checkReturnPattern(pattern); err != nil {
			c.add(ps, fmt.Sprintf("links.return_url_allow[%d]", i), "%v", err)
		}
	}
}

// validateBrand checks what merchants will see.
func (c *Config) validateBrand(ps *Problems, dir string) {
	if len(c.Brand.Name) > 100 {
		c.add(ps, "brand.name", "has more than 100 bytes; shorten it")
	}
	if c.Brand.Logo != "" {
		c.Brand.Logo = absolute(dir, c.Brand.Logo)
	}
	if e := c.Brand.Support.Email; e != "" {
		if a, err := mail.ParseAddress(e); err != nil || a.Address != e {
			c.add(ps, "brand.support.email", "must be a mail address like help@acme.example")
		}
	}
	if col := c.Brand.Colour; col != "" && !regexp.MustCompile(`^#[0-9a-fA-F]{6}$`).MatchString(col) {
		c.add(ps, "brand.colour", `must be six hex digits in quotes, like "#0b5d3b"`)
	}
}

// validateAPIKeys checks the keys of the file, except their values.
func (c *Config) validateAPIKeys(ps *Problems, dir string) {
	names := map[string]bool{}
	for i := range c.APIKeys {
		k, path := &c.APIKeys[i], fmt.Sprintf("api_keys[%d]", i)
		if err := grant.ValidApp(k.Name); err != nil {
			c.add(ps, path+".name", "must be a short name like acme-app: a-z, 0-9, -, _ and .")
		} else if names[k.Name] {
			c.add(ps, path+".name", "%s names another key already; give every key a name of its own", k.Name)
		}
		names[k.Name] = true
		if err := k.Key.check(dir); err != nil {
			c.add(ps, path+".key", "%v", err)
		}
		if len(k.Scopes) == 0 {
			c.add(ps, path+".scopes", "is missing; give at least one of tokens, connections, links, events, admin")
		}
		for j, s := range k.Scopes {
			if _, err := access.ParseScope(s); err != nil {
				c.add(ps, fmt.Sprintf("%s.scopes[%d]", path, j), "%v", err)
			}
		}
		for j, a := range k.Apps {
			if c.Apps[a] == nil {
				c.add(ps, fmt.Sprintf("%s.apps[%d]", path, j), "%q is not one of the apps of this file", a)
			}
		}
		for j, b := range k.Businesses {
			if err := grant.ValidKey(b); err != nil {
				c.add(ps, fmt.Sprintf("%s.businesses[%d]", path, j), "%v", err)
			}
		}
	}
}

// readSecrets follows every reference and checks what can be said about the
// values here.
func (c *Config) readSecrets(ps *Problems, src Source) {
	for i := range c.Encryption.Keys {
		k, path := &c.Encryption.Keys[i], fmt.Sprintf("encryption.keys[%d]", i)
		if err := k.read(src); err != nil {
			c.add(ps, path, "%v; a new master key is made with: evergrant master-key generate --out FILE", err)
			continue
		}
		m, err := seal.ParseMaster(k.ID, k.value)
		if err != nil {
			c.add(ps, path, "%s: %v", k.Secret, err)
		}
		c.masters = append(c.masters, m)
	}
	if err := c.Storage.Postgres.read(src); err != nil {
		c.add(ps, "storage.postgres", "%v", err)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Apps)) {
		for i := range c.Apps[name].ClientSecret {
			if err := c.Apps[name].ClientSecret[i].read(src); err != nil {
				c.add(ps, "apps."+name+".client_secret", "%v", err)
			}
		}
	}
	c.readDashboard(ps, src)
	c.readLogo(ps, src)
	c.readWebhooks(ps, src)
	values := map[secret.String]string{}
	for i := range c.APIKeys {
		k, path := &c.APIKeys[i], fmt.Sprintf("api_keys[%d].key", i)
		if err := k.Key.read(src); err != nil {
			c.add(ps, path, "%v", err)
			continue
		}
		if err := access.CheckSecret(k.Key.value); err != nil {
			c.add(ps, path, "%s: %v", k.Key, err)
		}
		if other, ok := values[k.Key.value]; ok {
			c.add(ps, path, "is the same key as that of %s; give every program a key of its own", other)
		}
		values[k.Key.value] = k.Name
		c.keys = append(c.keys, k.access())
	}
}

// oneOf reports a value that is not among the allowed.
func (c *Config) oneOf(ps *Problems, path, v string, allowed ...string) {
	if slices.Contains(allowed, v) {
		return
	}
	hint := "must be " + allowed[0]
	if len(allowed) > 1 {
		hint = "must be one of " + strings.Join(allowed, ", ")
	}
	if near := nearest(v, allowed); near != "" {
		hint += "; did you mean " + near + "?"
	}
	c.add(ps, path, "%s", hint)
}

// within reports a duration that is given and out of bounds.
func (c *Config) within(ps *Problems, path string, d Duration, least, most time.Duration) {
	_, given := c.lines[path]
	if (given || d != 0) && (time.Duration(d) < least || time.Duration(d) > most) {
		c.add(ps, path, "must be between %s and %s", Duration(least), Duration(most))
	}
}

// Socket returns the path of the admin socket, which lies beside the store, and
// beside the spool if the store is a server.
func (c *Config) Socket() string {
	beside := c.Storage.SQLite
	if c.Storage.Shared() {
		beside = c.Spool
	}
	return filepath.Join(filepath.Dir(beside), "admin.sock")
}

// validateStorage checks that everything is kept in one place.
func (c *Config) validateStorage(ps *Problems, dir string) {
	s := &c.Storage
	if s.Postgres != (Secret{}) {
		if s.SQLite != "" {
			c.add(ps, "storage", "names both sqlite and postgres; keep the one that holds the grants and remove the other")
		}
		if err := s.Postgres.check(dir); err != nil {
			c.add(ps, "storage.postgres", "%v", err)
		}
	} else if s.AllowAsyncCommit {
		c.add(ps, "storage.allow_async_commit", "is for storage.postgres only; remove it")
	}
	if s.SQLite == ":memory:" {
		c.add(ps, "storage.sqlite", "must be a file; grants kept in memory would be lost with the process")
	}
	if s.SQLite != "" {
		s.SQLite = absolute(dir, s.SQLite)
	}
	if s.Mirror != "" {
		s.Mirror = absolute(dir, s.Mirror)
		if s.Mirror == s.SQLite {
			c.add(ps, "storage.mirror", "is the database itself; name a file of its own, on another disk")
		}
	}
}
