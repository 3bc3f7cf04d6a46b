package manager_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/provider"
)

// approve installs a grant of a connection, as a consent does.
func (k *kit) approve(connectionID, grantID, identity string, v grant.Version) {
	k.t.Helper()
	access, refresh := k.oracle.Issue(identity)
	cred := grant.Credential{AccessToken: secret.New(access), RefreshToken: secret.New(refresh), ExpiresAt: time.Now().Add(time.Hour)}
	plain, err := cred.Plaintext()
	if err != nil {
		k.t.Fatal(err)
	}
	sealed, err := k.ring.Seal(seal.Slot{Table: seal.Credentials, Row: grantID, Epoch: v.Epoch, Seq: v.Seq}, plain)
	if err != nil {
		k.t.Fatal(err)
	}
	now := time.Now()
	err = k.store.Install(k.t.Context(), store.Installation{Sealed: sealed, Grant: grant.Grant{
		ID: grantID, ConnectionID: connectionID, App: "app", Identity: grant.Identity{Subject: identity}, Version: v, Status: grant.Status{State: grant.Connected, Reason: grant.OK, Since: now},
		ConsentAt: now, IssuedAt: now, ExpiresAt: cred.ExpiresAt, DueAt: cred.ExpiresAt.Add(-time.Minute),
	}})
	if err != nil {
		k.t.Fatal(err)
	}
}

// Of two grants that a disconnect ended, one comes back: the next disconnect is told
// of too, whichever it was.
func TestEveryDisconnectIsToldOf(t *testing.T) {
	for name, back := range map[string]int{"the first comes back": 0, "the second comes back": 1} {
		t.Run(name, func(t *testing.T) {
			bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}}, func(t *testing.T, k *kit) {
				ref := k.adopt("cafe")
				c, err := k.Connection(t.Context(), ref)
				if err != nil {
					t.Fatal(err)
				}
				k.approve(c.ID, grant.NewID(grant.GrantID, time.Now()), "bo", grant.Version{Epoch: 1})
				for n := 1; n <= 2; n++ {
					if _, err := k.Disconnect(t.Context(), ref); err != nil {
						t.Fatal(err)
					}
					if told := k.count(grant.ConnectionDisconnected); told != n {
						t.Fatalf("after %d disconnects %d are told of", n, told)
					}
					grants, err := k.store.Grants(t.Context(), c.ID)
					if err != nil || len(grants) != 2 {
						t.Fatal(len(grants), err)
					}
					k.approve(c.ID, grants[back].ID, "ana", grant.Version{Epoch: grants[back].Version.Epoch + 1})
				}
			})
		})
	}
}

// twoSecrets is an app with an old client secret and a new one, of which the
// provider knows the new one.
func twoSecrets(front func(http.Handler) http.Handler) kitOptions {
	const newSecret = "n3w-s3cret"
	return kitOptions{
		oracle: oracle.Options{Rotation: oracle.FamilyKill, ClientID: "id", ClientSecret: newSecret},
		front: func(o http.Handler) http.Handler {
			knows := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if _, basic, _ := r.BasicAuth(); r.URL.Path == "/revoke" && basic != newSecret && r.PostFormValue("client_secret") != newSecret {
					w.WriteHeader(http.StatusUnauthorized)
				} else if r.URL.Path != "/revoke" {
					o.ServeHTTP(w, r)
				}
			})
			if front == nil {
				return knows
			}
			return front(knows)
		},
		app: func(a *provider.AppOptions) {
			a.Secrets = append(a.Secrets, secret.New(newSecret))
			a.Endpoints.Revoke = strings.TrimSuffix(a.Endpoints.Token, "/token") + "/revoke"
		},
	}
}

func TestATokenIsRevokedWithTheClientSecretThatWorks(t *testing.T) {
	bubble(t, twoSecrets(nil), func(t *testing.T, k *kit) {
		if _, err := k.Disconnect(t.Context(), k.adopt("cafe")); err != nil {
			t.Fatal(err)
		}
		events, _, err := k.store.ListEvents(t.Context(), store.EventFilter{Types: []string{string(grant.GrantRevoked)}}, store.Page{Limit: 10})
		if err != nil || !slices.ContainsFunc(events, func(e grant.Event) bool { return e.Data["at_provider"] == true }) {
			t.Errorf("the log says %+v, %v", events, err)
		}
	})
}
