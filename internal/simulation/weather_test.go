package simulation

import (
	"hash/fnv"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/evergrant/evergrant/internal/oracle"
)

// weather is what a provider is like for a while.
type weather int

const (
	fair     weather = iota
	down             // connections break before the request is looked at
	hanging          // and it takes a minute until they do
	broken           // 500
	portal           // somebody's HTML
	crowded          // 429
	refusing         // the app is refused
	weathers
	serene weather = -1 // not even single requests fail
)

// The faults, by their names in the figures.
const (
	requestLost  = "request lost"
	requestHung  = "request lost after a minute"
	serverError  = "500"
	html         = "HTML"
	throttled    = "429"
	appRefused   = "invalid_client"
	falseRefusal = "false invalid_grant"
	answerLost   = "answer lost"
	answerCut    = "answer cut short"
	answerLate   = "answered too late"
	requestLate  = "processed too late"
	badGateway   = "502"
	teapot       = "418"

	storeDown   = "store down"
	inDoubt     = "write of unknown outcome"
	processDied = "kill"
)

// everyFault is all of them.
var everyFault = []string{
	requestLost, requestHung, serverError, html, throttled, appRefused, falseRefusal, answerLost, answerCut, answerLate, requestLate, badGateway, teapot,
	storeDown, inDoubt, processDied,
}

// sky is the weather at one provider, and the faults of single requests, which
// depend on the seed and the request and not on the order of things.
type sky struct {
	seed uint64
	v    *vendor
	j    *judge

	mu     sync.Mutex
	now    weather
	sent   map[string]int  // by grant
	lied   map[string]bool // by grant: whether it was refused for no reason
	faults tally           // requests that something happened to
	onSend func(string)    // told of the next request
}

func newSky(seed uint64, v *vendor, j *judge) *sky {
	return &sky{seed: seed, v: v, j: j, sent: make(map[string]int), lied: make(map[string]bool)}
}

// failed is how many requests something happened to, by what it was.
func (s *sky) failed() tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.faults)
}

func (s *sky) set(w weather) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = w
}

// watch has f called with the grant of the next request when it comes.
func (s *sky) watch(f func(string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onSend = f
}

// fault decides what happens to a request.
func (s *sky) fault(send oracle.Send) oracle.Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.onSend != nil {
		s.onSend(send.Grant)
		s.onSend = nil
	}
	f, what := s.choose(send)
	if what != "" {
		s.faults.count(what, 1)
	}
	return f
}

// choose returns what happens to a request, and its name if that is a fault.
func (s *sky) choose(send oracle.Send) (f oracle.Fault, what string) {
	n := s.sent[send.Grant]
	s.sent[send.Grant]++
	h := fnv.New64a()
	_, _ = h.Write([]byte(s.v.name + "/" + send.Grant + "/" + strconv.Itoa(n) + "/" + strconv.FormatUint(s.seed, 10)))
	dice := h.Sum64()
	dice ^= dice >> 32
	f = oracle.Fault{
		After: time.Duration(dice>>10%400) * time.Millisecond,
		Edit:  func(m map[string]any) { s.j.answered(send.Grant, m["access_token"].(string)) },
	}
	switch s.now {
	case down:
		return oracle.Fault{LoseRequest: true}, requestLost
	case hanging:
		return oracle.Fault{Before: time.Minute, LoseRequest: true}, requestHung
	case broken:
		return oracle.Fault{Status: http.StatusInternalServerError, Body: `{"error":"server_error"}`}, serverError
	case portal:
		return oracle.Fault{Status: http.StatusOK, Body: "<html>welcome</html>"}, html
	case crowded:
		return oracle.Fault{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"20"}}}, throttled
	case refusing:
		return oracle.Fault{Status: http.StatusUnauthorized, Body: `{"error":"invalid_client"}`}, appRefused
	case serene:
		return f, ""
	}
	// Where a lost answer costs the grant it is rarer, or nobody would be left.
	rare := uint64(1)
	if s.v.rotation == oracle.Strict || s.v.rotation == oracle.FamilyKill {
		rare = 10
	}
	switch p := dice >> 24 % 1000; {
	case p >= 980 && rare == 1 && !s.lied[send.Grant]:
		s.lied[send.Grant] = true // once proves nothing
		return oracle.Fault{Status: http.StatusBadRequest, Body: `{"error":"invalid_grant"}`}, falseRefusal
	case p < 30/rare:
		f.LoseAnswer = true
		return f, answerLost
	case p < 50/rare:
		f.CutAnswer = true
		return f, answerCut
	case p < 70/rare:
		f.After = time.Minute // processed, but its sender will have gone
		return f, answerLate
	case p < 90/rare:
		f.Before = time.Minute // and only after that
		return f, requestLate
	case p < 130:
		return oracle.Fault{LoseRequest: true}, requestLost
	case p < 150:
		return oracle.Fault{Status: http.StatusBadGateway, Body: "<html>bad gateway</html>"}, badGateway
	case p < 170:
		return oracle.Fault{Status: http.StatusTeapot, Body: `{"error":"teapot"}`}, teapot
	default:
		return f, ""
	}
}
