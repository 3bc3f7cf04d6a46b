package simulation

import (
	"math/rand/v2"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
)

// behaviour is how a provider behaves, and what its app is told of it.
type behaviour struct {
	oracle.Options
	policies []func(*grant.Policy)
}

// behaviours are those of the providers of a run: every rotation, the ways the
// old access token dies, and a policy nobody knows.
func behaviours(seed uint64, size tier) []behaviour {
	all := []behaviour{
		{Options: oracle.Options{Rotation: oracle.Static}},
		{Options: oracle.Options{Rotation: oracle.Lenient, Window: 24 * time.Hour}},
		{Options: oracle.Options{Rotation: oracle.Grace, Window: size.life + 2*time.Hour, SameSuccessor: true}},
		{Options: oracle.Options{Rotation: oracle.Grace, Window: size.life + 2*time.Hour}},
		{Options: oracle.Options{Rotation: oracle.RetireOnUse, OldAccess: oracle.OldAccess{From: oracle.AtFirstUse}}},
		{Options: oracle.Options{Rotation: oracle.Strict}},
		{Options: oracle.Options{Rotation: oracle.Strict, OldAccess: oracle.OldAccess{From: oracle.AtRotation}}},
		{Options: oracle.Options{Rotation: oracle.FamilyKill}},
		{Options: oracle.Options{Rotation: oracle.FamilyKill}, policies: []func(*grant.Policy){
			func(p *grant.Policy) { p.Rotation = grant.Unknown },
		}},
	}
	if size.vendors > 0 {
		dice := rand.New(rand.NewPCG(seed, 1<<32))
		dice.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
		all = all[:size.vendors]
		for i := range all {
			// So few that grants have to wait for each other.
			width := 1 + dice.IntN(4)
			all[i].policies = append(all[i].policies, func(p *grant.Policy) { p.MaxInFlight = width })
		}
	}
	for i := range all {
		all[i].AccessLife = size.life
	}
	return all
}
