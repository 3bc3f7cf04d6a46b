package oauth

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/secret"
)

func TestATokenRequestCanBeJSON(t *testing.T) {
	var got map[string]string
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.RawQuery != "" || r.Header.Get("Content-Type") != "application/json" || json.Unmarshal(body, &got) != nil {
			t.Errorf("%s %v %q, %v", r.RequestURI, r.Header, body, err)
		}
	}))
	defer s.Close()
	sender := NewSender(SenderConfig{})
	defer sender.Close()
	a := sender.Send(t.Context(), Request{
		TokenURL: s.URL, Client: Client{ID: `a"b`, Secret: secret.New("s<&\u2028"), Auth: Post}, Encoding: JSON,
		Params: RefreshParams(secret.New("rt")), Fresh: true,
	})
	want := map[string]string{"client_id": `a"b`, "client_secret": "s<&\u2028", "grant_type": "refresh_token", "refresh_token": "rt"}
	if diff := cmp.Diff(want, got); diff != "" || !a.Sent || !a.Complete {
		t.Errorf("%+v (-want +got):\n%s", a, diff)
	}
}
