package sandbox

import "net/http"

// endGrant is the revocation endpoint (RFC 7009) and the back-channel logout
// of Keycloak: a refresh token ends its grant, an access token only itself. A
// token nobody knows is no error.
func (s *Sandbox) endGrant(sr *series, which func(tokenRequest) string, done int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		req := sr.readToken(w, r)
		refused := s.end(sr, req, which(req), entryOf(r))
		if refused != nil {
			writeJSON(w, refused.status, map[string]any{"error": refused.code, "error_description": refused.description})
			return
		}
		w.WriteHeader(done)
	}
}

func (s *Sandbox) end(sr *series, req tokenRequest, value string, entry *LogEntry) *oauthError {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry.ClientID, entry.Token = clip(req.clientID), fingerprint(value)
	cl := s.w.client(sr, req.clientID)
	switch {
	case req.err != nil:
		return req.err
	case cl == nil || !req.hasCredentials || !cl.acceptsSecret(req.secret):
		return &sr.texts.badClient
	case value == "":
		return &oauthError{http.StatusBadRequest, "invalid_request", "Token not provided"}
	}
	t := s.w.tokens[keyOf(value)]
	if t == nil {
		entry.Outcome = "unknown token"
		return nil
	}
	entry.Grant = t.grant.id
	switch {
	case t.grant.client != cl:
		return &oauthError{http.StatusBadRequest, "invalid_token", "Unmatching clients"}
	case t.refresh:
		t.grant.kill(deathLogout, s.now())
		entry.Outcome = "grant ended"
	default:
		t.end(s.now())
		entry.Outcome = "access token ended"
	}
	return nil
}
