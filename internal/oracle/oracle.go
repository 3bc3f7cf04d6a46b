// Package oracle is an authorization server that judges. It plays every
// rotation policy and every fault of a token endpoint, and keeps a log of every
// refresh token that was ever presented. What the tests claim about sends,
// overlaps and losses comes from that log and never from our own bookkeeping. It
// shares no code with the engine and is for tests only.
package oracle

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
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
	// MaxReuse is, for Grace, how often a used token is accepted again within the
	// window; 0 is any number of times.
	MaxReuse int
	// SameSuccessor makes a repeated refresh return the same pair again.
	SameSuccessor bool
	OldAccess     OldAccess
	// SlowToAccept is how long the API still refuses an access token that a
	// refresh has brought, as one that lags behind its token endpoint does.
	SlowToAccept           time.Duration
	ClientID, ClientSecret string
	Pad                    int // lengthens access tokens by so many characters
}

// OldAccess is how an access token dies once it has a successor: After so long
// from the moment that From names. The zero value leaves it to its own end. The
// end of a grant, by reuse or by the merchant, takes its access tokens along
// under any.
type OldAccess struct {
	From  Moment
	After time.Duration
}

// Moment is one in the life of a successor.
type Moment string

// The moments.
const (
	AtRotation Moment = "rotation"  // it is issued
	AtFirstUse Moment = "first use" // its access token is accepted, or its refresh token rotated
)

// Fault is what happens to one request. The zero value is none.
type Fault struct {
	Before      time.Duration // waits before anything else
	LoseRequest bool          // the connection ends before the request is looked at
	LoseAnswer  bool          // the request is processed and the connection ends unanswered
	CutAnswer   bool          // the same, in the middle of the answer's body
	After       time.Duration // waits after processing, before answering
	Status      int           // answers this instead of processing, with Body
	Body        string
	Header      http.Header
	Edit        func(map[string]any) // changes the members of a successful answer
}

// Send is one presentation of a refresh token.
type Send struct {
	Grant      string
	Client     string // who asked: the token endpoint's client parameter, if the URL has one
	Generation int    // of the token presented; -1 if it was never issued
	Current    int    // the newest generation at that moment
	Issued     int    // the generation it brought; 0 if none
	Start, End time.Time
	Outcome    string // "rotated", "repeated", "refused: …", "fault: …"; ", answer lost" at its end if it was
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
		end(fmt.Sprintf("fault: status %d", fault.Status))
		w.WriteHeader(fault.Status)
		_, _ = w.Write([]byte(fault.Body))
		return
	}
	status, body, outcome := s.process(r, send, f)
	wait(r, fault.After)
	if fault.LoseAnswer {
		end(outcome + lost)
		panic(http.ErrAbortHandler)
	}
	if fault.Edit != nil && status == http.StatusOK {
		fault.Edit(body)
	}
	text, _ := json.Marshal(body)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	if fault.CutAnswer {
		text, outcome = text[:len(text)/2], outcome+lost
	}
	// Before the answer is written: whoever has it may send again at once.
	end(outcome)
	_, _ = w.Write(text)
	if fl, ok := w.(http.Flusher); ok {
		fl.Flush()
	}
	if fault.CutAnswer {
		panic(http.ErrAbortHandler)
	}
}

// lost ends the outcome of a send whose answer was not delivered.
const lost = ", answer lost"

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
	send := &Send{Grant: of.grant, Client: r.URL.Query().Get("client"), Generation: of.generation, Start: s.o.Now()}
	s.sends = append(s.sends, send)
	if !known {
		send.Generation = -1
		return send, nil
	}
	f := s.grants[of.grant]
	f.sends = append(f.sends, send)
	send.Current = f.current
	send.Overlaps = f.underway > 0
	f.underway++
	return send, f
}
