package sqlite

import (
	"fmt"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/evergrant/evergrant/internal/grant"
)

// An event's id is a ULID, and its row number the same thing in 63 bits: the
// milliseconds and a counter inside them. So the table is its own index, an
// insert is an append, and a cursor is a number. The rest of the ULID is zero.
const (
	counterBits = 15
	entropyBits = 16 // of the ULID's entropy that hold the counter
)

// nextEvent returns the number of the event that follows last at the given
// millisecond. Numbers rise even while the clock steps back.
func nextEvent(last, ms int64) int64 { return max(last+1, ms<<counterBits) }

// eventID writes an event's number as people see it.
func eventID(n int64) string {
	var u ulid.ULID
	// The time of a number made here is always within a ULID's 48 bits.
	_ = u.SetTime(uint64(n >> counterBits))
	c := uint16(n&(1<<counterBits-1)) << (entropyBits - counterBits)
	u[6], u[7] = byte(c>>8), byte(c)
	return grant.EventID + u.String()
}

// eventNumber reads an id. Of ids that were made elsewhere it keeps the order,
// to within the counter's precision.
func eventNumber(id string) (int64, error) {
	s, ok := strings.CutPrefix(id, grant.EventID)
	u, err := ulid.ParseStrict(s)
	if !ok || err != nil || u.Time() >= 1<<(63-counterBits) {
		return 0, fmt.Errorf("cursor %.40q is not the id of an event", id)
	}
	c := (uint16(u[6])<<8 | uint16(u[7])) >> (entropyBits - counterBits)
	return int64(u.Time())<<counterBits | int64(c), nil
}
