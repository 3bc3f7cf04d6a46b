package manager_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/provider"
	"github.com/evergrant/evergrant/provider/lightspeed"
)

// perRetailer is an app of X-Series whose retailers are segments of a path, in
// front of an oracle that knows nothing of that. seen is told of every request.
func perRetailer(seen func(path string)) kitOptions {
	return kitOptions{
		oracle: oracle.Options{Rotation: oracle.Strict, AccessLife: time.Hour},
		app: func(o *provider.AppOptions) {
			const at = "http://127.0.0.1:1/x/{domain_prefix}"
			o.Recipe, o.Scopes = lightspeed.X(), []string{"sales:read"}
			o.Endpoints = provider.Endpoints{Authorize: "http://127.0.0.1:1/authorize", Token: at + "/token", Revoke: at + "/revoke", API: at + "/api"}
		},
		front: func(oracle http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				seen(r.URL.Path)
				if r.UserAgent() == "" {
					http.Error(w, "who asks?", http.StatusForbidden)
					return
				}
				r.URL.Path = r.URL.Path[strings.LastIndex(r.URL.Path, "/"):]
				oracle.ServeHTTP(w, r)
			})
		},
	}
}

// TestEachConnectionIsRenewedAtItsOwnHost: what the endpoints are made of stays
// with the grant.
func TestEachConnectionIsRenewedAtItsOwnHost(t *testing.T) {
	var (
		mu   sync.Mutex
		asks = make(map[string]int)
	)
	o := perRetailer(func(path string) {
		mu.Lock()
		defer mu.Unlock()
		asks[path]++
	})
	bubble(t, o, func(t *testing.T, k *kit) {
		for _, prefix := range []string{"velonord", "otherbikes"} {
			access, refresh := k.oracle.Issue(prefix)
			ref := grant.Ref{Key: prefix, App: "app"}
			if _, _, err := k.Create(t.Context(), manager.NewConnection{Ref: ref, Tokens: &manager.Adoption{
				AccessToken: secret.New(access), RefreshToken: secret.New(refresh), ExpiresIn: time.Hour,
				Variables: map[string]string{"domain_prefix": prefix},
			}}); err != nil {
				t.Fatal(err)
			}
			for range 3 { // from the store, and after renewals
				if got, want := k.token(ref).Token.BaseURL, "http://127.0.0.1:1/x/"+prefix+"/api"; got != want {
					t.Errorf("base_url = %q, want %q", got, want)
				}
				time.Sleep(59*time.Minute + 50*time.Second)
			}
			if gs, err := k.Grants(t.Context(), ref); err != nil || gs[0].Identity.Account != prefix || gs[0].Version.Seq < 2 {
				t.Errorf("grants = %+v, %v", gs, err)
			}
			if _, err := k.Disconnect(t.Context(), ref); err != nil {
				t.Fatal(err)
			}
		}
	})
	for _, prefix := range []string{"velonord", "otherbikes"} {
		if asks["/x/"+prefix+"/token"] < 2 || asks["/x/"+prefix+"/revoke"] != 1 {
			t.Errorf("requests = %v", asks)
		}
	}
	if len(asks) != 4 {
		t.Errorf("requests = %v", asks)
	}
}

func TestAdoptedTokensMustSayWhoseTheyAre(t *testing.T) {
	var asked []string
	bubble(t, perRetailer(func(path string) { asked = append(asked, path) }), func(t *testing.T, k *kit) {
		for _, vars := range []map[string]string{nil, {"domain_prefix": "evil.example"}, {"domain_prefix": ""}, {"prefix": "velonord"}} {
			ref := grant.Ref{Key: "velonord", App: "app"}
			_, _, err := k.Create(t.Context(), manager.NewConnection{Ref: ref, Tokens: &manager.Adoption{
				AccessToken: secret.New("a"), RefreshToken: secret.New("r"), Variables: vars,
			}})
			if !errors.Is(err, evergrant.ErrInvalid) {
				t.Errorf("%v: %v", vars, err)
			}
			if _, err := k.Connection(t.Context(), ref); !errors.Is(err, evergrant.ErrNotFound) {
				t.Errorf("a connection was made: %v", err)
			}
		}
	})
	if len(asked) > 0 {
		t.Errorf("requests = %q", asked)
	}
}

// TestTheSameTokenAgainIsNotAskedForAgain: R-Series' older server answers the
// refresh of a token that lives with that token and the time it has left, and
// with a new one when less than 10 s are left
// (https://developers.lightspeedhq.com/retail/introduction/changelog/). A server
// that states the full life again must not have a dead token served either.
func TestTheSameTokenAgainIsNotAskedForAgain(t *testing.T) {
	for name, honest := range map[string]bool{"with the time it has left": true, "with a full life": false} {
		t.Run(name, func(t *testing.T) {
			const life = 30 * time.Minute
			var (
				mu     sync.Mutex
				number int
				ends   time.Time
				asked  []time.Time
			)
			old := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				now := time.Now()
				asked = append(asked, now)
				if ends.Sub(now) < 10*time.Second {
					number, ends = number+1, now.Add(life)
				}
				stated := life
				if honest {
					stated = ends.Sub(now)
				}
				w.Header().Set("Content-Type", "application/json")
				_, _ = fmt.Fprintf(w, `{"access_token":"at-%d","expires_in":%d,"token_type":"bearer","scope":"employee:all systemuserid:123456","refresh_token":"rt"}`,
					number, int(stated.Seconds()))
			})
			o := kitOptions{
				app: func(o *provider.AppOptions) {
					o.Recipe, o.Scopes, o.Policy = lightspeed.R(), []string{"employee:all"}, nil
				},
				front: func(http.Handler) http.Handler { return old },
			}
			bubble(t, o, func(t *testing.T, k *kit) {
				ends = time.Now().Add(life)
				ref := grant.Ref{Key: "velo", App: "app"}
				if _, _, err := k.Create(t.Context(), manager.NewConnection{Ref: ref, Tokens: &manager.Adoption{
					AccessToken: secret.New("at-0"), RefreshToken: secret.New("rt"), ExpiresIn: life,
				}}); err != nil {
					t.Fatal(err)
				}
				const day = 24 * time.Hour
				without := 0
				for began := time.Now(); time.Since(began) < day; time.Sleep(7 * time.Second) {
					h, err := k.Handout(t.Context(), ref, evergrant.TokenOptions{MinValid: time.Second})
					if err != nil {
						without++ // a refresh every 12 s at most; nothing dead is served meanwhile
						continue
					}
					mu.Lock()
					if want := fmt.Sprintf("at-%d", number); h.Token.AccessToken != want || !time.Now().Before(ends) {
						t.Errorf("%s is served, %s is good until %v", h.Token.AccessToken, want, time.Until(ends))
					}
					mu.Unlock()
				}
				mu.Lock()
				defer mu.Unlock()
				if lives := int(day / life); len(asked) > 3*lives || without > 3*lives {
					t.Errorf("%d refreshes in the lives of %d tokens, and %d times none was to be had", len(asked), lives, without)
				}
				for i := 5; i < len(asked); i++ {
					if d := asked[i].Sub(asked[i-5]); d < time.Minute {
						t.Errorf("6 refreshes within %v", d)
					}
				}
			})
		})
	}
}
