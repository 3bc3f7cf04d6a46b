package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/evergrant/evergrant/internal/fault"
)

const (
	// slotBytes is what every reservation is sure of: a body of 64 KiB and its heads.
	slotBytes = 64<<10 + 4<<10
	// overflowBytes are kept free besides, for two frames of any size.
	overflowBytes = 2 * maxFrame
)

// need is how much room n reservations take.
func need(n int) int64 { return int64(n)*slotBytes + overflowBytes }

// room is how many bytes of frames are sure to fit, of whatever sizes and in
// whatever order they come. A segment is left only when a frame does not fit its
// end, so at most the last maxFrame bytes of each are wasted.
func (s *Spool) room() int64 {
	var n int64
	for _, g := range s.active {
		n += max(0, g.left()-maxFrame)
	}
	return n
}

// grow adds a segment, if that keeps the spool within limit bytes. Segments that
// are only retained make way, oldest first.
func (s *Spool) grow(limit int64) error {
	for s.bytes+s.o.SegmentBytes > limit {
		if !s.evict() {
			return fmt.Errorf("%w: entries waiting to be committed and requests under way take %d of %d bytes of %s",
				ErrFull, s.bytes, s.o.MaxBytes, s.o.Dir)
		}
	}
	for {
		g, err := createSegment(s.o.Dir, s.number+1, s.o.SegmentBytes)
		if err == nil {
			s.number++
			s.bytes += g.size
			s.active = append(s.active, g)
			return nil
		}
		if !isDiskFull(err) {
			return fmt.Errorf("add a spool segment: %w", err)
		}
		if !s.evict() {
			return fmt.Errorf("%w: %s has no room for another %d bytes; free some, or move the spool to another disk: %w",
				ErrFull, s.o.Dir, s.o.SegmentBytes, err)
		}
	}
}

// isDiskFull tells errors that more room cures: no space, a quota, a limit on
// the size of files.
func isDiskFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG)
}

// noLimit lets an answer that is in hand go beyond MaxBytes.
const noLimit = 1<<63 - 1

// append writes a frame for the holder of one reservation. A segment that fails
// is given up and the frame goes to another.
func (s *Spool) append(frame []byte) (*segment, int64, error) {
	for tries := 0; ; tries++ {
		g, err := s.place(int64(len(frame)))
		if err != nil {
			return nil, 0, err
		}
		off, err := g.append(frame)
		if err == nil {
			return g, off, nil
		}
		if tries > 0 {
			return nil, 0, err
		}
		s.o.Logger.Warn("a spool segment failed; going on in another", "file", g.path, "error", err)
	}
}

// place returns the segment for a frame of size bytes. A frame within slotBytes
// finds room without growing, as long as no segment failed; a longer one may not
// take the room of the other reservations.
func (s *Spool) place(size int64) (*segment, error) {
	for {
		if s.room()-size < int64(s.reserved-1)*slotBytes {
			if err := s.grow(noLimit); err != nil {
				return nil, err
			}
			continue
		}
		for len(s.active) > 0 { // a flush may fail a segment at any moment
			if g := s.active[0]; g.left() >= size {
				return g, nil
			}
			s.roll()
		}
	}
}

// roll leaves the first active segment for the next one.
func (s *Spool) roll() {
	g := s.active[0]
	s.active = s.active[1:]
	s.retire(g)
	s.sweep()
}

// retire moves a segment to the old ones and gives its unused end back.
func (s *Spool) retire(g *segment) {
	before := g.size
	g.trim()
	s.bytes -= before - g.size
	s.old = append(s.old, g)
}

// shrink drops spare segments when no slot is reserved any more, so that a burst
// leaves no footprint. It keeps as many as the next reservation needs.
func (s *Spool) shrink() {
	if s.reserved > 0 {
		return
	}
	for last := len(s.active) - 1; last > 0 && s.active[last].used == 0; last-- {
		if s.room()-max(0, s.active[last].left()-maxFrame) < need(1) {
			return
		}
		s.drop(s.active[last])
		s.active = s.active[:last]
	}
}

// track counts an entry as not done.
func (s *Spool) track(r *record) {
	r.seg.undone++
	s.undone[r.id] = append(s.undone[r.id], r)
}

// finish marks an entry as done, once.
func (s *Spool) finish(r *record) error {
	if r.done {
		return nil
	}
	err := fault.Point("spool.before-done")
	if err == nil {
		_, err = r.seg.f.WriteAt([]byte{stateDone}, r.off+stateAt)
	}
	if err != nil {
		return fmt.Errorf("mark spool entry %s as done: %w", r.id, err)
	}
	r.done, r.entry = true, nil
	r.seg.undone--
	r.seg.doneAt = s.o.Now()
	left := slices.DeleteFunc(s.undone[r.id], func(o *record) bool { return o == r })
	if s.undone[r.id] = left; len(left) == 0 {
		delete(s.undone, r.id)
	}
	s.sweep()
	return nil
}

// sweep removes the old segments whose entries have been done for long enough.
func (s *Spool) sweep() {
	kept := s.old[:0]
	for _, g := range s.old {
		if g.undone == 0 && s.o.Now().Sub(g.doneAt) >= s.o.Retention {
			s.drop(g)
			continue
		}
		kept = append(kept, g)
	}
	clear(s.old[len(kept):])
	s.old = kept
}

// evict removes the oldest segment that is only retained.
func (s *Spool) evict() bool {
	i := slices.IndexFunc(s.old, func(g *segment) bool { return g.undone == 0 })
	if i < 0 {
		return false
	}
	s.drop(s.old[i])
	s.old = slices.Delete(s.old, i, i+1)
	return true
}

// drop removes a segment, or logs that it could not.
func (s *Spool) drop(g *segment) {
	if err := s.remove(g); err != nil {
		s.o.Logger.Warn("could not remove a spool segment; the next start will", "file", g.path, "error", err)
	}
}

// keptSuffix marks a segment that could not be read in full and is nobody's any
// more. To have it read again, take the suffix off and restart.
const keptSuffix = ".kept"

// remove deletes a segment, or puts it aside if it holds something unreadable.
func (s *Spool) remove(g *segment) error {
	s.bytes -= g.size
	closeErr := g.f.Close()
	if !g.damaged {
		return errors.Join(os.Remove(g.path), closeErr)
	}
	s.o.Logger.Warn("a spool segment that could not be read in full is kept aside",
		"file", filepath.Base(g.path)+keptSuffix)
	return errors.Join(os.Rename(g.path, g.path+keptSuffix), closeErr)
}
