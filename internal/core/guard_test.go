package core

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAPanicIsA500ThatTellsOnlyTheLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	h := recovered(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("the cause") }),
		slog.New(slog.NewTextHandler(&log, nil)))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/x", nil))
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "cause") {
		t.Errorf("answer is %d %q", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "the cause") || !strings.Contains(log.String(), "guard_test.go") {
		t.Errorf("the log lacks the cause or the stack: %s", &log)
	}
}

func TestAnAbortedAnswerStaysAborted(t *testing.T) {
	t.Parallel()
	defer func() {
		if v := recover(); v == nil || !errors.Is(v.(error), http.ErrAbortHandler) {
			t.Errorf("recovered %v", v)
		}
	}()
	h := recovered(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
		slog.New(slog.DiscardHandler))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/x", nil))
}

func TestOnlyRequestsThatWaitForNewsEndWhenTheServerStops(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, method, target string
		ends                 bool
	}{
		{"a long poll ends", http.MethodGet, "/v1/events?wait=30s", true},
		{"a token request goes on", http.MethodGet, "/v1/connections/a@b/token", false},
		{"a change goes on", http.MethodPost, "/v1/links?wait=30s", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			news, drain := context.WithCancel(t.Context())
			drain()
			var ended bool
			h := untilDrained(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if tt.ends {
					<-r.Context().Done()
				}
				ended = r.Context().Err() != nil
			}), news)
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(tt.method, tt.target, nil))
			if ended != tt.ends {
				t.Errorf("ended: %t, want %t", ended, tt.ends)
			}
		})
	}
}
