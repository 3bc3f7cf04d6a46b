package manager_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/store"
)

// deaf is a store that takes nothing of what became of an attempt.
type deaf struct {
	store.Store
	down *atomic.Bool
}

func (d *deaf) Settle(ctx context.Context, s store.Settlement) error {
	if d.down.Load() {
		return store.ErrUnavailable
	}
	return d.Store.Settle(ctx, s)
}

func (d *deaf) Park(ctx context.Context, o store.Orphan) error {
	if d.down.Load() {
		return store.ErrUnavailable
	}
	return d.Store.Park(ctx, o)
}

// TestHalfAnAnswerInAFormIsNotTakenForAWholeOneAfterACrash: unlike JSON, a form
// does not show that its end is missing, so whoever finds one in the journal has
// to be told.
func TestHalfAnAnswerInAFormIsNotTakenForAWholeOneAfterACrash(t *testing.T) {
	for _, missing := range []int{0, 3} {
		t.Run(fmt.Sprintf("%d bytes of the refresh token missing", missing), func(t *testing.T) {
			down, first := new(atomic.Bool), true
			o := kitOptions{
				oracle: oracle.Options{Rotation: oracle.Grace, Window: 30 * time.Minute},
				wrap:   func(s store.Store) store.Store { return &deaf{s, down} },
				front: func(o http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if !first {
							o.ServeHTTP(w, r)
							return
						}
						first = false
						answerInForm(w, r, o, missing)
					})
				},
			}
			bubble(t, o, func(t *testing.T, k *kit) {
				ref := k.adopt("cafe")
				down.Store(true)
				if r, err := k.Refresh(t.Context(), ref); err != nil || r[0].Refreshed {
					t.Fatalf("%+v, %v", r, err)
				}
				k.closeStack()
				down.Store(false)
				k.open(o)
				k.sleep(2*time.Hour + 5*time.Minute)
				if st := k.status(ref); st.State != grant.Connected {
					t.Errorf("it is %s/%s; the provider saw %+v", st.State, st.Reason, k.oracle.Report())
				}
				if r := k.oracle.Report(); r.Unknown != 0 {
					t.Errorf("%d refresh tokens were presented that were never issued", r.Unknown)
				}
			})
		})
	}
}

// answerInForm answers as o does, in a form, and cuts the connection when the
// last bytes are still missing.
func answerInForm(w http.ResponseWriter, r *http.Request, o http.Handler, missing int) {
	rec := httptest.NewRecorder()
	o.ServeHTTP(rec, r)
	var answer map[string]any
	_ = json.Unmarshal(rec.Body.Bytes(), &answer)
	form := url.Values{}
	for _, name := range []string{"access_token", "refresh_token"} { // in this order
		form.Set(name, fmt.Sprint(answer[name]))
	}
	text := form.Encode()
	w.Header().Set("Content-Type", "application/x-www-form-urlencoded")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)+1)) // its end never comes
	_, _ = w.Write([]byte(text[:len(text)-missing]))
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}
