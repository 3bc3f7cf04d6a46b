package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/evergrant/evergrant/internal/config"
	"github.com/evergrant/evergrant/internal/secret"
)

// remote is a server's API, over its private listener or its admin socket.
type remote struct {
	base string // http://host:port
	key  secret.String
	http *http.Client
	// where names the server in errors, start is how to get one running there.
	where, start string
}

// localConfig is the configuration a client command looks for by itself.
const localConfig = "evergrant.yaml"

// callTimeout bounds one call: longer than a server takes for a refresh that
// several callers wait for.
const callTimeout = 90 * time.Second

// remote finds the server: by --server, by --config, by EVERGRANT_SERVER, or by
// a configuration in this folder.
func (s *session) remote() (*remote, error) {
	server, _ := s.lookupEnv("EVERGRANT_SERVER")
	switch {
	case s.root.Server != "":
		return s.remoteAt(s.root.Server)
	case s.root.Config != "":
		return s.remoteOf(s.root.Config)
	case server != "":
		return s.remoteAt(server)
	}
	if _, err := os.Stat(localConfig); err == nil {
		return s.remoteOf(localConfig)
	}
	return nil, usage("no server to talk to; set EVERGRANT_SERVER and EVERGRANT_API_KEY, or give --config FILE on the server's machine")
}

// remoteAt reaches a server by its private address.
func (s *session) remoteAt(address string) (*remote, error) {
	key, _ := s.lookupEnv("EVERGRANT_API_KEY")
	r := &remote{key: secret.New(key), where: address, start: "evergrant serve --config FILE, or correct EVERGRANT_SERVER"}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		r.base, r.http = "http://evergrant", socketClient(path)
		return r, nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, usage("the server's address must be like http://127.0.0.1:8421 or unix:/run/evergrant/api.sock")
	}
	r.base, r.http = strings.TrimRight(address, "/"), newHTTPClient(nil)
	return r, nil
}

// remoteOf reaches the server that runs with a configuration on this machine.
func (s *session) remoteOf(file string) (*remote, error) {
	c, err := config.LoadWithoutSecrets(file)
	if err != nil {
		return nil, err
	}
	return &remote{
		base: "http://evergrant", http: socketClient(c.Socket()),
		where: c.Socket(), start: "evergrant serve --config " + file,
	}, nil
}

func socketClient(path string) *http.Client {
	return newHTTPClient(func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	})
}

// newHTTPClient follows no redirects, which would take the key elsewhere.
func newHTTPClient(dial func(context.Context, string, string) (net.Conn, error)) *http.Client {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: dial, DisableKeepAlives: dial != nil}
	return &http.Client{
		Transport:     t,
		Timeout:       callTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// mostAnswer bounds what is read of an answer.
const mostAnswer = 64 << 20

// call sends a request and returns the answer's body. body, if not nil, is sent
// as JSON. Errors carry the exit code.
func (r *remote) call(ctx context.Context, method, path string, body any) ([]byte, error) {
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, content)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if !r.key.IsZero() {
		req.Header.Set("Authorization", "Bearer "+r.key.Reveal())
	}
	res, err := r.http.Do(req)
	if err != nil {
		return nil, r.unreachable(ctx, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, mostAnswer))
	if err != nil {
		return nil, r.unreachable(ctx, err)
	}
	if res.StatusCode >= 300 {
		return nil, problemOf(res, b)
	}
	return b, nil
}

// unreachable says what a failed request means.
func (r *remote) unreachable(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return &failure{code: exitFailed, err: errors.New("interrupted")}
	case errors.Is(err, fs.ErrPermission):
		return &failure{code: exitNotAllowed, err: fmt.Errorf(
			"%s belongs to another user; run this as the server's user, or set EVERGRANT_SERVER and EVERGRANT_API_KEY", r.where)}
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return &failure{code: exitTemporary, err: fmt.Errorf("no server answers at %s; start it with: %s", r.where, r.start)}
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err // the URL in front of it has the ref in it and says nothing new
	}
	return &failure{code: exitTemporary, err: fmt.Errorf("the server at %s does not answer: %w; try again", r.where, err)}
}

// fetch calls and decodes the answer; it returns the answer as it came too.
func fetch[T any](ctx context.Context, r *remote, method, path string, body any) (T, []byte, error) {
	var v T
	b, err := r.call(ctx, method, path, body)
	if err != nil {
		return v, nil, err
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, nil, fmt.Errorf("%s did not answer like an evergrant server; correct EVERGRANT_SERVER", r.where)
	}
	return v, b, nil
}
