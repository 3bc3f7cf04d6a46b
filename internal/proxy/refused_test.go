package proxy

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/provider"
)

func TestAnAnswerThatRefusesTheTokenIsRecognisedAndStaysWhole(t *testing.T) {
	// https://apidoc.kounta.com: O-Series answers 400.
	kounta := &provider.App{Recipe: provider.Recipe{Expired: []provider.Refusal{{Status: 400, Says: "access token provided has expired"}}}}
	p := New(Config{Apps: provider.Apps{"o": kounta, "k": {}}})
	cut := errors.New("cut")
	tests := []struct {
		app    string
		status int
		body   string
		want   bool
	}{
		{"o", 400, `{"error_description":"The access token provided has expired"}`, true},
		{"o", 400, `{"error":"bad request"}` + strings.Repeat(" ", 10_000), false},
		{"o", 400, strings.Repeat(" ", mostPeeked) + "access token provided has expired", false},
		{"o", 401, "", true},
		{"o", 403, "access token provided has expired", false},
		{"k", 400, "access token provided has expired", false},
		{"k", 401, "", true},
		{"gone", 400, "", false},
	}
	for _, tt := range tests {
		e := &exchange{p: p, handout: &manager.Handout{App: tt.app}}
		res := &http.Response{StatusCode: tt.status, Body: io.NopCloser(io.MultiReader(strings.NewReader(tt.body), iotest.ErrReader(cut)))}
		if got := e.refused(res); got != tt.want {
			t.Errorf("%s: %d %.50s refuses the token: %t", tt.app, tt.status, tt.body, got)
		}
		if body, err := io.ReadAll(res.Body); string(body) != tt.body || !errors.Is(err, cut) {
			t.Errorf("%s: %d: %d bytes of %d are left, %v", tt.app, tt.status, len(body), len(tt.body), err)
		}
	}
}
