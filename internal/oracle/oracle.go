// Package oracle is an authorization server that judges. It plays every
// rotation policy and every fault of a token endpoint, and keeps a log of every
// refresh token that was ever presented. What the tests claim about sends,
// overlaps and losses comes from that log and never from our own bookkeeping. It
// shares no code with the engine and is for tests only.
package oracle

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// The rotation policies.
const (
	Static      = "static"
	Lenient     = "lenient"
	Grace       = "grace"
	RetireOnUse = "retire_on_use"
	Strict      = "strict"
	FamilyKill  = "family_kill"
)

// Options is how the server behaves. AccessLife is required.
type Options struct {
	Now        func() time.Time // nil: time.Now
	Rotation   string
	Window     time.Duration // for Lenient and Grace: how long a used token is still accepted
	AccessLife time.Duration
	// SameSuccessor makes a repeated refresh return the same pair again.
	SameSuccessor bool
	// RevokeOld kills the old access token at rotation.
	RevokeOld              bool
	ClientID, ClientSecret string
	Pad                    int // lengthens access tokens by so many characters
}

// Fault is what happens to one request. The zero value is none.
type Fault struct {
	Before      time.Duration // waits before anything else
	LoseRequest bool          // the connection ends before the request is looked at
	LoseAnswer  bool          // the request is processed and the connection ends unanswered
	After       time.Duration // waits after processing, before answering
	Status      int           // answers this instead of processing, with Body
	Body        string
	Header      http.Header
	Edit        func(map[string]any) // changes the members of a successful answer
}

// Send is one presentation of a refresh token.
type Send struct {
	Grant      string
	Generation int // of the token presented; -1 if it was never issued
	Current    int // the newest generation at that moment
	Start, End time.Time
	Outcome    string // "rotated", "repeated", "refused: …", "fault: …"
	Overlaps   bool   // another send of the same grant was under way
}

// Server is the authorization server. It is safe for concurrent use.
type Server struct {
	o   Options
	pad string

	mu        sync.Mutex
	grants    map[string]*family
	byRT      map[string]tokenOf
	byAT      map[string]tokenOf
	sends     []*Send
	rotations int
	fault     func(Send) Fault
}

type tokenOf struct {
	grant      string
	generation int
}

type family struct {
	current  int
	tokens   []pair // by generation
	underway int
	dead     string // why, "" while it lives
}

type pair struct {
	access, refresh string
	expires         time.Time
	used            time.Time // when the refresh token was first used; zero if not
	accessDead      bool
}

// New returns a server without grants.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Server{o: o, pad: strings.Repeat("x", o.Pad), grants: make(map[string]*family), byRT: make(map[string]tokenOf), byAT: make(map[string]tokenOf)}
}

// SetFault decides the fault of each request from what is known when it comes.
// f may be nil; it is called with the server locked.
func (s *Server) SetFault(f func(Send) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Issue makes a grant and returns its first tokens, as a consent would.
func (s *Server) Issue(name string) (access, refresh string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &family{current: -1}
	s.grants[name] = f
	p := s.rotate(name, f)
	return p.access, p.refresh
}

// Kill ends a grant, as a merchant who removes access does.
func (s *Server) Kill(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grants[name].dead = "revoked by the merchant"
}

// rotate issues the next pair. The lock is held.
func (s *Server) rotate(name string, f *family) pair {
	p := pair{
		access: "at-" + rand.Text() + s.pad, refresh: "rt-" + rand.Text(),
		expires: s.o.Now().Add(s.o.AccessLife),
	}
	if s.o.Rotation == Static && f.current >= 0 {
		p.refresh = f.tokens[f.current].refresh
	}
	if s.o.RevokeOld && f.current >= 0 {
		f.tokens[f.current].accessDead = true
	}
	f.tokens = append(f.tokens, p)
	f.current++
	s.byRT[p.refresh] = tokenOf{name, f.current}
	s.byAT[p.access] = tokenOf{name, f.current}
	return p
}

// ServeHTTP serves POST /token and GET /api.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/token":
		s.token(w, r)
	case "/api":
		if s.AccessValid(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")) {
			fmt.Fprintln(w, "ok")
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
	default:
		http.NotFound(w, r)
	}
}

// AccessValid reports whether the API would accept the access token, and counts
// as its use.
func (s *Server) AccessValid(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	of, ok := s.byAT[token]
	if !ok {
		return false
	}
	f := s.grants[of.grant]
	p := f.tokens[of.generation]
	if f.dead != "" || p.accessDead || !s.o.Now().Before(p.expires) {
		return false
	}
	s.proven(f, of.generation)
	return true
}

// proven retires what came before a generation that is now in use.
func (s *Server) proven(f *family, generation int) {
	if s.o.Rotation != RetireOnUse {
		return
	}
	for g := range generation {
		f.tokens[g].refresh = ""
	}
}

func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	s.mu.Lock()
	send, f := s.receive(r)
	var fault Fault
	if s.fault != nil {
		fault = s.fault(*send)
	}
	s.mu.Unlock()

	end := func(outcome string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		send.Outcome, send.End = outcome, s.o.Now()
		if f != nil {
			f.underway--
		}
	}
	wait(r, fault.Before)
	if fault.LoseRequest {
		end("fault: request lost")
		panic(http.ErrAbortHandler)
	}
	if fault.Status != 0 {
		for k, v := range fault.Header {
			w.Header()[k] = v
		}
		w.WriteHeader(fault.Status)
		_, _ = w.Write([]byte(fault.Body))
		end(fmt.Sprintf("fault: status %d", fault.Status))
		return
	}
	status, body, outcome := s.process(r, send, f)
	wait(r, fault.After)
	if fault.LoseAnswer {
		end(outcome + ", answer lost")
		panic(http.ErrAbortHandler)
	}
	if fault.Edit != nil && status == http.StatusOK {
		fault.Edit(body)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
	if fl, ok := w.(http.Flusher); ok {
		fl.Flush()
	}
	end(outcome)
}

// wait waits for d, or until the client has gone: what a server does later for a
// client that has gone is its own affair, so it goes on all the same.
func wait(r *http.Request, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
	}
}

// receive logs a presentation. The lock is held.
func (s *Server) receive(r *http.Request) (*Send, *family) {
	of, known := s.byRT[r.PostForm.Get("refresh_token")]
	send := &Send{Grant: of.grant, Generation: of.generation, Start: s.o.Now()}
	s.sends = append(s.sends, send)
	if !known {
		send.Generation = -1
		return send, nil
	}
	f := s.grants[of.grant]
	send.Current = f.current
	send.Overlaps = f.underway > 0
	f.underway++
	return send, f
}

// process answers as the rotation policy says.
func (s *Server) process(r *http.Request, send *Send, f *family) (int, map[string]any, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, secret, ok := r.BasicAuth(); s.o.ClientID != "" && (!ok || id != s.o.ClientID || secret != s.o.ClientSecret) {
		return refuse(http.StatusUnauthorized, "invalid_client")
	}
	switch {
	case f == nil:
		return refuse(http.StatusBadRequest, "invalid_grant")
	case f.dead != "":
		return refuse(http.StatusBadRequest, "invalid_grant")
	}
	p := &f.tokens[send.Generation]
	if p.refresh == "" { // retired
		return refuse(http.StatusBadRequest, "invalid_grant")
	}
	now := s.o.Now()
	fresh := send.Generation == f.current
	switch {
	case fresh, s.o.Rotation == Static:
	case s.o.Rotation == RetireOnUse:
	case (s.o.Rotation == Grace || s.o.Rotation == Lenient) && now.Sub(p.used) <= s.o.Window:
		if s.o.SameSuccessor && send.Generation == f.current-1 {
			return http.StatusOK, s.answer(f.tokens[f.current]), "repeated"
		}
	case s.o.Rotation == FamilyKill:
		f.dead = "refresh token used again"
		return refuse(http.StatusBadRequest, "invalid_grant")
	default:
		return refuse(http.StatusBadRequest, "invalid_grant")
	}
	if p.used.IsZero() {
		p.used = now
	}
	s.rotations++
	s.proven(f, send.Generation)
	return http.StatusOK, s.answer(s.rotate(send.Grant, f)), "rotated"
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
