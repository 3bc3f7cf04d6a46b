package connect

import (
	"context"
	"html/template"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/evergrant/evergrant/internal/issue"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/spool"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/provider"
)

// Config is what a Service works with. Fields whose comment gives no default are
// required.
type Config struct {
	Store     store.Store
	Ring      *seal.Ring
	Spool     *spool.Spool
	Sender    *oauth.Sender
	Apps      provider.Apps
	Issuer    *issue.Issuer
	PublicURL string // scheme and host that merchants reach us at
	Brand     Brand
	LinkTTL   time.Duration // how long a link lives if its maker does not say; 0 means 7 days
	// ReturnURLAllow are the patterns a return_url must match one of; see
	// [CheckReturnPattern]. None: no return_url is accepted.
	ReturnURLAllow []string
	Now            func() time.Time // nil: time.Now
	Logger         *slog.Logger
	// LinkState is told of every state a link comes to, for metrics; may be nil.
	LinkState func(app, state string)
	// AppRejected is told when a provider refuses the app itself in an exchange;
	// may be nil.
	AppRejected func(app string)
}

// Service makes links and serves them. It is safe for concurrent use. End it
// with [Service.Close].
type Service struct {
	c      Config
	public string // PublicURL without a slash at its end
	secure bool   // served over https
	brand  Brand
	allow  []returnPattern
	pages  *template.Template
	words  dictionary
	style  stylesheet

	patience patience

	ctx        context.Context // of what goes on after a request is answered
	stop       context.CancelFunc
	background sync.WaitGroup
}

// patience is how long a callback waits for what it cannot hurry.
type patience struct {
	poll   time.Duration // between two looks at another request's exchange
	follow time.Duration // for another request's exchange
	save   time.Duration // for a store that is down, while the merchant waits
	again  time.Duration // between two tries after that
}

const defaultLinkTTL = 7 * 24 * time.Hour

// New returns a Service. Patterns and brand are expected to be checked; what is
// wrong in them is left out.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.LinkTTL <= 0 {
		c.LinkTTL = defaultLinkTTL
	}
	if c.LinkState == nil {
		c.LinkState = func(string, string) {}
	}
	if c.AppRejected == nil {
		c.AppRejected = func(string) {}
	}
	s := &Service{
		c:        c,
		public:   strings.TrimSuffix(c.PublicURL, "/"),
		secure:   strings.HasPrefix(c.PublicURL, "https:"),
		pages:    parsePages(),
		patience: patience{poll: 100 * time.Millisecond, follow: 20 * time.Second, save: 20 * time.Second, again: 2 * time.Second},
	}
	s.words = mustWords()
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.brand = c.Brand.withDefaults(s.public)
	s.style = newStylesheet(s.brand.Colour)
	for _, raw := range c.ReturnURLAllow {
		if p, err := parseReturnPattern(raw); err == nil {
			s.allow = append(s.allow, p)
		}
	}
	return s
}

// origin returns the scheme and host of an address, "" if it has none.
func origin(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// host returns the host of an address, for people.
func host(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Host
}
