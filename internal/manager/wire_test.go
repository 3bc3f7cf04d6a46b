package manager_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
)

// drip writes what until the client has gone, a piece a second.
func drip(what string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			if _, err := w.Write([]byte(what)); err != nil {
				return
			}
			if f, ok := w.(http.Flusher); ok {
				f.Flush()
			}
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
	}
}

// bomb is 64 MiB of spaces, compressed.
func bomb() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for range 64 {
		_, _ = z.Write(bytes.Repeat([]byte(" "), 1<<20))
	}
	_ = z.Close()
	return b.Bytes()
}

func TestAnAnswerMadeToHurtCostsNeitherTheGrantNorMoreThanItsTime(t *testing.T) {
	compressed := bomb()
	for name, answer := range map[string]http.HandlerFunc{
		"without an end": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(bytes.Repeat([]byte(`{"a":`), 10_000)); err != nil {
					return
				}
			}
		},
		"a byte a second": drip("{"),
		"no head at all":  func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"a compressed flood": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(compressed)
		},
		"a head of two megabytes": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Pad", strings.Repeat("x", 2<<20))
			w.WriteHeader(http.StatusOK)
		},
		"a deep nest": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(strings.Repeat(`{"access_token":`, 60_000)))
		},
	} {
		for _, rotation := range []string{oracle.Grace, oracle.FamilyKill} {
			t.Run(rotation+", "+name, func(t *testing.T) {
				var hurt atomic.Bool
				var longest atomic.Int64
				o := kitOptions{
					oracle: oracle.Options{Rotation: rotation, Window: 10 * time.Minute},
					front: func(o http.Handler) http.Handler {
						return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
							if !hurt.Load() {
								o.ServeHTTP(w, r)
								return
							}
							began := time.Now()
							_, _ = io.Copy(io.Discard, r.Body) // only then does the server see that the client has gone
							answer(w, r)
							longest.Store(max(longest.Load(), int64(time.Since(began))))
						})
					},
				}
				bubble(t, o, func(t *testing.T, k *kit) {
					ref := k.adopt("cafe")
					hurt.Store(true)
					k.sleep(time.Hour)
					hurt.Store(false)
					k.sleep(30 * time.Second)
					if h := k.token(ref); h.State != grant.Connected || !k.oracle.AccessValid(h.Token.AccessToken) {
						t.Errorf("it is %s after the provider came to its senses", h.State)
					}
					if d := time.Duration(longest.Load()); d > 11*time.Second {
						t.Errorf("a request took %s", d)
					}
				})
			})
		}
	}
}

func TestTokensOfSixtyKilobytesLiveOn(t *testing.T) {
	o := kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill, Pad: 60_000}}
	bubble(t, o, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		for range 3 {
			k.sleep(time.Hour)
			k.closeStack()
			k.open(o)
			if h := k.token(ref); !k.oracle.AccessValid(h.Token.AccessToken) {
				t.Fatal("the token does not work")
			}
		}
		if r := k.oracle.Report(); r.Sends != 3 {
			t.Errorf("%+v", r)
		}
	})
}
