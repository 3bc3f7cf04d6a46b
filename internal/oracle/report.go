package oracle

import (
	"slices"
	"time"
)

// Sends returns every presentation so far, oldest first.
func (s *Server) Sends() []Send {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Send, len(s.sends))
	for i, x := range s.sends {
		all[i] = *x
	}
	return all
}

// Report is the judgement over the log.
type Report struct {
	Sends     int // refresh tokens presented
	Rotations int // of them, those that brought a new pair
	Overlaps  int // sends of a grant while another was under way
	TwoLate   int // tokens presented two generations late or more
	Unknown   int // tokens presented that were never issued
}

// Report judges the log.
func (s *Server) Report() Report {
	var r Report
	for _, x := range s.Sends() {
		r.Sends++
		if x.Outcome == "rotated" || x.Outcome == "rotated, answer lost" {
			r.Rotations++
		}
		if x.Overlaps {
			r.Overlaps++
		}
		switch {
		case x.Generation < 0:
			r.Unknown++
		case x.Current-x.Generation >= 2:
			r.TwoLate++
		}
	}
	return r
}

// Rotations counts the pairs issued by refreshes.
func (s *Server) Rotations() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rotations
}

// Dead returns why a grant can no longer be refreshed by a client that holds the
// tokens of the generation it presented last, and false if it still can.
func (s *Server) Dead(name string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.grants[name]
	return f.dead, f.dead != ""
}

// Cut returns the last rotation of a grant whose successor was never presented,
// if the token it consumed was presented again afterwards: the proof that its
// answer did not reach the client.
func (s *Server) Cut(name string) (Send, bool) {
	sends := s.Sends()
	for i, x := range slices.Backward(sends) {
		if x.Grant != name || x.Outcome != "rotated" && x.Outcome != "rotated, answer lost" {
			continue
		}
		for _, later := range sends[i+1:] {
			if later.Grant == name && later.Generation == x.Generation {
				return x, true
			}
		}
	}
	return Send{}, false
}

// Explains reports whether a client that died at one of the given moments may
// have lost the send's answer: it died after the send began and no later than
// slack after the answer was written.
func (x Send) Explains(deaths []time.Time, slack time.Duration) bool {
	return slices.ContainsFunc(deaths, func(t time.Time) bool {
		return !t.Before(x.Start) && (x.End.IsZero() || t.Before(x.End.Add(slack)))
	})
}
