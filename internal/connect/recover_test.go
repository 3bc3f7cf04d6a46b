package connect

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/spool"
	"github.com/evergrant/evergrant/internal/store"
)

// stranded leaves an exchange's answer in the spool and nowhere else, as a store
// that is down does.
func stranded(t *testing.T, k *kit, l CreatedLink) (client *http.Client, callback string) {
	t.Helper()
	client = k.browser(true)
	callback, _ = k.visit(client, anna, l.URL)
	k.store.set("Install", true)
	resp, body := k.get(client, callback)
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("answered %d", resp.StatusCode)
	}
	wants(t, body, "We could not save the connection", "Try again")
	if n := k.spool.Stats().Entries; n != 1 {
		t.Fatalf("%d spool entries, want 1", n)
	}
	return client, callback
}

// crashed is stranded, and then the process ends and another one begins with
// the entry it returns.
func crashed(t *testing.T, k *kit, l CreatedLink) (e spool.Entry, client *http.Client, callback string) {
	t.Helper()
	client, callback = stranded(t, k, l)
	return died(t, k), client, callback
}

// died ends the process of a stranded answer and begins another, and returns the
// entry that one finds.
func died(t *testing.T, k *kit) spool.Entry {
	t.Helper()
	k.svc.Close()
	k.store.set("Install", false)
	if err := k.spool.Close(); err != nil {
		t.Fatal(err)
	}
	var err error
	if k.spool, err = spool.Open(k.spoolOptions); err != nil {
		t.Fatal(err)
	}
	k.svc.c.Spool = k.spool
	pending := k.spool.Pending()
	if len(pending) != 1 {
		t.Fatalf("%d entries are pending, want 1", len(pending))
	}
	return pending[0]
}

func TestAnAnswerIsStoredOnceTheStoreIsBack(t *testing.T) {
	k := newKit(t, nil)
	k.svc.patience.again = time.Millisecond
	l := k.link("k-series", nil)
	client, callback := stranded(t, k, l)
	k.store.set("Install", false)
	// The reloaded page waits for what goes on behind it.
	if resp, _ := k.get(client, callback); resp.Request.URL.String() != l.URL+"/done" {
		t.Errorf("the reloaded callback ends at %s", resp.Request.URL)
	}
	k.svc.Close()
	if n := k.spool.Stats().Entries; n != 0 {
		t.Errorf("%d spool entries are left", n)
	}
	k.exchanged(1)
}

func TestAnAnswerThatCouldNotBeStoredIsRecovered(t *testing.T) {
	k := newKit(t, nil)
	l := k.link("k-series", nil)
	e, client, callback := crashed(t, k, l)
	for range 2 { // the second time changes nothing
		if err := k.svc.Recover(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	gs := k.grants("k-series")
	if len(gs) != 1 || gs[0].Version.Epoch != 1 || gs[0].Status.State != grant.Connected {
		t.Errorf("grants = %+v", gs)
	}
	if resp, _ := k.get(client, callback); resp.Request.URL.String() != l.URL+"/done" {
		t.Errorf("the reloaded callback ends at %s", resp.Request.URL)
	}
	k.exchanged(1)
}

func TestRecoveryWaitsForTheStore(t *testing.T) {
	k := newKit(t, nil)
	e, _, _ := crashed(t, k, k.link("k-series", nil))
	k.store.set("Install", true)
	if err := k.svc.Recover(t.Context(), e); !errors.Is(err, store.ErrUnavailable) {
		t.Error("an entry that is not stored was given up")
	}
}

func TestRecoveryDoesNotReplaceWhatIsNewer(t *testing.T) {
	tests := map[string]func(*kit, CreatedLink) string{
		"by the same link": func(_ *kit, l CreatedLink) string { return l.URL },
		"by another link":  func(k *kit, _ CreatedLink) string { return k.link("k-series", nil).URL },
	}
	for name, link := range tests {
		t.Run(name, func(t *testing.T) {
			k := newKit(t, nil)
			l := k.link("k-series", nil)
			e, _, _ := crashed(t, k, l)
			k.advance(time.Minute)
			if final, _ := k.visit(k.browser(false), anna, link(k, l)); final == "" {
				t.Fatal("the second visit went nowhere")
			}
			before := k.grants("k-series")
			if err := k.svc.Recover(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			if after := k.grants("k-series"); len(after) != 1 || after[0].Version != before[0].Version {
				t.Errorf("recovery changed %+v into %+v", before, after)
			}
		})
	}
}

func TestRecoveryOfWhatIsGoneIsDone(t *testing.T) {
	k := newKit(t, nil)
	if err := k.svc.Recover(t.Context(), spool.Entry{Kind: spool.Exchange, AttemptID: "auth_gone", App: "k-series"}); err != nil {
		t.Errorf("an authorization that is gone: %v", err)
	}
	if err := k.svc.Recover(t.Context(), spool.Entry{Kind: spool.Refresh, AttemptID: "att_1"}); err == nil {
		t.Error("a refresh was taken for a code exchange")
	}
}

func TestRecoveryRecordsWhatAnswerCannotBecomeAGrant(t *testing.T) {
	k := newKit(t, nil)
	l := k.link("k-series", nil)
	e, _, _ := crashed(t, k, l)
	e.Body = []byte("<html>")
	if err := k.svc.Recover(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if got := k.stored(l.Link.ID); got.State != grant.LinkStateFailed || got.Problem != grant.ProblemProviderUnavailable {
		t.Errorf("link is %s, %s", got.State, got.Problem)
	}
}

func TestRecoveryKeepsTheTokensOfAnAppThatIsNotConfigured(t *testing.T) {
	k := newKit(t, nil)
	e, _, _ := crashed(t, k, k.link("k-series", nil))
	delete(k.svc.c.Apps, "k-series")
	if err := k.svc.Recover(t.Context(), e); err == nil {
		t.Error("the entry was given up")
	}
}

func TestAFollowerDoesNotWaitForEver(t *testing.T) {
	k := newKit(t, nil)
	l := k.link("k-series", nil)
	_, client, callback := crashed(t, k, l)
	k.svc.patience.follow = 5 * time.Millisecond
	resp, body := k.get(client, callback)
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("answered %d", resp.StatusCode)
	}
	wants(t, body, "Let’s try that once more", "Continue")
}

func TestNothingIsExchangedWithoutRoomForTheAnswer(t *testing.T) {
	k := newKit(t, nil)
	l := k.link("k-series", nil)
	client := k.browser(true)
	callback, _ := k.visit(client, anna, l.URL)
	if err := k.spool.Close(); err != nil {
		t.Fatal(err)
	}
	resp, body := k.get(client, callback)
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("answered %d", resp.StatusCode)
	}
	wants(t, body, "We could not save the connection")
	k.exchanged(0)
}
