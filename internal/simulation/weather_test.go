package simulation

import (
	"hash/fnv"
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
	faults int             // requests that something happened to
	onSend func(string)    // told of the next request
}

func newSky(seed uint64, v *vendor, j *judge) *sky {
	return &sky{seed: seed, v: v, j: j, sent: make(map[string]int), lied: make(map[string]bool)}
}

// failed is how many requests something happened to.
func (s *sky) failed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults
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
	f, failed := s.choose(send)
	if failed {
		s.faults++
	}
	return f
}

// choose returns what happens to a request, and whether that is a fault.
func (s *sky) choose(send oracle.Send) (f oracle.Fault, failed bool) {
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
		return oracle.Fault{LoseRequest: true}, true
	case hanging:
		return oracle.Fault{Before: time.Minute, LoseRequest: true}, true
	case broken:
		return oracle.Fault{Status: http.StatusInternalServerError, Body: `{"error":"server_error"}`}, true
	case portal:
		return oracle.Fault{Status: http.StatusOK, Body: "<html>welcome</html>"}, true
	case crowded:
		return oracle.Fault{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"20"}}}, true
	case refusing:
		return oracle.Fault{Status: http.StatusUnauthorized, Body: `{"error":"invalid_client"}`}, true
	case serene:
		return f, false
	}
	// Where a lost answer costs the grant it is rarer, or nobody would be left.
	rare := uint64(1)
	if s.v.rotation == oracle.Strict || s.v.rotation == oracle.FamilyKill {
		rare = 10
	}
	switch p := dice >> 24 % 1000; {
	case p >= 980 && rare == 1 && !s.lied[send.Grant]:
		s.lied[send.Grant] = true // once proves nothing
		return oracle.Fault{Status: http.StatusBadRequest, Body: `{"error":"invalid_grant"}`}, true
	case p < 30/rare:
		f.LoseAnswer = true
	case p < 50/rare:
		f.CutAnswer = true
	case p < 70/rare:
		f.After = time.Minute // processed, but its sender will have gone
	case p < 90/rare:
		f.Before = time.Minute // and only after that
	case p < 130:
		return oracle.Fault{LoseRequest: true}, true
	case p < 150:
		return oracle.Fault{Status: http.StatusBadGateway, Body: "<html>bad gateway</html>"}, true
	case p < 170:
		return oracle.Fault{Status: http.StatusTeapot, Body: `{"error":"teapot"}`}, true
	default:
		return f, false
	}
	return f, true
}
