package cli

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/secret"
)

func TestAForwardedEventIsAWebhook(t *testing.T) {
	t.Parallel()
	key := []byte("twenty-four bytes or more")
	var got *http.Request
	var body []byte
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		got = r
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusFound)
	}))
	defer srv.Close()
	s := &session{ctx: t.Context()}
	to := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer to.CloseIdleConnections()
	status, err := s.forward(to, srv.URL+"/hook", secret.New("whsec_"+base64.StdEncoding.EncodeToString(key)), "evt_1", []byte(`{"id":"evt_1"}`))
	if err != nil || status != "302 Found" || got.URL.Path != "/hook" || got.Header.Get("Webhook-Id") != "evt_1" {
		t.Fatalf("%q, %v, %v", status, err, got)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("evt_1." + got.Header.Get("Webhook-Timestamp") + "." + string(body)))
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); got.Header.Get("Webhook-Signature") != want {
		t.Errorf("signature %q, want %q", got.Header.Get("Webhook-Signature"), want)
	}

	if _, err := s.forward(to, srv.URL, secret.String{}, "evt_2", []byte("{}")); err != nil || got.Header.Get("Webhook-Signature") != "" {
		t.Errorf("without a secret: %v, %q", err, got.Header.Get("Webhook-Signature"))
	}
	srv.Close()
	if _, err := s.forward(to, srv.URL, secret.String{}, "evt_3", nil); err == nil || strings.Contains(err.Error(), "Post") {
		t.Errorf("nobody there: %v", err)
	}
}
