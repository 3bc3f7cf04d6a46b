package oracle

import "slices"

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
	Sends     int            // refresh tokens presented
	Rotations int            // of them, those that brought a new pair
	Overlaps  int            // sends of a grant while another was under way
	TwoLate   int            // tokens presented two generations late or more
	Unknown   int            // tokens presented that were never issued
	Cuts      int            // grants of which an answer provably did not arrive; see Cut
	Dead      map[string]int // grants that ended, by why
}

// Report judges the log.
func (s *Server) Report() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := Report{Sends: len(s.sends), Rotations: s.rotations, Dead: make(map[string]int)}
	for _, x := range s.sends {
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
	for _, f := range s.grants {
		if f.dead != "" {
			r.Dead[f.dead]++
		}
		if _, cut := f.cut(); cut {
			r.Cuts++
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

// Dead returns why a grant has ended, and false if it lives.
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
	s.mu.Lock()
	defer s.mu.Unlock()
	f, known := s.grants[name]
	if !known {
		return Send{}, false
	}
	return f.cut()
}

// cut is [Server.Cut] of one grant. The lock is held.
func (f *family) cut() (Send, bool) {
	for i, x := range slices.Backward(f.sends) {
		if x.Issued > 0 && presented(f.sends[i+1:], x.Generation) && !presented(f.sends[i+1:], x.Issued) {
			return *x, true
		}
	}
	return Send{}, false
}

// presented reports whether the token of a generation is among those of sends.
func presented(sends []*Send, generation int) bool {
	return slices.ContainsFunc(sends, func(x *Send) bool { return x.Generation == generation })
}
