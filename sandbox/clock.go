package sandbox

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxDuration bounds every duration the sandbox is given.
const maxDuration = 10 * 365 * 24 * time.Hour

// Now returns the sandbox's time.
func (s *Sandbox) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

// now is Now for holders of the lock.
func (s *Sandbox) now() time.Time { return s.cfg.Now().Add(s.offset) }

// Advance moves the sandbox's clock forward by d and tells Config.OnAdvance.
// Time does not run backwards: a d that is not positive, and whatever would take
// the clock more than ten years ahead, is ignored.
func (s *Sandbox) Advance(d time.Duration) {
	if err := s.advance(d); err != nil {
		s.log.Error("clock not advanced", "err", err)
	}
}

func (s *Sandbox) advance(d time.Duration) error {
	s.mu.Lock()
	if d <= 0 || d > maxDuration-s.offset {
		s.mu.Unlock()
		return errors.New("advance: the clock only goes forward, and at most 3650d in all")
	}
	s.offset += d
	s.mu.Unlock()
	s.log.Info("clock advanced", "by", d)
	if s.cfg.OnAdvance != nil {
		s.cfg.OnAdvance(d)
	}
	return nil
}

// parseDuration reads "90s", "1h30m", "13d23h" or "2w": what
// [time.ParseDuration] reads, after whole weeks and days. The result is positive
// and at most ten years.
func parseDuration(s string) (time.Duration, error) {
	var sum time.Duration
	rest := s
	for _, unit := range []struct {
		name string
		d    time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		number, after, found := strings.Cut(rest, unit.name)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("%q is not a duration such as 90s, 1h or 1d12h", clip(s))
		}
		sum += time.Duration(n) * unit.d
		rest = after
		if sum > maxDuration {
			return 0, errors.New("a duration is at most 3650d")
		}
	}
	if rest != "" || sum == 0 {
		d, err := time.ParseDuration(rest)
		if err != nil {
			return 0, fmt.Errorf("%q is not a duration such as 90s, 1h or 1d12h", clip(s))
		}
		if d < 0 || d > maxDuration {
			return 0, errors.New("a duration is positive and at most 3650d")
		}
		sum += d
	}
	if sum <= 0 || sum > maxDuration {
		return 0, errors.New("a duration is positive and at most 3650d")
	}
	return sum, nil
}

// lifetimes is how long things live. A zero field is left to the series.
type lifetimes struct {
	access, refresh, code time.Duration
}
