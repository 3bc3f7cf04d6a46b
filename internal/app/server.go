package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"
)

// Bounds of a request. Handlers that wait for longer extend their own deadline.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = 60 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 32 << 10

	// drainWithin is how long requests under way may take when the server stops:
	// longer than a token request, which a caller may be waiting for.
	drainWithin = 15 * time.Second
)

// server serves one listener.
type server struct {
	name string
	l    net.Listener
	http *http.Server
}

func newServer(name string, l net.Listener, h http.Handler, news context.Context, log *slog.Logger) *server {
	log = log.With("listener", name)
	return &server{name: name, l: l, http: &http.Server{
		Handler:           recovered(untilDrained(h, news), log),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
}

// start serves until the server is shut down; any other end is sent to failed.
func (s *server) start(failed chan<- error) {
	go func() {
		if err := s.http.Serve(s.l); !errors.Is(err, http.ErrServerClosed) {
			select {
			case failed <- fmt.Errorf("serve %s listener: %w", s.name, err):
			default: // another listener failed first
			}
		}
	}()
}

// shutdown takes no more requests and waits for those under way, then cuts off
// what is left.
func shutdown(ctx context.Context, servers []*server) error {
	ctx, cancel := context.WithTimeout(ctx, drainWithin)
	defer cancel()
	var g errgroup.Group
	for _, s := range servers {
		g.Go(func() error {
			if err := s.http.Shutdown(ctx); err != nil {
				_ = s.http.Close()
				return fmt.Errorf("%s listener: requests were cut off: %w", s.name, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// untilDrained ends a request that only waits for news when the server stops;
// every other request is let finish.
func untilDrained(h http.Handler, news context.Context) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Query().Has("wait") {
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			defer context.AfterFunc(news, cancel)()
			r = r.WithContext(ctx)
		}
		h.ServeHTTP(w, r)
	})
}

// recovered turns a panic into a 500 that tells the client nothing and the log
// everything.
func recovered(h http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v) // how a handler asks for the connection to be cut
			}
			log.Error("a request panicked", "method", r.Method, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			http.Error(w, "Something went wrong here. The log says what.", http.StatusInternalServerError)
		}()
		h.ServeHTTP(w, r)
	})
}
