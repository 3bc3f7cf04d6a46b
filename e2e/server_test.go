package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/seal"
)

// server is an evergrant serve process that a test starts, kills and starts
// again over the same files.
type server struct {
	*client.Client
	t *testing.T

	config  string // path of the configuration
	data    string // the folder of the store and the spool, and of nothing else
	secrets string // the folder of the secrets it reads
	storage string // the configuration's section
	log     string // path of what every process of it wrote
	api     string // http://127.0.0.1:…
	public  string
	key     string // an API key that may do everything
	program string // what runs: the binary, unless a test sets another
	env     []string
	quiet   bool // does not tell its log when the test has failed

	process *exec.Cmd
	lives   int // processes that ran so far
	exited  chan error
}

// newServer prepares a server with the apps of a YAML mapping; nothing runs yet.
// The text may refer to the secret as {file: secrets/client-secret}.
func newServer(t *testing.T) *server {
	t.Helper()
	dir := t.TempDir()
	private, public := freePort(t), freePort(t)
	s := &server{
		t: t, config: filepath.Join(dir, "evergrant.yaml"), data: filepath.Join(dir, "data"),
		secrets: filepath.Join(dir, "secrets"), log: filepath.Join(dir, "log"),
		storage: "{sqlite: data/evergrant.db}",
		api:     "http://" + private, public: "http://" + public, key: access.NewSecret().Reveal(), program: binary,
	}
	if err := os.Mkdir(s.secrets, 0o700); err != nil {
		t.Fatal(err)
	}
	s.secret("master.key", seal.GenerateMaster().Reveal())
	s.secret("api.key", s.key)
	s.secret("client-secret", "s3cret")
	t.Cleanup(func() {
		if s.process != nil {
			s.kill()
		}
		if t.Failed() && !s.quiet {
			t.Logf("the end of the server's log:\n%s", tail(s.logged()))
		}
	})
	s.call()
	return s
}

// call makes the client that calls the server with its key.
func (s *server) call() {
	s.t.Helper()
	var err error
	s.Client, err = client.New(client.Config{URL: s.api, Key: s.key})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(s.CloseIdleConnections)
}

// secret writes a secret's file.
func (s *server) secret(name, value string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.secrets, name), []byte(value+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// configure writes the configuration. apps is the YAML below apps:, indented by
// two; more is whole sections beside it.
func (s *server) configure(apps, more string) {
	s.t.Helper()
	text := fmt.Sprintf(`version: 1
server: {public_url: %s, listen: %s, private_listen: %s}
storage: %s
spool: data/spool
encryption: {keys: [{id: k1, file: secrets/master.key}]}
api_keys: [{name: test, key: {file: secrets/api.key}, scopes: [admin]}]
apps:
%s
%s
`, s.public, strings.TrimPrefix(s.public, "http://"), strings.TrimPrefix(s.api, "http://"), s.storage, apps, more)
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// start starts a process and waits until it is ready.
func (s *server) start() {
	s.t.Helper()
	s.launch()
	eventually(s.t, time.Minute, "the server is ready", func() bool {
		select {
		case err := <-s.exited:
			s.process = nil
			s.t.Fatalf("the server ended by itself: %v\n%s", err, tail(s.logged()))
		default:
		}
		return s.answers("/readyz")
	})
}

// launch starts a process.
func (s *server) launch() {
	s.t.Helper()
	s.lives++
	s.sign()
	out, err := os.OpenFile(s.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close()
	s.process = exec.Command(s.program, "serve", "--config", s.config)
	s.process.Stdout, s.process.Stderr = out, out
	s.process.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.data}, s.env...)
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	exited := make(chan error, 1)
	s.exited = exited
	go func(p *exec.Cmd) { exited <- p.Wait() }(s.process)
}

// sign has the next process name itself to the authorization server, if the
// configuration leaves a place for it; see [app].
func (s *server) sign() {
	s.t.Helper()
	text, err := os.ReadFile(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	text = named.ReplaceAll(text, fmt.Appendf(nil, "?client=%d", s.lives))
	if err := os.WriteFile(s.config, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

var named = regexp.MustCompile(`\?client=\d+`)

// answers reports whether the private listener answers a path with 200.
func (s *server) answers(path string) bool {
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.api+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode == http.StatusOK
}

// kill ends the process as a power cut would, and returns when it is gone.
func (s *server) kill() {
	_ = s.process.Process.Kill()
	<-s.exited
	s.process = nil
}

// interrupt asks the process to end.
func (s *server) interrupt() {
	s.t.Helper()
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
}

// ended waits until the process has ended after an interrupt, as it should.
func (s *server) ended() {
	s.t.Helper()
	select {
	case err := <-s.exited:
		s.process = nil
		if err != nil {
			s.t.Fatalf("after SIGTERM: %v", err)
		}
	case <-time.After(time.Minute):
		s.t.Fatal("the server still runs a minute after SIGTERM")
	}
}

// logged returns everything the processes wrote.
func (s *server) logged() []byte {
	b, err := os.ReadFile(s.log)
	if err != nil {
		return []byte(err.Error())
	}
	return b
}

// tail returns the last lines of a log.
func tail(log []byte) []byte {
	lines := bytes.Split(log, []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-40):], []byte("\n"))
}
