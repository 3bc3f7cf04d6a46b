package grant

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestAGrantIsReadOnceADayAtATimeOfItsOwn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringMatching(`grant_[0-9A-Z]{26}`).Draw(t, "id")
		now := time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "now"), rapid.Int64Range(0, 1e9-1).Draw(t, "ns"))
		at := ReadAgain(id, now)
		if wait := at.Sub(now); wait < 12*time.Hour-time.Microsecond || wait > 36*time.Hour {
			t.Fatalf("read again after %v", wait)
		}
		if again := ReadAgain(id, at); again.Sub(at) != 24*time.Hour {
			t.Fatalf("a day later: %v", again.Sub(at))
		}
		if other := ReadAgain(id, now.In(time.FixedZone("", 3600))); !other.Equal(at) {
			t.Fatalf("in another zone at %v, not %v", other, at)
		}
	})
}

func TestAFleetIsReadAllDayLong(t *testing.T) {
	now := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	var hours [24]int
	for n := range 24_000 {
		hours[ReadAgain(NewID(GrantID, now.Add(time.Duration(n))), now).Hour()]++
	}
	for hour, n := range hours {
		if n < 800 || n > 1200 {
			t.Errorf("%d of 24000 are read in hour %d", n, hour)
		}
	}
}

func TestTwoPeopleAreTakenForOneUnlessBothAreKnown(t *testing.T) {
	for name, c := range map[string]struct {
		a, b Identity
		want bool
	}{
		"the same subject":               {Identity{Subject: "1"}, Identity{Subject: "1"}, false},
		"another subject":                {Identity{Subject: "1"}, Identity{Subject: "2"}, true},
		"the same of another issuer":     {Identity{Issuer: "a", Subject: "1"}, Identity{Issuer: "b", Subject: "1"}, true},
		"one is not known":               {Identity{Subject: "1"}, Identity{}, false},
		"neither is known":               {Identity{Account: "1"}, Identity{Account: "2"}, false},
		"the same with other businesses": {Identity{Subject: "1", Businesses: []string{"a"}}, Identity{Subject: "1"}, false},
	} {
		if got := c.a.OtherPerson(c.b); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
