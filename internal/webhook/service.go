package webhook

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
)

// Store is what webhooks need of the store.
type Store interface {
	store.Webhooks
	ListEvents(ctx context.Context, f store.EventFilter, p store.Page) ([]grant.Event, string, error)
	LastEvent(ctx context.Context) (string, error)
}

// Endpoint is a webhook of the configuration file.
type Endpoint struct {
	Name    string
	URL     string
	Types   []string        // as in [store.EventFilter]; nil for every event
	Secrets []secret.String // one, or two while they rotate
}

// Config is what a Service is made of. Fields without a comment are required.
type Config struct {
	Store Store
	Ring  *seal.Ring
	// Client sends. It must not follow redirects, must refuse addresses that are not
	// meant to be reached, and give up after [Timeout].
	Client *http.Client
	// Grown returns a channel that is closed when the log grows next.
	Grown func() <-chan struct{}
	// Encode is an event as it is sent, in JSON.
	Encode func(grant.Event) []byte
	File   []Endpoint // webhooks of the configuration file
	Logger *slog.Logger
	Now    func() time.Time // nil: time.Now
	// Counted is told of every delivery: the webhook's name, and ok, failed or
	// disabled. Nil: nobody is.
	Counted func(name, outcome string)
	// Random returns numbers in [0,1) for the jitter of waits.
	Random func() float64
}

const (
	// Timeout bounds one delivery.
	Timeout = 15 * time.Second
	// atOnce bounds how many deliveries are under way.
	atOnce = 16
	// look is how often webhooks that another process made are looked for.
	look = 15 * time.Second
	// lastWords is how long deliveries under way may take when the service stops.
	lastWords = 5 * time.Second
)

// Service delivers events and manages webhooks. It is safe for concurrent use.
type Service struct {
	c     Config
	owner string // of leases, this process's
	file  map[string]Endpoint
	slots chan struct{}
	found chan struct{} // there may be a new webhook

	mu      sync.Mutex
	runners map[string]*runner // by the webhook's id
	stop    context.CancelFunc
	cut     context.CancelFunc // ends deliveries under way
	sending context.Context
	running sync.WaitGroup
}

// New returns a Service. Nothing is delivered before Start.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Counted == nil {
		c.Counted = func(string, string) {}
	}
	s := &Service{c: c, owner: grant.NewID("hooks_", c.Now()), file: make(map[string]Endpoint, len(c.File)),
		slots: make(chan struct{}, atOnce), found: make(chan struct{}, 1), runners: make(map[string]*runner)}
	for _, e := range c.File {
		s.file[fileID(e.Name)] = e
	}
	return s
}

// idPrefix begins the id of every webhook.
const idPrefix = "wh_"

// fileID is the id of a webhook of the file: the same after every start.
func fileID(name string) string { return idPrefix + name }

// Start begins to deliver. Call it once.
func (s *Service) Start() {
	var ctx context.Context
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, s.stop = context.WithCancel(context.Background())
	s.sending, s.cut = context.WithCancel(context.Background())
	s.running.Go(func() { s.supervise(ctx) })
}

// Stop begins no more deliveries, waits a little for those under way and leaves
// its webhooks to other processes. It returns an error if ctx ends before.
func (s *Service) Stop(ctx context.Context) error {
	s.mu.Lock()
	stop, cut := s.stop, s.cut
	s.mu.Unlock()
	if stop == nil {
		return nil
	}
	stop()
	defer time.AfterFunc(lastWords, cut).Stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.running.Wait()
	}()
	select {
	case <-done:
		cut()
		return nil
	case <-ctx.Done():
		cut()
		<-done
		return ctx.Err()
	}
}

// supervise runs what delivers to each webhook.
func (s *Service) supervise(ctx context.Context) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	told := false
	for {
		err := s.superviseOnce(ctx)
		if err != nil && ctx.Err() == nil && !told {
			s.c.Logger.WarnContext(ctx, "webhooks cannot be read; trying again", "err", err)
		}
		told = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.found:
		}
	}
}

// superviseOnce begins to deliver to webhooks that nobody here delivers to yet.
func (s *Service) superviseOnce(ctx context.Context) error {
	stored, err := s.c.Store.Webhooks(ctx)
	if err != nil {
		return err
	}
	missing := make(map[string]Endpoint, len(s.file))
	for id, e := range s.file {
		missing[id] = e
	}
	for _, w := range stored {
		delete(missing, w.ID)
		if _, ok := s.file[w.ID]; ok || !w.FromFile {
			s.run(ctx, w.ID)
		}
	}
	var failed error
	for id, e := range missing {
		now := s.c.Now()
		err := s.c.Store.CreateWebhook(ctx, store.Webhook{ID: id, Name: e.Name, FromFile: true, CreatedAt: now, UpdatedAt: now})
		if errors.Is(err, store.ErrExists) {
			err = errors.New("the name of the configuration file's webhook " + e.Name + " is that of another webhook; rename one of them")
		}
		if err != nil {
			failed = err
			continue
		}
		s.run(ctx, id)
	}
	return failed
}

// run begins to deliver to a webhook, unless that has begun.
func (s *Service) run(ctx context.Context, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runners[id] != nil {
		return
	}
	r := &runner{s: s, id: id, kick: make(chan struct{}, 1)}
	s.runners[id] = r
	s.running.Go(func() {
		r.loop(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.runners, id)
	})
}

// changed has what was changed in a webhook looked at now.
func (s *Service) changed(id string) {
	s.mu.Lock()
	r := s.runners[id]
	s.mu.Unlock()
	wake := s.found
	if r != nil {
		wake = r.kick
	}
	select {
	case wake <- struct{}{}:
	default: // it is to look already
	}
}

// defined is a stored webhook with what the file says of it, and whether it is one
// of this process's file or of the store.
func (s *Service) defined(w store.Webhook) (store.Webhook, bool) {
	if !w.FromFile {
		return w, true
	}
	e, ok := s.file[w.ID]
	w.Name, w.URL, w.Types = e.Name, e.URL, e.Types
	return w, ok
}
