package cli

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/words"
)

// git answers git. The connection may be git's username, as in
// https://biz_42%40k-series@git.example/.
func (c *credentialCmd) git(s *session, action, ref string, opts *evergrant.TokenOptions) error {
	ask, err := readGit(s.stdin)
	if err != nil {
		return err
	}
	if ref == "" {
		ref = ask.username
	}
	switch {
	case action == "store":
		return nil // the server keeps what there is to keep
	case action == "erase" && (ref == "" || ask.secret == ""):
		return nil
	case ref == "":
		return usage("name the connection: git config credential.https://HOST.helper '!evergrant credential --format git biz_42@k-series'")
	case action == "erase":
		return s.eraseGit(ref, ask)
	}
	t, err := s.credential(ref, opts)
	if err != nil {
		return err
	}
	// Git asks helpers about every remote there is, and a token is for one.
	if err := c.mayGo(ask, t.BaseURL); err != nil {
		return err
	}
	var b strings.Builder
	if ask.bearer {
		kind := t.Type
		if kind == "" {
			kind = "Bearer"
		}
		fmt.Fprintf(&b, "capability[]=authtype\nauthtype=%s\ncredential=%s\nephemeral=1\n", kind, t.AccessToken)
	} else {
		user := ask.username
		if user == "" {
			user = ref
		}
		fmt.Fprintf(&b, "username=%s\npassword=%s\n", user, t.AccessToken)
	}
	fmt.Fprintf(&b, "password_expiry_utc=%s\n", strconv.FormatInt(t.Expiry.Unix(), 10))
	_, err = fmt.Fprint(s.stdout, b.String())
	return err
}

// eraseGit reports the token that git was refused with, if it is one of ours.
func (s *session) eraseGit(ref string, ask gitAsk) error {
	r, err := s.remoteFor(ref)
	if err != nil {
		return err
	}
	_, err = r.Reject(s.ctx, evergrant.Ref(ref), secret.New(ask.secret).Fingerprint())
	return r.failedRef(ref, err)
}

// mayGo refuses to hand a token to a host that it is not for, or unencrypted.
func (c *credentialCmd) mayGo(ask gitAsk, baseURL string) error {
	allowed := c.Host
	if len(allowed) == 0 {
		if u, err := url.Parse(baseURL); err == nil && u.Host != "" {
			allowed = []string{u.Host}
		}
	}
	if !slices.ContainsFunc(allowed, func(h string) bool { return strings.EqualFold(h, ask.host) }) {
		return &failure{code: exitNotAllowed, err: fmt.Errorf("the token is for %s, and git asks for %s; --host names another host it may go to",
			words.Printable(strings.Join(allowed, " and ")), words.Printable(ask.host))}
	}
	if ask.protocol != "https" && !(ask.protocol == "http" && loopback(ask.host)) {
		return &failure{code: exitNotAllowed, err: fmt.Errorf("git would send the token over %s; use https", words.Printable(ask.protocol))}
	}
	return nil
}

// loopback reports whether a host, with a port or without one, is this machine.
func loopback(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	ip := net.ParseIP(strings.Trim(name, "[]"))
	return name == "localhost" || ip != nil && ip.IsLoopback()
}
