package provider

import (
	"context"
	"fmt"
	"time"

	"github.com/evergrant/evergrant/internal/oauth"
)

// discoverFor bounds one reading of a provider's metadata.
const discoverFor = 15 * time.Second

// Resolved returns the app's endpoints, asking the provider for its metadata
// where the configuration names only the issuer. What it learns is kept for the
// life of the app; until then calls ask again, those at the same time together, so that a
// provider that is down when we start is found once it is back. For an app
// whose endpoints are all configured it returns at once.
//
// It is safe for concurrent use. An error says that the provider could not be
// asked or that its metadata is not the issuer's (RFC 8414 section 3.3); trying
// again later may work.
func (a *App) Resolved(ctx context.Context, s *oauth.Sender) (Endpoints, error) {
	if e, ok := a.Known(); ok {
		return e, nil
	}
	// The question is everybody's: it does not end with the caller who asked first.
	ch := a.asking.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discoverFor)
		defer cancel()
		return a.discover(ctx, s)
	})
	select {
	case r := <-ch:
		if r.Err != nil {
			return Endpoints{}, fmt.Errorf("app %s: discover endpoints: %w", a.Name, r.Err)
		}
		return r.Val.(Endpoints), nil
	case <-ctx.Done():
		return Endpoints{}, fmt.Errorf("app %s: discover endpoints: %w", a.Name, context.Cause(ctx))
	}
}

// Known returns the app's endpoints if they are known without asking anybody.
func (a *App) Known() (Endpoints, bool) {
	if a.Endpoints.Authorize != "" && a.Endpoints.Token != "" {
		return a.Endpoints, true
	}
	if e := a.found.Load(); e != nil {
		return *e, true
	}
	return Endpoints{}, false
}

// discover asks the provider and keeps the answer.
func (a *App) discover(ctx context.Context, s *oauth.Sender) (Endpoints, error) {
	m, err := s.Discover(ctx, a.Endpoints.Issuer)
	if err != nil {
		return Endpoints{}, err
	}
	e, err := a.complete(m)
	if err != nil {
		return Endpoints{}, err
	}
	a.found.Store(&e)
	return e, nil
}

// complete fills in what the configuration leaves open; what that names wins.
// [oauth.Sender.Discover] has checked the metadata's URLs.
func (a *App) complete(m oauth.Metadata) (Endpoints, error) {
	e := a.Endpoints
	for _, f := range []struct {
		name string
		to   *string
		from string
		must bool
	}{
		{"authorization_endpoint", &e.Authorize, m.Authorize, true},
		{"token_endpoint", &e.Token, m.Token, true},
		{"revocation_endpoint", &e.Revoke, m.Revoke, false},
	} {
		switch {
		case *f.to != "":
			continue
		case f.from == "":
			if f.must {
				return Endpoints{}, fmt.Errorf("the metadata of %s has no %s; name it under apps.%s.endpoints", e.Issuer, f.name, a.Name)
			}
			continue
		}
		*f.to = f.from
	}
	e.IssRequired = e.IssRequired || m.IssRequired
	return e, nil
}
