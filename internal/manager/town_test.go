package manager_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/issue"
	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/provider"
)

// town is a provider whose users see different locations, in front of an oracle
// that knows nothing of that.
type town struct {
	mu    sync.Mutex
	owner map[string]string   // of a token
	sees  map[string][]string // by user
	reads map[string]int      // by user
	shut  map[string]bool     // users whose refreshes are answered 503
	down  bool                // the API
	gate  chan struct{}       // what the API's answers wait for; nil: nothing
}

func newTown(sees map[string][]string) *town {
	return &town{owner: make(map[string]string), sees: sees, reads: make(map[string]int), shut: make(map[string]bool)}
}

// options are a kit's in this town.
func (w *town) options() kitOptions {
	return kitOptions{
		oracle: oracle.Options{Rotation: oracle.Strict, AccessLife: time.Hour},
		app: func(o *provider.AppOptions) {
			o.Recipe.Discover = w.discover
			o.Recipe.Identify = func(t oauth.Token, _ map[string]string) grant.Identity {
				w.mu.Lock()
				defer w.mu.Unlock()
				return grant.Identity{Issuer: "town", Subject: w.owner[t.AccessToken.Reveal()], Account: "the group"}
			}
		},
		front: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/api/reach":
					w.serveReach(rw, r)
				case r.URL.Path == "/token":
					w.serveToken(rw, r, next)
				default:
					next.ServeHTTP(rw, r)
				}
			})
		},
	}
}

func (w *town) serveReach(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	gate := w.gate
	w.mu.Unlock()
	if gate != nil {
		<-gate
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	user := w.owner[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	w.reads[user]++
	if w.down {
		rw.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	_ = json.NewEncoder(rw).Encode(w.sees[user])
}

func (w *town) serveToken(rw http.ResponseWriter, r *http.Request, next http.Handler) {
	_ = r.ParseForm()
	w.mu.Lock()
	user := w.owner[r.PostForm.Get("refresh_token")]
	shut := w.shut[user]
	w.mu.Unlock()
	if shut {
		rw.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	answer := httptest.NewRecorder()
	next.ServeHTTP(answer, r)
	var tokens struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if json.Unmarshal(answer.Body.Bytes(), &tokens) == nil {
		w.own(user, tokens.Access, tokens.Refresh)
	}
	maps.Copy(rw.Header(), answer.Header())
	rw.WriteHeader(answer.Code)
	_, _ = rw.Write(answer.Body.Bytes())
}

func (w *town) own(user string, tokens ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range tokens {
		w.owner[t] = user
	}
}

func (w *town) discover(ctx context.Context, api provider.API) (provider.Reach, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, api.Base+"/reach", nil)
	if err != nil {
		return provider.Reach{}, err
	}
	res, err := api.Client.Do(req)
	if err != nil {
		return provider.Reach{}, err
	}
	defer res.Body.Close()
	var ids []string
	if res.StatusCode != http.StatusOK {
		return provider.Reach{}, fmt.Errorf("the town answers %d", res.StatusCode)
	}
	if err := json.NewDecoder(res.Body).Decode(&ids); err != nil {
		return provider.Reach{}, err
	}
	var reach provider.Reach
	for _, id := range ids {
		reach.Locations = append(reach.Locations, grant.Location{ID: id, Name: "Bar " + id})
	}
	return reach, nil
}

// let changes the town.
func (w *town) let(change func(w *town)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w)
}

// asked returns how often each user's reach was read so far.
func (w *town) asked() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.reads)
}

// approve has a user of the town approve, beside those who have.
func (w *town) approve(k *kit, ref grant.Ref, user string) grant.Grant {
	k.t.Helper()
	ctx := k.t.Context()
	c, _, err := k.Create(ctx, manager.NewConnection{Ref: ref})
	if err != nil {
		k.t.Fatal(err)
	}
	purpose := grant.PurposeAddGrant
	if c.Status.State == grant.Pending {
		purpose = grant.PurposeConnect
	}
	access, refresh := k.oracle.Issue(user)
	w.own(user, access, refresh)
	res, err := k.Issuer().Issue(ctx, issue.Request{
		App: k.app, Connection: c, AskedAt: time.Now(), Purpose: purpose,
		Token: oauth.Token{AccessToken: secret.New(access), RefreshToken: secret.New(refresh), Type: "Bearer", ExpiresIn: time.Hour},
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return res.Grant
}

// owners tells whose token is handed out for a location.
func (w *town) serves(k *kit, ref grant.Ref, o evergrant.TokenOptions) (string, error) {
	k.t.Helper()
	h, err := k.Handout(k.t.Context(), ref, o)
	if err != nil {
		return "", err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.owner[h.Token.AccessToken], nil
}

// expect fails the test unless the token for a location is this user's.
func (w *town) expect(k *kit, ref grant.Ref, o evergrant.TokenOptions, user string) {
	k.t.Helper()
	if got, err := w.serves(k, ref, o); err != nil || got != user {
		k.t.Errorf("the token for %q is %s's (%v), want %s's", o.Location, got, err, user)
	}
}

// inTown runs a test on fake time, with a business whose users have approved in
// turn.
func inTown(t *testing.T, sees map[string][]string, users []string, test func(t *testing.T, k *kit, w *town, ref grant.Ref, grants map[string]grant.Grant)) {
	w := newTown(sees)
	bubble(t, w.options(), func(t *testing.T, k *kit) {
		ref := grant.Ref{Key: "group", App: "app"}
		grants := make(map[string]grant.Grant)
		for _, user := range users {
			grants[user] = w.approve(k, ref, user)
		}
		test(t, k, w, ref, grants)
	})
}

// uncovered returns what nobody reaches.
func (k *kit) uncovered(ref grant.Ref) []string {
	k.t.Helper()
	c, err := k.Coverage(k.t.Context(), ref)
	if err != nil {
		k.t.Fatal(err)
	}
	return slices.Clone(c.Uncovered)
}
