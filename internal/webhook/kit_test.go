package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/evergrant/evergrant/internal/event"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver is what listens at a webhook's address. Its answers are decided by the
// test; what it accepted, it remembers.
type receiver struct {
	t *testing.T
	// answer returns the status for a request and may set headers. Nil: 204.
	answer func(h http.Header, id string, n int) int

	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
	accepted []string      // webhook-ids answered 2xx, in order
	arrived  chan struct{} // of any request; big enough
}

func newReceiver(t *testing.T) *receiver {
	return &receiver{t: t, arrived: make(chan struct{}, 10_000)}
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		r.t.Error(err)
	}
	w.WriteHeader(r.take(req, string(body), w.Header()))
}

// RoundTrip makes it a transport, for tests on fake time.
func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	h := http.Header{}
	status := r.take(req, string(body), h)
	if status == 0 {
		return nil, fmt.Errorf("app.example: connection refused")
	}
	return &http.Response{StatusCode: status, Header: h, Body: http.NoBody, Request: req}, nil
}

func (r *receiver) take(req *http.Request, body string, h http.Header) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests, r.bodies = append(r.requests, req), append(r.bodies, body)
	id := req.Header.Get("webhook-id")
	status := http.StatusNoContent
	if r.answer != nil {
		status = r.answer(h, id, len(r.requests))
	}
	if status >= 200 && status <= 299 {
		r.accepted = append(r.accepted, id)
	}
	r.arrived <- struct{}{}
	return status
}

// got is what was accepted so far.
func (r *receiver) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.accepted...)
}

// wait waits for n requests.
func (r *receiver) wait(n int) {
	r.t.Helper()
	for range n {
		select {
		case <-r.arrived:
		case <-r.t.Context().Done():
			r.t.Fatal("the test ended before the requests came")
		}
	}
}

// verify checks a request as the specification of Standard Webhooks tells a
// receiver to, with nothing of ours.
func verify(t *testing.T, whsec string, h http.Header, body string) {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(whsec, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", h.Get("webhook-id"), h.Get("webhook-timestamp"), body)
	want := base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for part := range strings.SplitSeq(h.Get("webhook-signature"), " ") {
		version, signature, _ := strings.Cut(part, ",")
		if version == "v1" && hmac.Equal([]byte(signature), []byte(want)) {
			return
		}
	}
	t.Errorf("signature %q of %s does not verify", h.Get("webhook-signature"), h.Get("webhook-id"))
	if _, err := strconv.ParseInt(h.Get("webhook-timestamp"), 10, 64); err != nil {
		t.Error(err)
	}
}

// encode stands for the API's encoding.
func encode(e grant.Event) []byte {
	b, _ := json.Marshal(map[string]any{"id": e.ID, "type": e.Type, "connection": e.Connection})
	return b
}

const fileSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// kit is a store with a log and a service that delivers it.
type kit struct {
	*Service
	t     *testing.T
	store store.Store
	hub   *event.Hub
	ring  *seal.Ring
}

func newKit(t *testing.T) *kit {
	t.Helper()
	k := &kit{t: t, hub: event.NewHub(slog.New(slog.DiscardHandler))}
	var err error
	k.store, err = sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "db"), Published: k.hub.Publish})
	k.ok(err)
	t.Cleanup(func() { _ = k.store.Close() })
	k.ring, err = seal.Ephemeral()
	k.ok(err)
	return k
}

func (k *kit) ok(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

// service makes a process that delivers.
func (k *kit) service(s Store, client *http.Client, file ...Endpoint) *Service {
	return New(Config{Store: s, Ring: k.ring, Client: client, Grown: k.hub.Grown, Encode: encode, File: file,
		Logger: slog.New(slog.DiscardHandler), Random: func() float64 { return 0.5 }})
}

// start starts a process that delivers, until the returned function is called.
func (k *kit) start(s Store, client *http.Client, file ...Endpoint) (svc *Service, stop func()) {
	svc = k.service(s, client, file...)
	svc.Start()
	return svc, func() { k.ok(svc.Stop(context.Background())) }
}

func fileEndpoint(url string, types ...string) Endpoint {
	return Endpoint{Name: "app", URL: url, Types: types, Secrets: []secret.String{secret.New(fileSecret)}}
}

// emit appends events of a type and returns their ids.
func (k *kit) emit(n int, typ grant.EventType) []string {
	k.t.Helper()
	last, err := k.store.LastEvent(k.t.Context())
	k.ok(err)
	events := make([]grant.Event, n)
	for i := range events {
		events[i] = grant.Event{Type: typ, App: "k-series", Connection: "conn_1", Ref: "biz_1@k-series"}
	}
	k.ok(k.store.AppendEvents(k.t.Context(), events...))
	added, _, err := k.store.ListEvents(k.t.Context(), store.EventFilter{Types: []string{string(typ)}}, store.Page{Limit: 1000, Cursor: last})
	k.ok(err)
	var ids []string
	for _, e := range added {
		ids = append(ids, e.ID)
	}
	return ids
}

// hooked has the file's webhook known to the store, so that what follows is for it.
func (k *kit) hooked() {
	k.t.Helper()
	now := time.Now()
	k.ok(k.store.CreateWebhook(k.t.Context(), store.Webhook{ID: fileID("app"), Name: "app", FromFile: true, CreatedAt: now, UpdatedAt: now}))
}

// hook is the file's webhook as it is stored.
func (k *kit) hook() store.Webhook {
	k.t.Helper()
	all, err := k.store.Webhooks(k.t.Context())
	k.ok(err)
	for _, w := range all {
		if w.ID == fileID("app") {
			return w
		}
	}
	k.t.Fatal("there is no webhook")
	return store.Webhook{}
}
