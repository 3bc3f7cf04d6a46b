package simulation

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// figures is what came of runs.
type figures struct {
	Seeds                                         int
	Quiet                                         int // of them, those in which nothing went wrong
	GrantTime                                     time.Duration
	Refreshes, Sends, Overlaps, Judged            int
	Kills, Restarts, Consents, Connected, Revoked int

	Faults      tally // what went wrong, by kind
	Interrupted tally // what happened while a request was under way
	Refreshed   tally // by rotation
	Lost        tally // grants, to answers that were cut off, by rotation
}

func (f *figures) add(o figures) {
	f.Seeds, f.Quiet = f.Seeds+o.Seeds, f.Quiet+o.Quiet
	f.GrantTime += o.GrantTime
	f.Refreshes, f.Sends, f.Overlaps, f.Judged = f.Refreshes+o.Refreshes, f.Sends+o.Sends, f.Overlaps+o.Overlaps, f.Judged+o.Judged
	f.Kills, f.Restarts, f.Consents = f.Kills+o.Kills, f.Restarts+o.Restarts, f.Consents+o.Consents
	f.Connected, f.Revoked = f.Connected+o.Connected, f.Revoked+o.Revoked
	f.Faults.add(o.Faults)
	f.Interrupted.add(o.Interrupted)
	f.Refreshed.add(o.Refreshed)
	f.Lost.add(o.Lost)
}

func (f figures) String() string {
	return fmt.Sprintf("%d refreshes with %d sends (%d overlapping) in %.2f grant-years; %d kills, %d other restarts, %d consents; "+
		"%d connected in the end, %d revoked; %d tokens judged\n"+
		"%d faults: %s\nwhile a request was under way: %s\nrefreshes by rotation: %s\n%d grants lost, each to an answer that was cut off: %s",
		f.Refreshes, f.Sends, f.Overlaps, f.GrantTime.Hours()/(24*365), f.Kills, f.Restarts, f.Consents, f.Connected, f.Revoked, f.Judged,
		f.Faults.sum(), f.Faults, f.Interrupted, f.Refreshed, f.Lost.sum(), f.Lost)
}

// tally counts things by name. Its zero value is ready for use.
type tally map[string]int

func (t *tally) count(name string, n int) {
	if n == 0 {
		return
	}
	if *t == nil {
		*t = make(tally)
	}
	(*t)[name] += n
}

func (t *tally) add(o tally) {
	for name, n := range o {
		t.count(name, n)
	}
}

func (t tally) sum() int {
	n := 0
	for _, m := range t {
		n += m
	}
	return n
}

func (t tally) String() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(t)) {
		all = append(all, fmt.Sprintf("%s %d", name, t[name]))
	}
	return strings.Join(all, ", ")
}
