package manager_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/spool"
	"github.com/evergrant/evergrant/internal/store"
)

// A provider that refuses the old client secret by a body of status 200 has not used
// up the journal's room for what it says to the new one.
func TestWhatTheSecondClientSecretBringsIsJournaled(t *testing.T) {
	var commit atomic.Bool
	o := twoSecrets(func(o http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answer := httptest.NewRecorder()
			o.ServeHTTP(answer, r)
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(answer.Body.Bytes())
		})
	})
	o.wrap = func(s store.Store) store.Store { return &failing{Store: s, commit: &commit} }
	bubble(t, o, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		commit.Store(true)
		k.sleep(time.Hour - 5*time.Second)
		if h := k.token(ref); !k.oracle.AccessValid(h.Token.AccessToken) {
			t.Error("a journaled token is not served")
		}
		k.closeStack() // nothing was committed
		commit.Store(false)
		k.open(o)
		if h := k.token(ref); !k.oracle.AccessValid(h.Token.AccessToken) {
			t.Error("the journal did not have it")
		}
		k.sleep(3 * time.Hour)
		if n := k.spool.Stats().Entries; n != 0 || len(k.oracle.Report().Dead) != 0 {
			t.Errorf("%d entries are left in the journal, %v is dead", n, k.oracle.Report().Dead)
		}
	})
}

func TestAFullJournalIsTheOperatorsAndTemporary(t *testing.T) {
	bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}}, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		old := k.token(ref).Token
		var rooms []*spool.Slot
		for {
			room, err := k.spool.Reserve()
			if err != nil {
				break
			}
			rooms = append(rooms, room)
		}
		k.sleep(50 * time.Minute)
		h, err := k.RejectHandout(t.Context(), ref, old.Fingerprint)
		if err != nil || len(h.Warnings) == 0 || h.Warnings[0] != string(grant.StoreUnavailable) {
			t.Errorf("who rejects the token is answered %+v, %v", h, err)
		}
		k.sleep(10 * time.Minute)
		_, err = k.Handout(t.Context(), ref, evergrant.TokenOptions{})
		var e *evergrant.Error
		if !errors.As(err, &e) || !errors.Is(err, evergrant.ErrTemporary) || e.ActBy != evergrant.ActOperator || e.RetryAfter <= 0 {
			t.Errorf("who needs a token is told %v", err)
		}
		if all, err := k.Refresh(t.Context(), ref); err != nil || len(all) != 1 || all[0].Refreshed || all[0].Reason != grant.StoreUnavailable {
			t.Errorf("who demands a refresh is answered %+v, %v", all, err)
		}
		for _, room := range rooms {
			room.Release()
		}
		k.sleep(10 * time.Second)
		if h := k.token(ref); !k.oracle.AccessValid(h.Token.AccessToken) || len(k.oracle.Sends()) != 1 {
			t.Errorf("with room again %d requests were sent, want 1", len(k.oracle.Sends()))
		}
	})
}
