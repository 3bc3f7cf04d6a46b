package manager_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/secret"
)

// olderServer is that of R-Series: a refresh answers with the access token there
// is, until ten seconds before its end.
type olderServer struct {
	mu    sync.Mutex
	n     int
	ends  time.Time
	asked []time.Time
}

const olderLife = 3 * time.Minute

func (s *olderServer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.asked = append(s.asked, now)
	if s.ends.Sub(now) < 10*time.Second {
		s.n++
		s.ends = now.Add(olderLife)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": s.token(), "refresh_token": "rt", "token_type": "bearer",
		"expires_in": int(s.ends.Sub(now) / time.Second)})
}

func (s *olderServer) token() string { return "at-" + strconv.Itoa(s.n) }

func (s *olderServer) good(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return token == s.token() && time.Now().Before(s.ends)
}

// TestATokenThatIsRepeatedIsServedToItsEnd: whoever asks always gets a token that
// works, and the provider is asked twice in the life of one.
func TestATokenThatIsRepeatedIsServedToItsEnd(t *testing.T) {
	for _, window := range []time.Duration{30 * time.Second, time.Minute} {
		t.Run("renewed within "+window.String(), func(t *testing.T) {
			server := &olderServer{}
			bubble(t, kitOptions{
				oracle: oracle.Options{Rotation: oracle.Static, AccessLife: olderLife},
				front:  func(http.Handler) http.Handler { return server },
				policy: func(p *grant.Policy) {
					p.Rotation, p.RefreshPerMinute, p.RefreshWindow = grant.RetireOnUse, 5, window
				},
			}, func(t *testing.T, k *kit) {
				server.ends = time.Now().Add(olderLife)
				ref := grant.Ref{Key: "cafe", App: "app"}
				if _, _, err := k.Create(t.Context(), manager.NewConnection{Ref: ref, Tokens: &manager.Adoption{
					AccessToken: secret.New(server.token()), RefreshToken: secret.New("rt"), ExpiresIn: olderLife,
				}}); err != nil {
					t.Fatal(err)
				}
				const lives = 5
				for begun := time.Now(); time.Since(begun) < lives*olderLife; k.sleep(500 * time.Millisecond) {
					h, err := k.Handout(t.Context(), ref, evergrant.TokenOptions{})
					if err != nil {
						t.Fatalf("after %s: %v", time.Since(begun), err)
					}
					if !server.good(h.Token.AccessToken) {
						t.Fatalf("after %s: %s does not work", time.Since(begun), h.Token.AccessToken)
					}
				}
				if n := len(server.asked); n < lives || n > 2*lives+1 {
					t.Errorf("asked %d times in %d lives of a token: %v", n, lives, server.asked)
				}
			})
		})
	}
}

// TestATokenThatIsBeingRenewedIsNotServedToItsEnd: an open attempt moves the time
// its grant is due past the end of the token, which does not make it one that the
// provider repeats.
func TestATokenThatIsBeingRenewedIsNotServedToItsEnd(t *testing.T) {
	const life = 3 * time.Minute
	bubble(t, kitOptions{
		oracle: oracle.Options{Rotation: oracle.Strict, AccessLife: life},
		policy: func(p *grant.Policy) { p.RefreshWindow = 8 * time.Second },
	}, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		if _, err := k.Refresh(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		k.oracle.SetFault(func(oracle.Send) oracle.Fault { return oracle.Fault{After: 9 * time.Second} })
		k.sleep(life - 3*time.Second)
		if n := len(k.oracle.Sends()); n != 2 {
			t.Fatalf("%d requests were sent, want the second to be under way", n)
		}
		if h := k.token(ref); time.Until(h.Token.Expiry) < life/2 {
			t.Errorf("a token with %s left was served while its successor was on its way", time.Until(h.Token.Expiry))
		}
	})
}
