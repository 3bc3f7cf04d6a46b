package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a span of time written like 30s, 7d or 1d12h: days, then what
// [time.ParseDuration] takes. It is never negative.
type Duration time.Duration

const day = Duration(24 * time.Hour)

var errDuration = errors.New("is not a duration; write one like 30s, 15m, 7d or 1d12h")

// ParseDuration reads a duration. Its error does not repeat the text.
func ParseDuration(s string) (Duration, error) {
	days, rest, hasDays := strings.Cut(s, "d")
	if !hasDays {
		days, rest = "", s
	}
	var total time.Duration
	if hasDays {
		n, err := strconv.ParseUint(days, 10, 32)
		if err != nil || n > math.MaxInt64/uint64(day) {
			return 0, errDuration
		}
		total = time.Duration(n) * time.Duration(day)
		if rest == "" {
			return Duration(total), nil
		}
	}
	if rest == "" || rest[0] == '+' || rest[0] == '-' {
		return 0, errDuration
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || total > math.MaxInt64-d {
		return 0, errDuration
	}
	return Duration(total + d), nil
}

// String writes the duration in its shortest form, which ParseDuration reads.
func (d Duration) String() string {
	if d == 0 {
		return "0s"
	}
	var b strings.Builder
	if n := d / day; n > 0 {
		fmt.Fprintf(&b, "%dd", n)
		d %= day
	}
	if n := d / Duration(time.Hour); n > 0 {
		fmt.Fprintf(&b, "%dh", n)
		d %= Duration(time.Hour)
	}
	if n := d / Duration(time.Minute); n > 0 {
		fmt.Fprintf(&b, "%dm", n)
		d %= Duration(time.Minute)
	}
	if d > 0 {
		b.WriteString(time.Duration(d).String())
	}
	return b.String()
}

// MarshalYAML writes the duration as text.
func (d Duration) MarshalYAML() (any, error) { return d.String(), nil }
