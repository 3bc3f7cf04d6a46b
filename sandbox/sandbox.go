package sandbox

import (
	"context"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Config is how a sandbox is made. The zero value is usable.
type Config struct {
	// URL is the sandbox's own base URL, for issuers and links. If it is "", it is
	// taken from each request's Host.
	URL string
	// Now is the clock the sandbox adds its own advance to. Nil means time.Now.
	Now func() time.Time
	// OnAdvance is called, without locks held, when the clock was advanced, so that
	// whoever runs beside the sandbox can move with it. May be nil.
	OnAdvance func(d time.Duration)
	// Logger receives one line per advance, reset and refused fault. Nil discards.
	Logger *slog.Logger
	// AccessLifetime, RefreshLifetime and CodeLifetime replace every series' own
	// where they are positive. K-Series V2: 1500 s, 40 d with offline_access and
	// 30 min without, 15 s. K-Series V1: 1 h, 14 d, 15 s. R-Series: 1 h, 30 d, 60 s.
	// X-Series: 24 h, a year, 10 min.
	AccessLifetime, RefreshLifetime, CodeLifetime time.Duration
	// Clients are registered from the start, and again after a reset. R-Series needs
	// it: its requests name no redirect URI.
	Clients []Client
}

// Client is an app registered with a redirect URI, as the vendor's own form
// registers it.
type Client struct {
	ID          string
	Series      string // lightspeed-r or its family r-series; "" where the id tells
	RedirectURI string
}

// Sandbox is Lightspeed on this machine. It is safe for concurrent use and keeps
// everything in memory.
type Sandbox struct {
	cfg    Config
	log    *slog.Logger
	mux    *http.ServeMux
	pages  *template.Template
	series []*series

	mu     sync.Mutex // guards what follows; never held while reading or writing a connection
	offset time.Duration
	w      *world
}

// New returns a sandbox with the demo users of [DemoUsers].
func New(cfg Config) *Sandbox {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.URL = strings.TrimSuffix(cfg.URL, "/")
	s := &Sandbox{
		cfg:   cfg,
		log:   cfg.Logger,
		mux:   http.NewServeMux(),
		pages: parsePages(),
	}
	s.series = []*series{s.kSeriesV2(), s.kSeriesV1(), s.rSeries(), s.xSeries()}
	s.reset()
	s.mux.HandleFunc("GET /{$}", s.landing)
	s.mux.HandleFunc("/", s.nothingHere)
	for _, sr := range s.series {
		s.routeSeries(sr)
	}
	s.routeControl()
	return s
}

// ServeHTTP implements [http.Handler].
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Sandbox", "true")
	w.Header().Set("Date", s.Now().UTC().Format(http.TimeFormat))
	if r.URL.Path == controlRoot || strings.HasPrefix(r.URL.Path, controlRoot+"/") {
		s.mux.ServeHTTP(w, r)
		return
	}
	entry := &LogEntry{Time: s.Now().UTC(), Method: clip(r.Method), Path: clip(r.URL.Path)}
	rec := &recorder{ResponseWriter: w}
	rec.over = sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		entry.Status = rec.status
		s.w.log.add(*entry)
	})
	defer rec.over()
	s.judgeQuery(r, entry)
	s.mux.ServeHTTP(rec, r.WithContext(context.WithValue(r.Context(), entryKey{}, entry)))
}

// AddUser adds a user, or replaces the one with the same e-mail address. Tokens
// the user approved before reach what the new one sees.
func (s *Sandbox) AddUser(u User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w.addUser(u)
}

// RevokeUser removes every grant the user gave, as the provider does when an
// employee leaves: all their tokens are dead from now on.
func (s *Sandbox) RevokeUser(email string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w.revokeUser(email, s.now())
}

// reset forgets everything but the clock.
func (s *Sandbox) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w = newWorld(s.cfg)
	for _, c := range s.cfg.Clients {
		_, err := s.setClient(clientRequest{ClientID: c.ID, Series: c.Series, RedirectURIs: []string{c.RedirectURI}})
		if err != nil {
			s.log.Error("client not registered", "client", clip(c.ID), "err", err)
		}
	}
}

// base is the URL the sandbox is reached at by r.
func (s *Sandbox) base(r *http.Request) string {
	switch {
	case s.cfg.URL != "":
		return s.cfg.URL
	case r.TLS != nil:
		return "https://" + r.Host
	}
	return "http://" + r.Host
}
