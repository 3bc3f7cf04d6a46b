package api

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/manager"
)

const (
	// maxWait bounds a long poll.
	maxWait = 60 * time.Second
	// lookEvery is how often a long poll looks whether there is news. Looking and
	// not listening costs the same however many changes there are that it is not
	// waiting for, and sees those of other processes too.
	lookEvery = time.Second
)

// waitParam lets a GET that names the answer it has wait for another one.
var waitParam = param{name: "wait", doc: "with If-None-Match: how long to wait for an answer with another ETag, up to 60s, before 304"}

// wait reads how long a long poll may take.
func (f *fields) wait(q url.Values) time.Duration {
	wait := f.duration("wait", q.Get("wait"))
	if wait > maxWait {
		f.add("wait", "it may be at most %s", maxWait)
	}
	return wait
}

// tagOf is the entity tag of an answer (RFC 9110 section 8.8.3), before it is
// compressed. No answer that is tagged so has a secret in it.
func tagOf(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}

// zippedEnd ends the tag of an answer that is compressed, because tags name bytes
// (section 8.8.3.3). A base64 text has no dot.
const zippedEnd = `.gz"`

// zipped is the tag of an answer when it is compressed.
func zipped(tag string) string { return strings.TrimSuffix(tag, `"`) + zippedEnd }

// unzipped is the tag of an answer before it was compressed, if it was.
func unzipped(tag string) string {
	if whole, ok := strings.CutSuffix(tag, zippedEnd); ok {
		return whole + `"`
	}
	return tag
}

// tagOfToken is the entity tag of a token: its fingerprint, which the answer
// tells as well, and the moment it was asked for, which is that of one generation
// on every replica. So a provider that answers the same token with a longer life
// changes the tag. It is weak because the seconds a token has left do not count.
func tagOfToken(h *manager.Handout) string {
	return `W/"` + h.Token.Fingerprint + "." + strconv.FormatInt(h.IssuedAt.UnixMicro(), 36) + `"`
}

// has reports whether the caller has the answer with this tag already, by the
// weak comparison that If-None-Match asks for (RFC 9110 section 13.1.2). Our tags
// hold no commas, so that none is found in what another server's are cut into.
func has(r *http.Request, tag string) bool {
	for _, line := range r.Header["If-None-Match"] {
		for known := range strings.SplitSeq(line, ",") {
			known = unzipped(strings.TrimSpace(known))
			if known == "*" || strings.TrimPrefix(known, "W/") == strings.TrimPrefix(tag, "W/") {
				return true
			}
		}
	}
	return false
}

// unchanged checks, before something is changed or removed, that the caller has
// seen it as it is: that If-Match, if the request has one, names the answer to a
// GET of the same path, by the strong comparison (RFC 9110 section 13.1.1).
func (e endpoint) unchanged(c *call) error {
	lines := c.r.Header["If-Match"]
	if e.of == nil || len(lines) == 0 {
		return nil
	}
	now, err := e.of(c)
	if err != nil {
		return err
	}
	tag := tagOf(encode(now))
	for _, line := range lines {
		for known := range strings.SplitSeq(line, ",") {
			if known = unzipped(strings.TrimSpace(known)); known == "*" || known == tag {
				return nil
			}
		}
	}
	return errChanged()
}

// news looks for an answer until its tag is not among those the caller has, as
// long as the call waits; false means that it is, still. The answer is the one of
// the last look. The end of the request, or of the server, ends the wait as time
// does.
func (s *server) news(c *call, look func() (tag string, err error)) (bool, error) {
	tag, err := look()
	if err != nil {
		return false, err
	}
	c.w.Header()["Etag"] = []string{tag}
	if !has(c.r, tag) {
		return true, nil
	}
	if c.wait <= 0 || c.r.Method != http.MethodGet {
		return false, nil
	}
	s.extend(c, c.wait)
	deadline, next := time.NewTimer(c.wait), time.NewTicker(lookEvery)
	defer deadline.Stop()
	defer next.Stop()
	for last := false; !last; {
		select {
		case <-next.C:
		case <-deadline.C:
			last = true
		case <-c.r.Context().Done():
			return false, nil
		}
		if tag, err = look(); err != nil {
			return false, err
		}
		c.w.Header()["Etag"] = []string{tag}
		if !has(c.r, tag) {
			return true, nil
		}
	}
	return false, nil
}

// extend gives a long poll the time it asks for; the server's own time limit for
// answers is not meant for it.
func (s *server) extend(c *call, wait time.Duration) {
	_ = http.NewResponseController(c.w).SetWriteDeadline(s.now().Add(wait + maxWait))
}

// show answers a GET that has a body, or says that the caller has the answer.
func (s *server) show(c *call, e endpoint) {
	var body []byte
	changed, err := s.news(c, func() (string, error) {
		if body != nil && !e.open { // a key may be revoked during a wait
			var err error
			if c.key, err = s.authenticate(c.r, e.scope, e.or); err != nil {
				return "", err
			}
		}
		out, err := e.run(c)
		if err != nil {
			return "", err
		}
		body = encode(out)
		return tagOf(body), nil
	})
	switch {
	case err != nil:
		c.w.Header().Del("Etag")
		s.fail(c, err)
	case !changed:
		if s.worthZipping(c, body) {
			c.w.Header().Set("Etag", zipped(tagOf(body)))
		}
		c.w.Header()["Vary"] = varyEncoding
		c.w.WriteHeader(http.StatusNotModified)
	default:
		c.w.Header()["Content-Type"] = contentJSON
		s.send(c, body)
	}
}

// fixed serves an answer that is the same for as long as the server runs.
func (s *server) fixed(kind string, body []byte) http.HandlerFunc {
	tag := tagOf(body)
	return s.serve(func(c *call) {
		c.status = http.StatusOK
		header := c.w.Header()
		header["Etag"] = []string{tag}
		if has(c.r, tag) {
			if s.worthZipping(c, body) {
				header.Set("Etag", zipped(tag))
			}
			header["Vary"] = varyEncoding
			c.w.WriteHeader(http.StatusNotModified)
			return
		}
		header.Set("Content-Type", kind)
		s.send(c, body)
	})
}
