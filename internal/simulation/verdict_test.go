package simulation

import (
	"slices"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
)

// log judges a provider's log: nothing that was answered was discarded, no more
// was under way at once than the policy allows, and no grant died without proof
// or for a rotation whose answer had arrived.
func (j *judge) log(v *vendor, kills []time.Time) {
	sends := v.Sends()
	of := make(map[string][]oracle.Send)
	delivered := make(map[string]int) // by grant, the generation whose successor arrived
	for _, x := range sends {
		of[x.Grant] = append(of[x.Grant], x)
		if last, ok := delivered[x.Grant]; ok && v.rotation != oracle.Static && x.Generation <= last {
			j.object("I4", "%s presented generation %d of %s although the answer to it had arrived", v.name, x.Generation, x.Grant)
		}
		if x.Outcome == "rotated" && !cutOff(v, x, kills) {
			delivered[x.Grant] = x.Generation
		}
	}
	j.width(v, sends)
	lost := make(map[time.Time]int) // by kill
	for _, d := range j.dead() {
		if of, ok := of[d.name]; ok {
			j.lost(v, d, of, kills, lost)
		}
	}
	for at, n := range lost {
		if n > v.limit {
			j.object("I9", "the kill at %s cost %d grants at %s, whose policy allows %d requests under way", at.Format("02 15:04:05.000"), n, v.name, v.limit)
		}
	}
}

// width judges how many requests were under way at once.
func (j *judge) width(v *vendor, sends []oracle.Send) {
	type edge struct {
		at time.Time
		by int
	}
	var edges []edge
	for _, x := range sends {
		if !x.End.IsZero() {
			edges = append(edges, edge{x.Start, 1}, edge{x.End, -1})
		}
	}
	slices.SortStableFunc(edges, func(a, b edge) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		return a.by - b.by // what ended at this moment made room for what began
	})
	n := 0
	for _, e := range edges {
		if n += e.by; n > v.limit {
			j.object("I11", "%d requests under way at %s", n, v.name)
			return
		}
	}
}

// killed returns the first death of the process while an answer was awaited.
func killed(x oracle.Send, kills []time.Time) (time.Time, bool) {
	sent := x.Start.Add(-mostLag) // at the earliest
	i := slices.IndexFunc(kills, func(t time.Time) bool { return !t.Before(sent) && t.Before(x.End.Add(time.Millisecond)) })
	if i < 0 {
		return time.Time{}, false
	}
	return kills[i], true
}

// cutOff reports whether the answer to a rotation did not reach its sender,
// through no fault of ours.
func cutOff(v *vendor, x oracle.Send, kills []time.Time) bool {
	_, died := killed(x, kills)
	return died || x.Outcome == "rotated, answer lost" || x.End.Sub(x.Start.Add(-mostLag)) >= v.app.Policy.Timeout()
}

// lost judges a death: by proof only, and only what was cut off may die of it.
func (j *judge) lost(v *vendor, d death, sends []oracle.Send, kills []time.Time, byKill map[time.Time]int) {
	refusals, last := 0, false
	for _, x := range sends {
		if last = x.Outcome == "refused: invalid_grant" || x.Outcome == "fault: status 400"; last {
			refusals++
		}
	}
	if !last || d.reason != grant.RotationLost && refusals < 2 {
		j.object("I8", "%s at %s was declared dead (%s) without proof: %+v", d.name, v.name, d.reason, sends)
		return
	}
	if why, _ := v.Dead(d.name); why == "revoked by the merchant" {
		return
	}
	single := v.rotation == oracle.Strict || v.rotation == oracle.FamilyKill
	cut, ok := v.Cut(d.name)
	if !single || !ok || !cutOff(v, cut, kills) {
		j.object("I9", "%s, at a provider whose rotation is %s, was lost (%s) and nothing explains it: %+v", d.name, v.rotation, d.reason, sends)
		return
	}
	if at, ok := killed(cut, kills); ok {
		byKill[at]++
	}
}
