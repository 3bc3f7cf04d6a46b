package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
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

func newServer(name string, l net.Listener, h http.Handler, log *slog.Logger) *server {
	log = log.With("listener", name)
	return &server{name: name, l: l, http: &http.Server{
		Handler:           h,
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
