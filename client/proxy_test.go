package client_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
)

func TestSend(t *testing.T) {
	t.Parallel()
	const ours = `{"type":"urn:evergrant:problem:needs_reauthorization","title":"t","status":409,"code":"needs_reauthorization","act_by":"merchant"}`
	var got []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = []string{r.Method, r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("X-Own"), r.Header.Get("Evergrant-Location"), string(body)}
		switch r.Method {
		case http.MethodPut:
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(w, ours)
		case http.MethodPatch:
			w.Header().Set("Content-Type", "application/problem+json; charset=utf-8")
			w.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(w, strings.ReplaceAll(ours, "urn:evergrant:problem:", "https://api.example/"))
		default:
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	defer srv.Close()
	c, err := client.New(client.Config{URL: srv.URL, Key: "evg_key"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdleConnections()

	a := client.APIRequest{Ref: "a/b@k", Method: http.MethodPost, Path: "/x%20y?q=%2F&r", Location: "7",
		Header: http.Header{"X-Own": {"1"}, "Authorization": {"Bearer mine"}}, Body: strings.NewReader("data")}
	res, err := c.Send(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	want := []string{"POST", "/proxy/a%2Fb@k/x%20y?q=%2F&r", "Bearer evg_key", "1", "7", "data"}
	if d := cmp.Diff(want, got); d != "" || res.StatusCode != http.StatusTeapot {
		t.Errorf("status %d, request (-want +got):\n%s", res.StatusCode, d)
	}
	if a.Header.Get("Authorization") != "Bearer mine" {
		t.Error("the caller's headers were changed")
	}

	_, err = c.Send(t.Context(), client.APIRequest{Ref: "a@k", Method: http.MethodPut, Path: "/"})
	var e *evergrant.Error
	if !errors.As(err, &e) || !errors.Is(err, evergrant.ErrReauthorize) || e.Ref != "a@k" {
		t.Errorf("the server's problem is %v", err)
	}
	res, err = c.Send(t.Context(), client.APIRequest{Ref: "a@k", Method: http.MethodPatch, Path: "/"})
	if err != nil {
		t.Fatalf("the provider's problem is an error of ours: %v", err)
	}
	body, err := io.ReadAll(res.Body)
	if _ = res.Body.Close(); err != nil || !strings.Contains(string(body), "https://api.example/needs_reauthorization") {
		t.Errorf("the provider's problem came as %q, %v", body, err)
	}
	for _, bad := range []client.APIRequest{{Path: "/"}, {Ref: "a@k"}, {Ref: "a@k", Path: "x"}, {Ref: "a@k", Path: "/", Method: "BAD METHOD"}} {
		if _, err := c.Send(t.Context(), bad); !errors.Is(err, evergrant.ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
