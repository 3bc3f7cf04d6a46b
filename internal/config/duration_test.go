package config

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDurationsAreReadAsPeopleWriteThem(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "7d": 7 * 24 * time.Hour, "1d12h": 36 * time.Hour, "90m": 90 * time.Minute,
		"0s": 0, "0": 0, "1.5h": 90 * time.Minute, "250ms": 250 * time.Millisecond,
	} {
		if got, err := ParseDuration(text); err != nil || time.Duration(got) != want {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestWhatIsNoDurationIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "d", "7", "-1s", "+1s", "1d-1h", "1.5d", "7 d", "d7", "1d2d", "106752d", "99999999999d", "7days", "1w"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}

func TestADurationSurvivesBeingWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := Duration(rapid.Int64Min(0).Draw(t, "d"))
		got, err := ParseDuration(d.String())
		if err != nil || got != d {
			t.Fatalf("%d is written %s and read %d, %v", d, d, got, err)
		}
	})
}
