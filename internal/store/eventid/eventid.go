// Package eventid numbers the log. An event's id is a ULID, and its number the
// same thing in 63 bits: the milliseconds and a counter inside them. So a table
// of events is its own index, an insert is an append, and a cursor is a number.
// The rest of the ULID is zero.
package eventid

import (
	"fmt"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/evergrant/evergrant/internal/grant"
)

// CounterBits are the low bits of a number that count inside a millisecond.
const CounterBits = 15

const entropyBits = 16 // of the ULID's entropy that hold the counter

// Next returns the number of the event that follows last at the given
// millisecond. Numbers rise even while the clock steps back.
func Next(last, ms int64) int64 { return max(last+1, First(ms)) }

// First returns the lowest number of a millisecond.
func First(ms int64) int64 { return ms << CounterBits }

// Format writes an event's number as people see it.
func Format(n int64) string {
	var u ulid.ULID
	// The time of a number made here is always within a ULID's 48 bits.
	_ = u.SetTime(uint64(n >> CounterBits))
	c := uint16(n&(1<<CounterBits-1)) << (entropyBits - CounterBits)
	u[6], u[7] = byte(c>>8), byte(c)
	return grant.EventID + u.String()
}

// Parse reads an id. Of ids that were made elsewhere it keeps the order, to
// within the counter's precision.
func Parse(id string) (int64, error) {
	s, ok := strings.CutPrefix(id, grant.EventID)
	u, err := ulid.ParseStrict(s)
	if !ok || err != nil || u.Time() >= 1<<(63-CounterBits) {
		return 0, fmt.Errorf("cursor %.40q is not the id of an event", id)
	}
	c := (uint16(u[6])<<8 | uint16(u[7])) >> (entropyBits - CounterBits)
	return int64(u.Time())<<CounterBits | int64(c), nil
}
