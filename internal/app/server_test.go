package app

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
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
	if !strings.Contains(log.String(), "the cause") || !strings.Contains(log.String(), "server_test.go") {
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

func TestASocketIsPrivateAndReplacesOnlyADeadOne(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "eg")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s.sock")
	// A socket that a killed process left behind.
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Close(fd)); err != nil {
		t.Fatal(err)
	}
	l, err := Listen("unix:"+path, "server.private_listen")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != privateMode {
		t.Errorf("mode is %v, %v", info.Mode(), err)
	}
	_, err = Listen("unix:"+path, "server.private_listen")
	if err == nil || !strings.Contains(err.Error(), "address in use; stop the other program or set server.private_listen") {
		t.Errorf("a second listener: %v", err)
	}
	if err := errors.Join(closeListener(l), closeListener(l)); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	_, err = Listen("unix:"+filepath.Join(dir, strings.Repeat("x", 120)), "server.private_listen")
	if err == nil || !strings.Contains(err.Error(), "too long for a socket") {
		t.Errorf("a path that is too long: %v", err)
	}
}

func TestHardenKeepsMemoryOutOfCoreFiles(t *testing.T) {
	t.Parallel()
	if err := Harden(); err != nil {
		t.Fatal(err)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil || limit.Cur != 0 || limit.Max != 0 {
		t.Errorf("core files may have %+v bytes, %v", limit, err)
	}
}
