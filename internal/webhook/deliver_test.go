package webhook

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/store"
)

// outbound is the client that production uses.
func outbound(t *testing.T) *http.Client {
	t.Helper()
	sender := oauth.NewSender(oauth.SenderConfig{UserAgent: "evergrant/test"})
	t.Cleanup(sender.Close)
	return sender.OutboundClient(Timeout)
}

func TestEventsArriveInOrderSignedAndOnlyThoseAskedFor(t *testing.T) {
	k := newKit(t)
	r := newReceiver(t)
	server := httptest.NewServer(r)
	defer server.Close()
	k.hooked()
	svc, stop := k.start(k.store, outbound(t), fileEndpoint(server.URL+"/hooks", "connection.*", "link.completed"))
	made, whsec, err := svc.Create(t.Context(), store.Webhook{Name: "second", URL: server.URL + "/second", Types: []string{"link.*"}})
	k.ok(err)

	want := k.emit(3, grant.ConnectionConnected)
	k.emit(2, grant.GrantRefreshed)
	links := k.emit(1, grant.LinkCompleted)
	want = append(want, links...)
	r.wait(5) // four, and one for the second webhook
	stop()

	r.mu.Lock()
	defer r.mu.Unlock()
	var first, second []string
	for i, req := range r.requests {
		id := req.Header.Get("Webhook-Id")
		switch req.URL.Path {
		case "/hooks":
			first = append(first, id)
			verify(t, fileSecret, req.Header, r.bodies[i])
		case "/second":
			second = append(second, id)
			verify(t, whsec.Reveal(), req.Header, r.bodies[i])
		}
		at, err := strconv.ParseInt(req.Header.Get("Webhook-Timestamp"), 10, 64)
		if err != nil || time.Since(time.Unix(at, 0)).Abs() > time.Minute {
			t.Errorf("timestamp %q", req.Header.Get("Webhook-Timestamp"))
		}
		if req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/json" || req.Header.Get("User-Agent") != "evergrant/test" {
			t.Errorf("%s %v", req.Method, req.Header)
		}
		if !strings.Contains(r.bodies[i], `"`+id+`"`) {
			t.Errorf("body %s of %s", r.bodies[i], id)
		}
	}
	if d := cmp.Diff(want, first); d != "" {
		t.Errorf("first webhook (-want +got):\n%s", d)
	}
	if d := cmp.Diff(links, second); d != "" {
		t.Errorf("second webhook (-want +got):\n%s", d)
	}
	w, err := k.store.UpdateWebhook(t.Context(), made.ID, func(*store.Webhook) error { return nil })
	k.ok(err)
	if w.Cursor != links[0] || w.Sent != 1 {
		t.Errorf("the second webhook is at %s after %d deliveries, want %s after 1", w.Cursor, w.Sent, links[0])
	}
	if strings.Contains(string(w.Sealed), strings.TrimPrefix(whsec.Reveal(), "whsec_")) {
		t.Error("the store has the signing secret in the open")
	}
}

func TestAFailedDeliveryIsRepeatedLaterAndLaterWithoutPassingItOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		r := newReceiver(t)
		var at []time.Duration
		begin := time.Now()
		r.answer = func(h http.Header, _ string, n int) int {
			at = append(at, time.Since(begin).Round(time.Second))
			switch {
			case n == 2:
				return 0 // no answer at all
			case n == 5:
				h.Set("Retry-After", "7200")
				return http.StatusTooManyRequests
			case n < 7:
				return http.StatusInternalServerError
			}
			return http.StatusOK
		}
		k.hooked()
		want := k.emit(2, grant.ConnectionConnected)
		_, stop := k.start(k.store, &http.Client{Transport: r}, fileEndpoint("https://app.example/"))
		time.Sleep(6 * time.Hour)
		stop()
		// 5 s, 10 s, 20 s, 40 s, what was asked for, 160 s.
		wantAt := []time.Duration{0, 5, 15, 35, 75, 7275, 7435, 7435}
		for i := range wantAt {
			wantAt[i] *= time.Second
		}
		if d := cmp.Diff(wantAt, at); d != "" {
			t.Errorf("deliveries (-want +got):\n%s", d)
		}
		if d := cmp.Diff(want, r.got()); d != "" {
			t.Errorf("accepted (-want +got):\n%s", d)
		}
		deliveries, _, err := k.store.Deliveries(t.Context(), fileID("app"), store.Page{Limit: 10})
		k.ok(err)
		var said []string
		for _, d := range slices.Backward(deliveries) {
			said = append(said, strconv.Itoa(d.Attempt)+" "+strconv.Itoa(d.Status)+" "+d.Error)
		}
		wantSaid := []string{"1 500 it answered 500 Internal Server Error", "2 0 app.example: connection refused",
			"3 500 it answered 500 Internal Server Error", "4 500 it answered 500 Internal Server Error", "5 429 it answered 429 Too Many Requests",
			"6 500 it answered 500 Internal Server Error", "7 200 ", "1 200 "}
		if d := cmp.Diff(wantSaid, said); d != "" {
			t.Errorf("deliveries (-want +got):\n%s", d)
		}
		if w := k.hook(); w.Cursor != want[1] || w.Failures != 0 || !w.NextAt.IsZero() || !w.FailingSince.IsZero() {
			t.Errorf("the webhook is at %+v", w.Progress)
		}
	})
}

func TestAWebhookThatAcceptsNothingForDaysIsDisabledAndGoesOnWhereItStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		r := newReceiver(t)
		sick := true
		r.answer = func(http.Header, string, int) int {
			if sick {
				return http.StatusBadGateway
			}
			return http.StatusOK
		}
		k.hooked()
		want := k.emit(3, grant.ConnectionConnected)
		svc, stop := k.start(k.store, &http.Client{Transport: r}, fileEndpoint("https://app.example/", "connection.*"))
		defer stop()
		time.Sleep(GiveUpAfter - time.Hour)
		if w := k.hook(); !w.DisabledAt.IsZero() {
			t.Fatalf("it is disabled after less than %s: %+v", GiveUpAfter, w.Progress)
		}
		time.Sleep(3 * time.Hour)
		w := k.hook()
		if w.DisabledBecause != BecauseFailing || w.Cursor != "" {
			t.Fatalf("after %s it is %+v", GiveUpAfter, w.Progress)
		}
		tried := len(r.requests)
		if tried < 100 || tried > 150 {
			t.Errorf("it was tried %d times, want once an hour in the end", tried)
		}
		events, _, err := k.store.ListEvents(t.Context(), store.EventFilter{Types: []string{"webhook.*"}}, store.Page{Limit: 10})
		k.ok(err)
		if len(events) != 1 || events[0].Type != grant.WebhookDisabled || events[0].ActBy() != grant.Operator || events[0].Data["because"] != BecauseFailing {
			t.Errorf("the log says %+v", events)
		}
		time.Sleep(24 * time.Hour)
		want = append(want, k.emit(1, grant.ConnectionRecovered)...)
		if len(r.requests) != tried {
			t.Error("something was sent to a disabled webhook")
		}
		sick = false
		yes := true
		_, err = svc.Change(t.Context(), "app", Change{Enabled: &yes})
		k.ok(err)
		time.Sleep(time.Minute)
		if d := cmp.Diff(want, r.got()); d != "" {
			t.Errorf("accepted (-want +got):\n%s", d)
		}
	})
}

func TestGoneDisablesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		r := newReceiver(t)
		r.answer = func(http.Header, string, int) int { return http.StatusGone }
		k.hooked()
		k.emit(2, grant.ConnectionConnected)
		_, stop := k.start(k.store, &http.Client{Transport: r}, fileEndpoint("https://app.example/", "connection.*"))
		time.Sleep(24 * time.Hour)
		stop()
		if w := k.hook(); w.DisabledBecause != BecauseGone || len(r.requests) != 1 {
			t.Errorf("after 410 it is %+v, with %d requests", w.Progress, len(r.requests))
		}
	})
}

// lossy is a store that loses the record of deliveries while it is told to: the
// process dies between the answer and the write.
type lossy struct {
	store.Store
	lose atomic.Bool
}

func (l *lossy) AdvanceWebhook(ctx context.Context, id, owner string, p store.Progress, d *store.WebhookDelivery, events ...grant.Event) error {
	if l.lose.Load() {
		return store.ErrStale
	}
	return l.Store.AdvanceWebhook(ctx, id, owner, p, d, events...)
}

func TestADeliveryThatWasNotRecordedIsRepeatedUnderTheSameId(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		r := newReceiver(t)
		k.hooked()
		want := k.emit(2, grant.ConnectionConnected)
		dying := &lossy{Store: k.store}
		dying.lose.Store(true)
		_, crash := k.start(dying, &http.Client{Transport: r}, fileEndpoint("https://app.example/"))
		r.wait(1)
		crash()
		_, stop := k.start(k.store, &http.Client{Transport: r}, fileEndpoint("https://app.example/"))
		time.Sleep(2 * store.WebhookLease)
		stop()
		if d := cmp.Diff([]string{want[0], want[0], want[1]}, r.got()); d != "" {
			t.Errorf("accepted (-want +got):\n%s", d)
		}
	})
}

func TestOfTwoProcessesOneDeliversAndTheOtherTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		r := newReceiver(t)
		k.hooked()
		e := fileEndpoint("https://app.example/")
		_, stopA := k.start(k.store, &http.Client{Transport: r}, e)
		_, stopB := k.start(k.store, &http.Client{Transport: r}, e)
		var want []string
		for range 20 {
			want = append(want, k.emit(3, grant.ConnectionConnected)...)
			time.Sleep(7 * time.Second)
		}
		stopA()
		want = append(want, k.emit(3, grant.ConnectionConnected)...)
		time.Sleep(store.WebhookLease)
		stopB()
		if d := cmp.Diff(want, r.got()); d != "" {
			t.Errorf("accepted (-want +got):\n%s", d)
		}
	})
}

func TestAQuietWebhooksCursorFollowsTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		r := newReceiver(t)
		k.hooked()
		_, stop := k.start(k.store, &http.Client{Transport: r}, fileEndpoint("https://app.example/", "connection.*"))
		var last []string
		for range 5 {
			last = k.emit(10, grant.GrantRefreshed)
			time.Sleep(time.Minute)
		}
		time.Sleep(2 * time.Minute)
		stop()
		if w := k.hook(); w.Cursor != last[9] || len(r.requests) != 0 {
			t.Errorf("the cursor is %s, want %s; %d requests", w.Cursor, last[9], len(r.requests))
		}
	})
}

func TestATestIsSentAtOnceAndWakesWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		r := newReceiver(t)
		r.answer = func(_ http.Header, _ string, n int) int {
			if n <= 10 {
				return http.StatusServiceUnavailable
			}
			return http.StatusOK
		}
		k.hooked()
		want := k.emit(1, grant.ConnectionConnected)
		svc, stop := k.start(k.store, &http.Client{Transport: r}, fileEndpoint("https://app.example/"))
		defer stop()
		r.wait(10)
		synctest.Wait()
		d, err := svc.Test(t.Context(), "app")
		k.ok(err)
		if d.Error != "" || d.Status != http.StatusOK || d.Type != grant.WebhookTest {
			t.Errorf("the test came to %+v", d)
		}
		time.Sleep(time.Second)
		if got := r.got(); len(got) != 2 || got[1] != want[0] {
			t.Errorf("accepted %v, want the test and %s", got, want[0])
		}
		verify(t, fileSecret, r.requests[10].Header, r.bodies[10])
	})
}

func TestSecretsRotateWithoutAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		r := newReceiver(t)
		svc, stop := k.start(k.store, &http.Client{Transport: r})
		defer stop()
		w, old, err := svc.Create(t.Context(), store.Webhook{Name: "app", URL: "https://app.example/"})
		k.ok(err)
		_, fresh, err := svc.Rotate(t.Context(), "app")
		k.ok(err)
		k.emit(1, grant.ConnectionConnected)
		r.wait(1)
		verify(t, old.Reveal(), r.requests[0].Header, r.bodies[0])
		verify(t, fresh.Reveal(), r.requests[0].Header, r.bodies[0])
		time.Sleep(25 * time.Hour)
		k.emit(1, grant.ConnectionConnected)
		r.wait(1)
		verify(t, fresh.Reveal(), r.requests[1].Header, r.bodies[1])
		if s := r.requests[1].Header.Get("webhook-signature"); strings.Contains(s, " ") {
			t.Errorf("a day later it is signed %q: the old secret must not sign any more", s)
		}
		k.ok(svc.Delete(t.Context(), w.ID))
		k.emit(1, grant.ConnectionConnected)
		time.Sleep(time.Hour)
		if len(r.requests) != 2 {
			t.Error("something was sent to a webhook that was deleted")
		}
	})
}

// TestADeletedWebhookGetsNothingOfWhatComesLater deletes a webhook just after a
// delivery to it, when news of both waits for the loop.
func TestADeletedWebhookGetsNothingOfWhatComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		r := newReceiver(t)
		svc := k.service(k.store, &http.Client{Transport: r})
		var id string
		svc.c.Counted = func(string, string) {
			k.ok(svc.Delete(t.Context(), id))
			k.emit(1, grant.ConnectionConnected)
		}
		svc.Start()
		defer func() { k.ok(svc.Stop(context.Background())) }()
		const rounds = 20 // which news it takes first is chance
		for n := range rounds {
			w, _, err := svc.Create(t.Context(), store.Webhook{Name: "app", URL: "https://app.example/"})
			k.ok(err)
			id = w.ID
			k.emit(1, grant.ConnectionConnected)
			r.wait(1)
			time.Sleep(time.Hour)
			if len(r.requests) != n+1 {
				t.Fatalf("%d requests for %d webhooks that were deleted after the first", len(r.requests), n+1)
			}
		}
	})
}

func TestPrivateAddressesAndRedirectsAreNotFollowed(t *testing.T) {
	k := newKit(t)
	target := newReceiver(t)
	elsewhere := httptest.NewServer(target)
	defer elsewhere.Close()
	moved := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer moved.Close()
	svc := k.service(k.store, outbound(t))
	for url, want := range map[string]string{
		"https://10.0.0.1/":                         "not public",
		"https://169.254.169.254/latest/meta-data/": "not public",
		"https://[fd00::1]/":                        "not public",
		moved.URL:                                   "it answered 307 Temporary Redirect; redirects are not followed",
	} {
		w, _, err := svc.Create(t.Context(), store.Webhook{URL: url})
		k.ok(err)
		d, err := svc.Test(t.Context(), w.ID)
		k.ok(err)
		if !strings.Contains(d.Error, want) {
			t.Errorf("%s: the delivery says %q, want %q", url, d.Error, want)
		}
		if strings.Contains(d.Error, "meta-data") {
			t.Errorf("the delivery tells the path of the URL: %q", d.Error)
		}
	}
	if len(target.requests) != 0 {
		t.Error("a redirect was followed")
	}
}

func TestAWebhookOfTheFileIsChangedThere(t *testing.T) {
	k := newKit(t)
	k.hooked()
	svc := k.service(k.store, outbound(t), fileEndpoint("https://app.example/"))
	url := "https://other.example/"
	if _, err := svc.Change(t.Context(), "app", Change{URL: &url}); !errors.Is(err, ErrFile) {
		t.Errorf("changing it: %v", err)
	}
	if err := svc.Delete(t.Context(), "app"); !errors.Is(err, ErrFile) {
		t.Errorf("deleting it: %v", err)
	}
	if _, _, err := svc.Rotate(t.Context(), "app"); !errors.Is(err, ErrFile) {
		t.Errorf("rotating its secret: %v", err)
	}
	no := false
	w, err := svc.Change(t.Context(), "app", Change{Enabled: &no})
	k.ok(err)
	if w.DisabledBecause != BecauseOperator || w.URL != "https://app.example/" {
		t.Errorf("disabled it is %+v", w)
	}
	if _, _, err := svc.Create(t.Context(), store.Webhook{Name: "app", URL: url}); !errors.Is(err, store.ErrExists) {
		t.Errorf("another of its name: %v", err)
	}
}
