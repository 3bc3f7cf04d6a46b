package oracle

import (
	"crypto/rand"
	"net/http"
	"time"
)

// tokenOf is what a token stands for.
type tokenOf struct {
	grant      string
	generation int
}

// family is one grant with all the tokens it ever had.
type family struct {
	current  int
	tokens   []pair  // by generation
	sends    []*Send // of any of them
	underway int
	dead     string // why, "" while it lives
}

// pair is one generation of tokens.
type pair struct {
	access, refresh string    // refresh is "" once it is retired
	accepted        time.Time // when the API begins to accept the access token
	expires         time.Time // when it ends by itself
	dies            time.Time // when its successor ends it; zero if nothing does yet
	used            time.Time // when the refresh token was first used; zero if not
	reused          int       // how often it was accepted again since
}

// rotate issues the next pair. The lock is held.
func (s *Server) rotate(name string, f *family) pair {
	now := s.o.Now()
	p := pair{access: "at-" + rand.Text() + s.pad, refresh: "rt-" + rand.Text(), accepted: now, expires: now.Add(s.o.AccessLife)}
	if f.current >= 0 {
		if s.o.Rotation == Static {
			p.refresh = f.tokens[f.current].refresh
		}
		p.accepted = now.Add(s.o.SlowToAccept)
	}
	if s.o.OldAccess.From == AtRotation {
		s.end(f, f.current+1)
	}
	f.tokens = append(f.tokens, p)
	f.current++
	s.byRT[p.refresh] = tokenOf{name, f.current}
	s.byAT[p.access] = tokenOf{name, f.current}
	return p
}

// end ends the access tokens before a generation, as [OldAccess] says.
func (s *Server) end(f *family, generation int) {
	for g := range generation {
		if p := &f.tokens[g]; p.dies.IsZero() {
			p.dies = s.o.Now().Add(s.o.OldAccess.After)
		}
	}
}

// AccessValid reports whether the API would accept the access token, and counts
// as its use if it does.
func (s *Server) AccessValid(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	of, ok := s.byAT[token]
	if !ok {
		return false
	}
	f, now := s.grants[of.grant], s.o.Now()
	p := f.tokens[of.generation]
	if f.dead != "" || now.Before(p.accepted) || !now.Before(p.expires) || !p.dies.IsZero() && !now.Before(p.dies) {
		return false
	}
	s.proven(f, of.generation)
	return true
}

// Generation returns how manieth of its grant an access token is, the first being
// 0, and false if it was never issued.
func (s *Server) Generation(token string) (int, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of, ok := s.byAT[token]
	return of.generation, ok
}

// proven ends what came before a generation that is now in use.
func (s *Server) proven(f *family, generation int) {
	if s.o.OldAccess.From == AtFirstUse {
		s.end(f, generation)
	}
	if s.o.Rotation == RetireOnUse {
		for g := range generation {
			f.tokens[g].refresh = ""
		}
	}
}

// process answers as the rotation policy says.
func (s *Server) process(r *http.Request, send *Send, f *family) (int, map[string]any, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, secret, ok := r.BasicAuth(); s.o.ClientID != "" && (!ok || id != s.o.ClientID || secret != s.o.ClientSecret) {
		return refuse(http.StatusUnauthorized, "invalid_client")
	}
	if f == nil || f.dead != "" {
		return refuse(http.StatusBadRequest, "invalid_grant")
	}
	p := &f.tokens[send.Generation]
	if !s.accepts(p, send.Generation == f.current) {
		if s.o.Rotation == FamilyKill {
			f.dead = "refresh token used again"
		}
		return refuse(http.StatusBadRequest, "invalid_grant")
	}
	if p.used.IsZero() {
		p.used = s.o.Now()
	} else {
		p.reused++
	}
	if s.o.SameSuccessor && p.reused > 0 && send.Generation == f.current-1 {
		return http.StatusOK, s.answer(f.tokens[f.current]), "repeated"
	}
	s.rotations++
	if s.o.Rotation != Static { // there it is the same token before and after
		s.proven(f, send.Generation)
	}
	next := s.rotate(send.Grant, f)
	send.Issued = f.current
	return http.StatusOK, s.answer(next), "rotated"
}

// accepts reports whether a refresh token that was issued is good for another
// pair. A token that was never used is, even where a repetition of its
// predecessor has brought another since.
func (s *Server) accepts(p *pair, current bool) bool {
	switch s.o.Rotation {
	case Static:
		return true
	case RetireOnUse:
		return p.refresh != ""
	case Lenient:
		return p.used.IsZero() || s.o.Now().Sub(p.used) <= s.o.Window
	case Grace:
		return p.used.IsZero() || s.o.Now().Sub(p.used) <= s.o.Window && (s.o.MaxReuse == 0 || p.reused < s.o.MaxReuse)
	}
	return current
}

func (s *Server) answer(p pair) map[string]any {
	return map[string]any{
		"access_token": p.access, "refresh_token": p.refresh, "token_type": "Bearer",
		"expires_in": int(p.expires.Sub(s.o.Now()) / time.Second), "scope": "all",
	}
}

func refuse(status int, code string) (int, map[string]any, string) {
	return status, map[string]any{"error": code}, "refused: " + code
}
