package cli

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/config"
)

// remote is a server, reached over its private listener or its admin socket.
type remote struct {
	*client.Client
	answers *recorder
	// where names the server in errors, start is how to get one running there.
	where, start string
}

// localConfig is the configuration a client command looks for by itself.
const localConfig = "evergrant.yaml"

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

// remoteFor is remote for a command about one connection.
func (s *session) remoteFor(ref string) (*remote, error) {
	if err := checkRef(ref); err != nil {
		return nil, err
	}
	return s.remote()
}

// remoteAt reaches a server by its private address.
func (s *session) remoteAt(address string) (*remote, error) {
	key, _ := s.lookupEnv("EVERGRANT_API_KEY")
	return s.remoteWith(address, key)
}

// remoteWith is remoteAt with a key from elsewhere.
func (s *session) remoteWith(address, key string) (*remote, error) {
	r := &remote{where: address, start: "evergrant serve --config FILE, or correct EVERGRANT_SERVER"}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return r.connect(socketAddress, key, path)
	}
	return r.connect(address, key, "")
}

// remoteOf reaches the server that runs with a configuration on this machine.
func (s *session) remoteOf(file string) (*remote, error) {
	c, err := config.LoadWithoutSecrets(file)
	if err != nil {
		return nil, err
	}
	r := &remote{where: c.Socket(), start: "evergrant serve --config " + file}
	return r.connect(socketAddress, "", c.Socket())
}

// socketAddress stands for a server that is reached through a socket.
const socketAddress = "http://evergrant"

// callTimeout bounds one call: longer than a server takes for a refresh that
// several callers wait for.
const callTimeout = 90 * time.Second

// connect makes the client. It goes through the socket if there is one.
func (r *remote) connect(address, key, socket string) (*remote, error) {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment}
	if socket != "" {
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		}
	}
	r.answers = &recorder{next: t}
	var err error
	r.Client, err = client.New(client.Config{
		URL: address, Key: key, UserAgent: "evergrant-cli",
		HTTPClient: &http.Client{
			Transport: r.answers,
			// A redirect would take the key elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	})
	if err != nil {
		return nil, usage("%v", err)
	}
	return r, nil
}

// recorder keeps the newest answer as it came, which is what --json prints, and
// bounds the call. Lines that are answered while others are sent go through as
// they come, for as long as it takes. It is for one call after the other.
type recorder struct {
	next http.RoundTripper
	last []byte
	// keep has every answer be added to kept, not the newest alone.
	keep bool
	kept [][]byte
	// through has every answer go through as it comes.
	through bool
}

// mostAnswer bounds what is read of an answer.
const mostAnswer = 64 << 20

// RoundTrip implements [http.RoundTripper].
func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	if r.through || req.Header.Get("Content-Type") == "application/x-ndjson" {
		return r.next.RoundTrip(req)
	}
	ctx, cancel := context.WithTimeout(req.Context(), callTimeout)
	defer cancel()
	res, err := r.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, mostAnswer))
	if err != nil {
		return nil, err
	}
	r.last = b
	if r.keep {
		r.kept = append(r.kept, b)
	}
	res.Body = io.NopCloser(bytes.NewReader(b))
	return res, nil
}
