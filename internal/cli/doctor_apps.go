package cli

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/config"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/words"
	"github.com/evergrant/evergrant/provider"
)

// Bounds of asking a provider.
const (
	providerTimeout = 10 * time.Second
	skewWarn        = 30 * time.Second
	skewError       = 5 * time.Minute
)

// apps looks at every app: what is to be registered at its provider, whether the
// provider can be reached, and whether our clock agrees with its.
func (d *doctor) apps(conf *config.Config, offline bool) {
	if len(conf.Apps) == 0 {
		d.warn("apps", "add one under apps, see docs/configuration.md", "there is none")
	}
	sender := oauth.NewSender(oauth.SenderConfig{UserAgent: "evergrant/" + d.s.version})
	defer sender.Close()
	to := &http.Client{Timeout: providerTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer to.CloseIdleConnections()
	asked := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(conf.Apps)) {
		d.ok("app "+name, "redirect URI to be registered at the provider, exactly: %s/oauth/callback/%s", conf.Server.PublicURL, name)
		a := conf.Providers()[name]
		if a == nil || offline {
			continue
		}
		ep, ok := a.Known()
		if !ok {
			ctx, cancel := context.WithTimeout(d.s.ctx, providerTimeout)
			found, err := a.Resolved(ctx, sender)
			cancel()
			if err != nil {
				d.fail("app "+name, "correct apps."+name+".issuer, or name the endpoints", "its endpoints cannot be found: %v", err)
				continue
			}
			ep = found
		}
		for _, origin := range origins(ep) {
			if !asked[origin] {
				asked[origin] = true
				d.endpoint("app "+name, to, origin)
			}
		}
	}
}

// origins returns the hosts an app talks to. Endpoints with a variable in them
// are not known before there is a connection.
func origins(ep provider.Endpoints) []string {
	var all []string
	for _, e := range []string{ep.Authorize, ep.Token, ep.Refresh, ep.API} {
		u, err := url.Parse(e)
		if err != nil || u.Host == "" || strings.ContainsAny(u.Host, "{}") {
			continue
		}
		if o := u.Scheme + "://" + u.Host; !slices.Contains(all, o) {
			all = append(all, o)
		}
	}
	return all
}

// endpoint asks a host for anything: any answer will do, and it carries a date.
func (d *doctor) endpoint(name string, to *http.Client, origin string) {
	req, err := http.NewRequestWithContext(d.s.ctx, http.MethodHead, origin+"/", nil)
	if err != nil {
		d.fail(name, "correct its endpoints", "%v", err)
		return
	}
	began := time.Now()
	res, err := to.Do(req)
	if err != nil {
		d.fail(name, "see that this machine may reach it: name resolution, firewall, proxy", "%s cannot be reached: %v", origin, withoutURL(err))
		return
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<16))
	_ = res.Body.Close()
	d.ok(name, "%s answers", origin)
	theirs, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		return
	}
	// Its date has whole seconds, and was made while we waited.
	ours := began.Add(time.Since(began) / 2)
	skew := ours.Sub(theirs.Add(500 * time.Millisecond)).Abs()
	switch {
	case skew > skewError:
		d.fail("clock", "set this machine's clock, and keep it by NTP", "it differs by %s from that of %s", words.Span(skew), origin)
	case skew > skewWarn:
		d.warn("clock", "keep this machine's clock by NTP", "it differs by %s from that of %s", words.Span(skew), origin)
	default:
		d.ok("clock", "it agrees with that of %s", origin)
	}
}
