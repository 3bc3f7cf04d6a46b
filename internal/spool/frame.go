package spool

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/seal"
)

// A frame is one entry in a segment. Numbers are big-endian.
//
//	 0  magic "EGR1", which is also the version of this layout
//	 4  state, 'P' pending or 'D' done; outside the checksum
//	 5  length of the attempt id, 1 byte
//	 6  length of the sealed payload, 4 bytes
//	10  epoch, 8 bytes
//	18  seq, 8 bytes
//	26  CRC-32C of everything but the state and itself, 4 bytes
//	30  attempt id, then the payload, sealed for seal.Slot{seal.Spool, attempt id, epoch, seq}
//
// The checksum finds what a crash tore; the seal is what proves an entry.
const (
	magic     = "EGR1"
	stateAt   = 4
	crcAt     = 26
	headBytes = 30

	statePending = 'P'
	stateDone    = 'D'

	// maxFrame bounds a frame: the longest body, and ample room for the heads.
	maxFrame = MaxBody + 4<<10
)

// frame is a frame found in a segment.
type frame struct {
	off, end int // in the segment
	done     bool
	id       string
	of       grant.Version
	sealed   []byte // aliases the segment
}

// slot is the only place the frame's payload opens in.
func (f frame) slot() seal.Slot { return sealSlot(f.id, f.of) }

func sealSlot(id string, of grant.Version) seal.Slot {
	return seal.Slot{Table: seal.Spool, Row: id, Epoch: of.Epoch, Seq: of.Seq}
}

// appendFrame encodes a pending frame.
func appendFrame(b []byte, id string, of grant.Version, sealed []byte) []byte {
	start := len(b)
	b = append(b, magic...)
	b = append(b, statePending, byte(len(id)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(sealed)))
	b = binary.BigEndian.AppendUint64(b, uint64(of.Epoch))
	b = binary.BigEndian.AppendUint64(b, uint64(of.Seq))
	b = append(b, 0, 0, 0, 0)
	b = append(b, id...)
	b = append(b, sealed...)
	binary.BigEndian.PutUint32(b[start+crcAt:], checksum(b[start:]))
	return b
}

// checksum covers a whole frame except its state and the checksum itself.
func checksum(f []byte) uint32 {
	t := crc32.MakeTable(crc32.Castagnoli)
	c := crc32.Update(0, t, f[:stateAt])
	c = crc32.Update(c, t, f[stateAt+1:crcAt])
	return crc32.Update(c, t, f[headBytes:])
}

// frameAt reads the frame that begins at off, if there is an intact one.
func frameAt(b []byte, off int) (frame, bool) {
	f := b[off:]
	if len(f) < headBytes || string(f[:len(magic)]) != magic {
		return frame{}, false
	}
	idLen, payload := int(f[5]), int64(binary.BigEndian.Uint32(f[6:]))
	size := headBytes + int64(idLen) + payload
	if idLen == 0 || idLen > maxID || size > maxFrame || size > int64(len(f)) {
		return frame{}, false
	}
	f = f[:size]
	if checksum(f) != binary.BigEndian.Uint32(f[crcAt:]) {
		return frame{}, false
	}
	return frame{
		off: off, end: off + int(size),
		// Any other state is damage to that byte alone. Pending is the safe
		// reading: committing an answer again changes nothing.
		done:   f[stateAt] == stateDone,
		id:     string(f[headBytes : headBytes+idLen]),
		of:     grant.Version{Epoch: int64(binary.BigEndian.Uint64(f[10:])), Seq: int64(binary.BigEndian.Uint64(f[18:]))},
		sealed: f[headBytes+idLen:],
	}, true
}

// scanned is what a segment holds.
type scanned struct {
	frames []frame // intact ones, in order
	// gaps counts the stretches before a frame that are no frames: something
	// was lost there.
	gaps int
	// torn is set if the bytes after the last frame are not all zero, as after
	// a crash in the middle of a write.
	torn bool
	used int // everything after this is zero
}

// scan reads a segment. It accepts any bytes.
func scan(b []byte) scanned {
	var s scanned
	for pos := 0; pos < len(b); {
		f, ok := nextFrame(b, pos)
		if !ok {
			rest := len(bytes.TrimRight(b[pos:], "\x00"))
			s.torn = rest > 0
			s.used = pos + rest
			break
		}
		if f.off > pos {
			s.gaps++
		}
		s.frames = append(s.frames, f)
		pos, s.used = f.end, f.end
	}
	return s
}

// nextFrame finds the first intact frame at or after pos.
func nextFrame(b []byte, pos int) (frame, bool) {
	for {
		i := bytes.Index(b[pos:], []byte(magic))
		if i < 0 {
			return frame{}, false
		}
		if f, ok := frameAt(b, pos+i); ok {
			return f, true
		}
		pos += i + 1
	}
}
