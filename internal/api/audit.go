package api

import (
	"log/slog"
	"net/http"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/evergrant/evergrant/internal/grant"
)

// mostAudited bounds what is written of an id that a caller wrote.
const mostAudited = 200

// audit writes a line about a call that was given a token or changes something,
// whether it was let or not. Nothing of a query, a body or an answer is in it. A
// call without a key that works is nobody's.
func (s *server) audit(c *call) {
	if s.c.Audit == nil || c.key == nil || !audited(c.r) {
		return
	}
	attrs := []slog.Attr{
		attrRequest(c.id), slog.String("key", c.key.ID), slog.String("key_name", c.key.Name),
		slog.String("method", c.r.Method), attrRoute(c.r), slog.Int("status", c.rec.status),
	}
	// What is not known to be there may be anything, such as a token in the wrong
	// place.
	ref := ""
	if c.target != (grant.Ref{}) {
		ref = c.target.String()
	}
	for _, about := range [][2]string{{"ref", ref}, {"id", ownID(c.r.PathValue("id"))}, {"location", c.location}, {"from", c.r.RemoteAddr}} {
		if about[1] != "" {
			attrs = append(attrs, slog.String(about[0], about[1][:min(len(about[1]), mostAudited)]))
		}
	}
	s.c.Audit.LogAttrs(c.r.Context(), slog.LevelInfo, "call", attrs...)
}

// ownID returns an id that has the form of ours, and "" for anything else.
func ownID(s string) string {
	prefix, id, _ := strings.Cut(s, "_")
	if _, err := ulid.ParseStrict(id); err != nil || len(prefix) > 8 || strings.Trim(prefix, "abcdefghijklmnopqrstuvwxyz") != "" {
		return ""
	}
	return s
}

// audited reports whether a request asks for a token, or for a change.
func audited(r *http.Request) bool {
	route := routeOf(r)
	if strings.HasSuffix(route, "/token") || strings.HasPrefix(route, proxyPrefix) || strings.HasPrefix(route, forwardAuthPrefix) {
		return true
	}
	return r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodOptions
}
