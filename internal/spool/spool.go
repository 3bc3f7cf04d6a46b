// Package spool is the journal of received token responses. A response is
// written here, sealed, before it is even parsed; from then on the process may
// die. Room for it is reserved before the request is sent, so that a full disk
// stops a refresh before a single-use token is spent and not after.
//
// Write puts the response into the page cache, which survives the death of the
// process. Sync makes it survive the loss of power; it is needed only where the
// commit that follows does not do so at once.
//
// # Files
//
// A spool is a directory of segments, 00000001.spool and so on, each
// preallocated in full and filled from the front with frames (see frame.go). A
// process writes only to segments it made itself; what an earlier one left is
// read once, by Open. An entry is marked done by overwriting one byte of its
// frame, so marking needs no room and segments can go in any order. A segment
// goes when all its entries are done and Retention has passed, or earlier when
// its room is wanted; it is looked at when an entry is done and when a segment
// is full, not by a goroutine.
//
// # Room
//
// What a reservation guarantees is in the documentation of [Spool.Reserve].
package spool

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/evergrant/evergrant/internal/seal"
)

// The errors callers act on.
var (
	// ErrFull: there is no room for another response. Requests that need one
	// must wait; time or an operator cures it.
	ErrFull = errors.New("spool is full")
	// ErrClosed: the spool is closed.
	ErrClosed = errors.New("spool is closed")
)

// Options say where a spool is and how much it may take.
type Options struct {
	Dir  string // made if missing, mode 0700; on a local disk, for one process
	Ring *seal.Ring
	Now  func() time.Time // nil means time.Now
	// SegmentBytes is the size of a file: from 4 MiB to 1 GiB, at most half of
	// MaxBytes; 0 means 16 MiB, or that half. An idle spool occupies one.
	SegmentBytes int64
	// MaxBytes is how much disk reservations may take; 0 means 256 MiB. Only
	// answers over 64 KiB that are in hand already may go beyond it.
	MaxBytes int64
	// Retention is how long committed entries are kept at least, unless MaxBytes
	// wants the room; 0 means one hour.
	Retention time.Duration
	Logger    *slog.Logger // nil discards
}

// Bounds and defaults of the options.
const (
	defaultSegment   = 16 << 20
	minSegment       = 4 << 20
	maxSegment       = 1 << 30
	defaultMax       = 256 << 20
	defaultRetention = time.Hour
)

// withDefaults returns the options with zero values filled in.
func (o Options) withDefaults() (Options, error) {
	if o.Dir == "" {
		return o, errors.New("spool: no directory; set spool to a directory on a local disk")
	}
	if o.Ring == nil {
		return o, errors.New("spool: no ring to seal with")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Retention == 0 {
		o.Retention = defaultRetention
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMax
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = min(defaultSegment, o.MaxBytes/2)
	}
	if o.SegmentBytes < minSegment || o.SegmentBytes > maxSegment || o.SegmentBytes > o.MaxBytes/2 {
		return o, fmt.Errorf("spool: segments of %d bytes with at most %d in all; a segment must have %d to %d bytes and fit twice",
			o.SegmentBytes, o.MaxBytes, minSegment, maxSegment)
	}
	return o, nil
}

// Spool is an open spool. Its methods are safe for concurrent use.
type Spool struct {
	o     Options
	lock  *os.File // holds the flock; its being open is the lock
	syncs sync.WaitGroup

	mu     sync.Mutex
	closed bool
	// active are the segments this process appends to: the first until it is
	// full, then the next. The others are empty.
	active []*segment
	// old are segments that are full or were left by an earlier process.
	old      []*segment
	number   uint64 // of the newest segment
	bytes    int64  // on disk, active and old
	reserved int    // slots given out and not written or released
	undone   map[string][]*record
	found    []*record // in found order, undone at Open
	damaged  int       // frames and stretches Open could not read
}

// record is one written entry.
type record struct {
	seg      *segment
	off, end int64 // of its frame in the segment
	id       string
	done     bool
	entry    *Entry // of those found at Open, until they are done
}

// Stats are a spool's numbers at one moment.
type Stats struct {
	Entries  int   // written and not done
	Bytes    int64 // of disk
	Reserved int   // slots reserved and not yet written
	Damaged  int   // places that Open could not read; their files are kept
}

// Stats returns the current numbers.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, recs := range s.undone {
		n += len(recs)
	}
	return Stats{Entries: n, Bytes: s.bytes, Reserved: s.reserved, Damaged: s.damaged}
}

// Pending returns the entries that Open found and that are not done yet, oldest
// first. Commit or park each, then call [Spool.Done].
func (s *Spool) Pending() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Entry
	for _, r := range s.found {
		if !r.done {
			out = append(out, *r.entry)
		}
	}
	return out
}

// Done marks every entry of an attempt as committed or parked. An attempt
// without entries is no error: done twice is done.
func (s *Spool) Done(attemptID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	for _, r := range slices.Clone(s.undone[attemptID]) {
		if err := s.finish(r); err != nil {
			return err
		}
	}
	return nil
}

// Close releases the directory. What is not done stays for the next Open. Slots
// that are still reserved can no longer be written; wait for them before.
// Closing twice is no error.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.syncs.Wait() // none begins after closed is set
	var errs []error
	for _, g := range s.active {
		if g.used == 0 {
			errs = append(errs, s.remove(g))
			continue
		}
		g.trim()
		errs = append(errs, g.f.Close())
	}
	for _, g := range s.old {
		errs = append(errs, g.f.Close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}
