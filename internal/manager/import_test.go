package manager_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
)

// TestAnImportMakesWhatCreateMakes creates one connection and imports its twin.
func TestAnImportMakesWhatCreateMakes(t *testing.T) {
	for name, vary := range map[string]func(*manager.NewConnection){
		"tokens":               func(*manager.NewConnection) {},
		"no tokens":            func(n *manager.NewConnection) { n.Tokens = nil },
		"a refresh token only": func(n *manager.NewConnection) { n.Tokens.AccessToken = secret.String{} },
		"tokens that ended":    func(n *manager.NewConnection) { n.Tokens.ExpiresAt = time.Now().Add(-time.Hour) },
		"a scope and a deadline": func(n *manager.NewConnection) {
			n.Tokens.Scope, n.Tokens.RefreshExpiresAt = "a b", time.Now().Add(24*time.Hour)
		},
		"a name, tags and locations": func(n *manager.NewConnection) {
			n.Name, n.Tags, n.RequiredLocations = "Quay", map[string]string{"a": "b"}, []string{"1"}
		},
		"an address without a meaning": func(n *manager.NewConnection) { n.Ref.App = "nowhere" },
		"tokens that are empty":        func(n *manager.NewConnection) { n.Tokens = &manager.Adoption{} },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.Strict, AccessLife: time.Hour}, stopped: true}, func(t *testing.T, k *kit) {
				twin := func(key string) manager.NewConnection {
					access, refresh := k.oracle.Issue(key)
					n := manager.NewConnection{Ref: grant.Ref{Key: key, App: "app"}, Tokens: &manager.Adoption{
						AccessToken: secret.New(access), RefreshToken: secret.New(refresh), ExpiresIn: time.Hour,
					}}
					vary(&n)
					return n
				}
				created, imported := twin("created"), twin("imported")
				_, _, err := k.Create(t.Context(), created)
				results := k.Import(t.Context(), []manager.NewConnection{imported})
				if code(results[0].Err) != code(err) || results[0].Created != (err == nil) {
					t.Fatalf("created: %v; imported: %+v", err, results[0])
				}
				if err != nil {
					return
				}
				ids := cmp.FilterPath(func(p cmp.Path) bool {
					switch p.Last().String() {
					case ".ID", ".ConnectionID", ".Connection", ".Grant", ".Key", ".Ref", ".DueAt", `["adopted"]`:
						return true
					}
					return false
				}, cmp.Ignore())
				if diff := cmp.Diff(k.everything(t, created.Ref), k.everything(t, imported.Ref), ids, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("(-created +imported):\n%s", diff)
				}
			})
		})
	}
}

// code is an error's problem code.
func code(err error) string {
	var told *evergrant.Error
	if errors.As(err, &told) {
		return told.Code
	}
	return ""
}

// everything is what there is of a connection.
func (k *kit) everything(t *testing.T, ref grant.Ref) any {
	t.Helper()
	c, err := k.Connection(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	grants, err := k.Grants(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	events, _, err := k.Events(t.Context(), store.EventFilter{ConnectionID: c.ID}, store.Page{Limit: 100}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return []any{c, grants, events}
}

// TestAnImportTakesLinesOfOneConnectionInTheirOrder mixes what is new with what
// exists and what comes twice.
func TestAnImportTakesLinesOfOneConnectionInTheirOrder(t *testing.T) {
	bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.Strict, AccessLife: time.Hour}}, func(t *testing.T, k *kit) {
		ref := func(i int) grant.Ref { return grant.Ref{Key: fmt.Sprint("biz_", i), App: "app"} }
		if _, _, err := k.Create(t.Context(), manager.NewConnection{Ref: ref(0), Name: "old"}); err != nil {
			t.Fatal(err)
		}
		var list []manager.NewConnection
		for round := range 4 {
			for i := range 5 {
				list = append(list, manager.NewConnection{Ref: ref(i), Name: fmt.Sprint("round ", round)})
			}
		}
		for i, r := range k.Import(t.Context(), list) {
			if r.Err != nil || r.Created != (i > 0 && i < 5) {
				t.Errorf("%d: %+v", i, r)
			}
		}
		for i := range 5 {
			if c, err := k.Connection(t.Context(), ref(i)); err != nil || c.Name != "round 3" {
				t.Errorf("%d: %q, %v", i, c.Name, err)
			}
		}
	})
}

// TestAnImportOfMoreThanOneTransaction goes beyond what a store takes at once.
func TestAnImportOfMoreThanOneTransaction(t *testing.T) {
	bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.Strict, AccessLife: time.Hour}}, func(t *testing.T, k *kit) {
		var list []manager.NewConnection
		for i := range store.MaxArrivals + 10 {
			list = append(list, manager.NewConnection{Ref: grant.Ref{Key: fmt.Sprint("biz_", i), App: "app"}})
		}
		for i, r := range k.Import(t.Context(), list) {
			if r.Err != nil || !r.Created {
				t.Fatalf("%d: %+v", i, r)
			}
		}
	})
}
