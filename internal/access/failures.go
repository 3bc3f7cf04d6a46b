package access

import (
	"net/netip"
	"sync"
	"time"
)

const (
	failuresAtOnce = 20              // failed attempts from one place before it is told to wait
	failuresEvery  = 3 * time.Second // until one more of them is forgotten
	mostPlaces     = 10000           // remembered at once
)

// Failures counts failed attempts to get in by where they come from, so that a
// place that fails too often is told to wait. Who gets in is never asked about
// here, whatever place they come from: many may share one behind a proxy. It is
// safe for concurrent use.
type Failures struct {
	now func() time.Time

	mu sync.Mutex
	// forgotten is when all failures of a place will be. Of more than mostPlaces,
	// any one is dropped, which to its owner is a gift and to nobody a loss.
	forgotten map[netip.Prefix]time.Time
}

// NewFailures returns a count that has seen none.
func NewFailures(now func() time.Time) *Failures {
	return &Failures{now: now, forgotten: map[netip.Prefix]time.Time{}}
}

// Another counts a failure and returns 0, or, where there were too many, how long
// to wait. What comes too early is not counted, so that waiting helps.
func (f *Failures) Another(from netip.Prefix) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	end, there := f.forgotten[from]
	if end.Before(now) {
		end = now
	}
	end = end.Add(failuresEvery)
	if over := end.Sub(now) - failuresAtOnce*failuresEvery; over > 0 {
		return over
	}
	if !there && len(f.forgotten) >= mostPlaces {
		for any := range f.forgotten {
			delete(f.forgotten, any)
			break
		}
	}
	f.forgotten[from] = end
	return 0
}

// Place is where a request with this RemoteAddr comes from: an IPv4 address, or
// the /64 of an IPv6 address, which is what one customer has. Callers on a socket
// are one place.
func Place(remoteAddr string) netip.Prefix {
	a, err := netip.ParseAddrPort(remoteAddr)
	if err != nil {
		return netip.Prefix{}
	}
	addr, bits := a.Addr().Unmap(), 64
	if addr.Is4() {
		bits = 32
	}
	p, _ := addr.Prefix(bits) // cannot fail: both kinds have that many bits
	return p
}
