package spool

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
)

// Kept returns what is still on disk, of earlier processes and of this one, newest
// first, and of each entry whether it is done. What a store has lost since can be
// redone from it. Entries that cannot be read are left out.
func (s *Spool) Kept() iter.Seq2[Entry, bool] {
	return func(yield func(Entry, bool) bool) {
		s.mu.Lock()
		segments := slices.Concat(s.old, s.active)
		s.mu.Unlock()
		for _, g := range slices.Backward(segments) {
			b, ok := s.content(g)
			if !ok {
				continue
			}
			for _, f := range slices.Backward(scan(b).frames) {
				plaintext, err := s.o.Ring.Open(f.slot(), f.sealed)
				if err != nil {
					continue
				}
				e, err := parseEntry(f.id, f.of, plaintext)
				if err == nil && !yield(e, f.done) {
					return
				}
			}
		}
	}
}

// content reads a segment, if it is still there.
func (s *Spool) content(g *segment) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !slices.Contains(s.old, g) && !slices.Contains(s.active, g) {
		return nil, false
	}
	b := make([]byte, g.used)
	_, err := io.ReadFull(io.NewSectionReader(g.f, 0, g.used), b)
	return b, err == nil
}

// Forget removes the done entries that are only kept, as far as no pending one
// shares their file: once a store was redone from them, its versions count on
// from there and theirs mean nothing any more. An error means that some are
// there still.
func (s *Spool) Forget() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	s.old = slices.DeleteFunc(s.old, func(g *segment) bool {
		if g.undone > 0 {
			return false
		}
		if err := s.remove(g); err != nil {
			errs = append(errs, fmt.Errorf("%w; remove that file", err))
		}
		return true
	})
	return errors.Join(errs...)
}
