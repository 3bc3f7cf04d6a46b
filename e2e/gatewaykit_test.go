package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/oracle"
)

// upstream is a provider's API that takes note of who asked. It knows the tokens
// the test says are good.
type upstream struct {
	*httptest.Server
	mu    sync.Mutex
	good  func(token string) bool
	asked []*http.Request
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{good: func(string) bool { return true }}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		u.mu.Lock()
		u.asked = append(u.asked, r)
		ok := u.good(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		u.mu.Unlock()
		w.Header().Set("Set-Cookie", "session=theirs")
		if !ok {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.RequestURI(), body)
	}))
	t.Cleanup(u.Close)
	return u
}

// last returns the newest request.
func (u *upstream) last(t *testing.T) *http.Request {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.asked) == 0 {
		t.Fatal("the API was not asked")
	}
	return u.asked[len(u.asked)-1]
}

// serving is a running server with one business connected, in front of an API.
func serving(t *testing.T, more string) (*server, *upstream) {
	t.Helper()
	j := newJudge(t, oracle.Options{Rotation: oracle.Strict, AccessLife: time.Hour})
	u := newUpstream(t)
	s := newServer(t)
	s.configure(strings.Replace(app(j.url, oracle.Strict, more), j.url+"/api", u.URL+"/api", 1), "telemetry: {log: {level: debug}}")
	s.start()
	s.adopt(j, 1, 3600)
	return s, u
}

// token returns the business's current token.
func (s *server) token(t *testing.T) string {
	t.Helper()
	tok, err := s.Token(t.Context(), ref(1), nil)
	if err != nil {
		t.Fatal(err)
	}
	return tok.AccessToken
}

// program runs a program until the test ends; ready is the address it listens at.
func program(t *testing.T, ready string, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path = filepath.Join("/usr/sbin", name) // not on everybody's path
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is not installed; run: make deps", name)
	}
	var out bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", name, out.String())
		}
	})
	eventually(t, time.Minute, name+" listens", func() bool {
		select {
		case <-ended:
			t.Fatalf("%s has ended by itself", name)
		default:
		}
		conn, err := net.Dial("tcp", ready)
		if err != nil {
			return false
		}
		_ = conn.Close()
		return true
	})
}
