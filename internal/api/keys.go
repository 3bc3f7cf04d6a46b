package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/grant"
)

// newKey is the body that makes an API key.
type newKey struct {
	Name       string   `json:"name" doc:"what it is for"`
	Scopes     []string `json:"scopes" enum:"tokens,connections,links,events,admin"`
	Apps       []string `json:"apps,omitempty" doc:"only these; every app if it is not given"`
	Businesses []string `json:"businesses,omitempty" doc:"only these business keys; every business if it is not given"`
	ExpiresAt  string   `json:"expires_at,omitempty" format:"date-time"`
}

// keyWire is an API key as it is answered.
type keyWire struct {
	ID         string     `json:"id"`
	Key        string     `json:"key,omitempty" doc:"the key itself; told once, when it is made"`
	Name       string     `json:"name"`
	Scopes     []string   `json:"scopes" nullable:"false" enum:"tokens,connections,links,events,admin"`
	Apps       []string   `json:"apps" doc:"null: every app"`
	Businesses []string   `json:"businesses" doc:"null: every business"`
	Source     string     `json:"source" enum:"store,file,admin_socket"`
	CreatedAt  *time.Time `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at"`
	RevokedAt  *time.Time `json:"revoked_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
}

func wireKey(k access.Key) keyWire {
	w := keyWire{
		ID: k.ID, Name: k.Name, Scopes: make([]string, len(k.Scopes)), Apps: k.Apps, Businesses: k.Businesses, Source: "store",
		CreatedAt: at(k.CreatedAt), ExpiresAt: at(k.ExpiresAt), RevokedAt: at(k.RevokedAt), LastUsedAt: at(k.LastUsedAt),
	}
	for i, sc := range k.Scopes {
		w.Scopes[i] = string(sc)
	}
	if k.FromFile {
		w.Source = "file"
	}
	return w
}

func (s *server) whoami(c *call, _ none) (keyWire, error) {
	w := wireKey(*c.key)
	if s.c.TrustAll {
		w.Source = "admin_socket"
	}
	return w, nil
}

// governs reports whether the key's own limits take in those of k, so that
// making, seeing or revoking k lends it no reach it does not have.
func governs(key *access.Key, k access.Key) bool {
	return within(k.Apps, key.Apps) && within(k.Businesses, key.Businesses)
}

// within reports whether every name of some is one of all; nil means every name.
func within(some, all []string) bool {
	if all == nil {
		return true
	}
	if some == nil {
		return false
	}
	return !slices.ContainsFunc(some, func(n string) bool { return !slices.Contains(all, n) })
}

func (s *server) listKeys(c *call, _ none) (page[keyWire], error) {
	keys, err := s.keys.All(c.r.Context())
	if err != nil {
		return page[keyWire]{}, err
	}
	keys = slices.DeleteFunc(keys, func(k access.Key) bool { return !governs(c.key, k) })
	return listOf(c, keys, func(k access.Key) string { return k.ID }, wireKey)
}

func (s *server) createKey(c *call, b newKey) (keyWire, error) {
	var f fields
	now := s.now()
	k := access.Key{
		ID: grant.NewID(grant.KeyID, now), Name: b.Name, Apps: b.Apps, Businesses: b.Businesses,
		CreatedAt: now, ExpiresAt: f.time("expires_at", b.ExpiresAt),
	}
	if b.Name == "" {
		f.add("name", "a name is required, to know the key by")
	}
	f.name(b.Name)
	if !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt) {
		f.add("expires_at", "it must be in the future")
	}
	if len(b.Scopes) == 0 {
		f.add("scopes", "at least one of tokens, connections, links, events, admin is required")
	}
	for _, name := range b.Scopes {
		sc, err := access.ParseScope(name)
		if err != nil {
			f.add("scopes", "%q is not one of tokens, connections, links, events, admin", clip(name))
			continue
		}
		k.Scopes = append(k.Scopes, sc)
	}
	s.checkLimits(&f, c.key, b)
	// A limited key makes keys within its limits, which they inherit.
	if k.Apps == nil {
		k.Apps = c.key.Apps
	}
	if k.Businesses == nil {
		k.Businesses = c.key.Businesses
	}
	if err := f.err(); err != nil {
		return keyWire{}, err
	}
	if !governs(c.key, k) {
		return keyWire{}, newProblem(http.StatusForbidden, codeForbidden, "a limited key can only make keys within its own limits")
	}
	secret := access.NewSecret()
	k.Hash = access.Hash(secret.Reveal())
	ctx := c.r.Context()
	if err := s.c.Store.CreateKey(ctx, k); err != nil {
		return keyWire{}, err
	}
	s.keys.Reload(ctx)
	w := wireKey(k)
	w.Key = secret.Reveal()
	return w, nil
}

// checkLimits checks what a key makes a new key be limited to. Of apps that it
// does not reach nothing is said here, whether there are any or not: see [governs].
func (s *server) checkLimits(f *fields, key *access.Key, b newKey) {
	if b.Apps != nil && len(b.Apps) == 0 {
		f.add("apps", "an empty list reaches nothing; leave it out for every app")
	}
	if b.Businesses != nil && len(b.Businesses) == 0 {
		f.add("businesses", "an empty list reaches nothing; leave it out for every business")
	}
	var names []string
	for _, a := range s.c.Manager.Apps() {
		if sees(key, a.App.Name) {
			names = append(names, a.App.Name)
		}
	}
	for _, a := range b.Apps {
		if sees(key, a) && !slices.Contains(names, a) {
			f.add("apps", "there is no app %q%s", clip(a), suggest(a, names))
		}
	}
	for _, key := range b.Businesses {
		if err := grant.ValidKey(key); err != nil {
			f.add("businesses", "%s", err)
		}
	}
}

func (s *server) revokeKey(c *call, _ none) (none, error) {
	ctx := c.r.Context()
	keys, err := s.keys.All(ctx)
	if err != nil {
		return none{}, err
	}
	id := c.r.PathValue("id")
	i := slices.IndexFunc(keys, func(k access.Key) bool { return k.ID == id && governs(c.key, k) })
	switch {
	case i < 0:
		return none{}, errNoSuch("API key")
	case keys[i].FromFile:
		return none{}, errConflict("this key is named in the configuration file; take it out there")
	case !keys[i].RevokedAt.IsZero():
		return none{}, nil
	}
	if err := s.c.Store.RevokeKey(ctx, id, s.now()); err != nil {
		return none{}, err
	}
	s.keys.Reload(ctx)
	return none{}, nil
}
