// Package api is the private HTTP API: tokens, connections, links, events, keys
// and what operations need. Its wire types are its own; nothing of the domain is
// marshalled as it is.
//
// A request passes, in this order: a sane path, a request id, the API key, the
// endpoint's scope, the request's own validity, and what the key reaches. What a
// key does not reach answers exactly like what does not exist. Every error is an
// application/problem+json document (RFC 9457).
package api

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/connect"
	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/proxy"
	"github.com/evergrant/evergrant/internal/signin"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/telemetry"
	"github.com/evergrant/evergrant/internal/webhook"
)

// Config is what the API works with. Fields without a comment are required.
type Config struct {
	Manager  *manager.Manager
	Links    *connect.Service
	Store    store.Store
	Webhooks *webhook.Service
	FileKeys []access.Key // API keys named in the configuration file
	// Keys is shared by the handlers of one process, so that a key made or revoked
	// through one of them counts at all of them at once. Nil: made from Store and
	// FileKeys.
	Keys    *Keyring
	Metrics *telemetry.Metrics
	Logger  *slog.Logger
	// Audit gets a line for every call that is given a token or changes something;
	// nil: there are none.
	Audit   *slog.Logger
	Now     func() time.Time // nil: time.Now
	Version string
	// TrustAll serves every request with the rights of an admin key and asks for
	// none: for the admin socket, which the file system protects.
	TrustAll  bool
	PublicURL string       // where merchants are sent, for /v1/meta
	Proxy     *proxy.Proxy // nil: nothing is served below /proxy/
	// SignIn makes links into the dashboard; nil: there is none.
	SignIn *signin.Service
}

// server is the handler.
type server struct {
	c       Config
	now     func() time.Time
	log     *slog.Logger
	keys    *Keyring
	mux     *http.ServeMux
	replays *replays
	reauth  *reauthLinks
	fails   *access.Failures
	guessed rate.Sometimes // a log line about many failures
	zips    sync.Pool      // of *gzip.Writer
}

// New returns the API as a handler. It is safe for concurrent use and starts no
// goroutines.
func New(c Config) (http.Handler, error) {
	switch {
	case c.Manager == nil:
		return nil, errors.New("api: Config.Manager is required")
	case c.Links == nil:
		return nil, errors.New("api: Config.Links is required")
	case c.Store == nil:
		return nil, errors.New("api: Config.Store is required")
	case c.Webhooks == nil:
		return nil, errors.New("api: Config.Webhooks is required")
	case c.Metrics == nil:
		return nil, errors.New("api: Config.Metrics is required")
	case c.Logger == nil:
		return nil, errors.New("api: Config.Logger is required")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Keys == nil {
		c.Keys = NewKeyring(c.Store, c.FileKeys, c.Now)
	}
	s := &server{
		c: c, now: c.Now, log: c.Logger, keys: c.Keys,
		mux:     http.NewServeMux(),
		replays: newReplays(c.Now),
		fails:   access.NewFailures(c.Now),
		guessed: rate.Sometimes{Interval: tellEvery},
	}
	s.reauth = newReauthLinks(c.Links, c.Now)
	if err := s.routes(); err != nil {
		return nil, err
	}
	return s, nil
}

// ServeHTTP implements [http.Handler].
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	if h := s.foreign(r, path); h != nil {
		s.serve(h)(w, r)
		return
	}
	if !clean(path) {
		// ServeMux would redirect to a path that may name something else.
		s.serve(s.unknown)(w, r)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// clean reports whether ServeMux takes the path as it is: rooted, without empty
// and dot segments.
func clean(p string) bool {
	if p == "" || p[0] != '/' {
		return false
	}
	for i := strings.IndexByte(p, '/'); i >= 0; {
		rest := p[i+1:]
		if len(rest) > 0 && rest[0] == '/' {
			return false
		}
		if len(rest) > 0 && rest[0] == '.' {
			seg, _, _ := strings.Cut(rest, "/")
			if seg == "." || seg == ".." {
				return false
			}
		}
		next := strings.IndexByte(rest, '/')
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return true
}
