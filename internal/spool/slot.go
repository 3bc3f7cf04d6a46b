package spool

import (
	"context"
	"errors"
	"fmt"
)

// Slot is room for one response, reserved before the request is sent. Its
// methods are safe for concurrent use. Every slot ends with Done or Release;
// calling Release after Done is fine, so it can be deferred.
type Slot struct {
	s        *Spool
	rec      *record // what Write wrote; nil before
	released bool
}

// Errors of a slot used in the wrong order.
var (
	errNotWritten = errors.New("spool slot: nothing was written to it")
	errSpent      = errors.New("spool slot: written or released already")
)

// Reserve takes room for one response. It returns an error that is [ErrFull] if
// the disk is full or MaxBytes is used up, and ErrClosed after Close.
//
// What a slot guarantees, disk errors aside:
//
//   - An answer of up to 64 KiB, which is many times the largest token response,
//     is written to disk that was taken before Reserve returned.
//   - Of longer answers, up to MaxBody, the same holds for two at a time: every
//     Reserve sees to it that there is room for two before it grants another
//     slot. A third one between two calls of Reserve takes room from the disk
//     when it comes, beyond MaxBytes if it must, and fails only if there is
//     none. It never takes room from another slot.
func (s *Spool) Reserve() (*Slot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	for s.room() < need(s.reserved+1) {
		if err := s.grow(s.o.MaxBytes); err != nil {
			return nil, err
		}
	}
	s.reserved++
	return &Slot{s: s}, nil
}

// Write seals the entry and appends it. After nil the entry survives the death
// of the process, and the slot's reservation is used up. After an error nothing
// was written, the reservation stands, and Write may be called again.
func (l *Slot) Write(e Entry) error {
	frame, err := l.s.encode(e)
	if err != nil {
		return err
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	switch {
	case l.s.closed:
		return ErrClosed
	case l.rec != nil || l.released:
		return errSpent
	}
	g, off, err := l.s.append(frame)
	if err != nil {
		return fmt.Errorf("spool %s: %w", e.AttemptID, err)
	}
	l.s.reserved--
	l.rec = &record{seg: g, off: off, end: off + int64(len(frame)), id: e.AttemptID}
	l.s.track(l.rec)
	l.s.shrink()
	return nil
}

// encode returns the frame of an entry.
func (s *Spool) encode(e Entry) ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	plaintext, err := e.plaintext()
	if err != nil {
		return nil, err
	}
	sealed, err := s.o.Ring.Seal(sealSlot(e.AttemptID, e.Of), plaintext)
	if err != nil {
		return nil, err
	}
	size := headBytes + len(e.AttemptID) + len(sealed)
	if size > maxFrame {
		return nil, fmt.Errorf("spool entry takes %d bytes; at most %d fit a frame", size, maxFrame)
	}
	return appendFrame(make([]byte, 0, size), e.AttemptID, e.Of, sealed), nil
}

// Sync makes the written entry survive the loss of power. Concurrent callers
// share one flush. A failed flush is final for the entries it was for; they
// still survive the death of the process. When ctx ends, Sync returns its error
// and the flush goes on.
func (l *Slot) Sync(ctx context.Context) error {
	rec, err := l.beginSync()
	if err != nil || rec == nil {
		return err
	}
	defer l.s.syncs.Done()
	if err := rec.seg.sync.wait(ctx, rec.end, &l.s.syncs); err != nil {
		return fmt.Errorf("sync spool entry %s: %w", rec.id, err)
	}
	return nil
}

// beginSync returns the record to wait for, nil if there is no need to, and
// makes Close wait for the caller.
func (l *Slot) beginSync() (*record, error) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	switch {
	case l.s.closed:
		return nil, ErrClosed
	case l.rec == nil:
		return nil, errNotWritten
	case l.rec.done: // it is committed, and its file may be gone
		return nil, nil
	}
	l.s.syncs.Add(1)
	return l.rec, nil
}

// Done marks the written entry as committed or parked: the next start will not
// return it. The mark is not flushed; after a loss of power the entry may come
// back, and committing it again changes nothing. Calling Done again is fine.
func (l *Slot) Done() error {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	switch {
	case l.s.closed:
		return ErrClosed
	case l.rec == nil:
		return errNotWritten
	}
	l.released = true
	return l.s.finish(l.rec)
}

// Release gives the reservation back if nothing was written. A written entry
// that is not done stays pending for the next start. Releasing again, or after
// Done, does nothing.
func (l *Slot) Release() {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if l.released || l.s.closed {
		return
	}
	l.released = true
	if l.rec == nil {
		l.s.reserved--
		l.s.shrink()
	}
}
