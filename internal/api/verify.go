package api

import (
	"time"
)

// verifyAnswer says which of a connection's tokens the provider's API takes.
type verifyAnswer struct {
	Grants []verifiedGrant `json:"grants" nullable:"false"`
}

type verifiedGrant struct {
	ID        string    `json:"id"`
	Result    string    `json:"result" enum:"works,refused,unchecked,unavailable" doc:"unchecked: the provider has no call to ask with; unavailable: it gave no usable answer"`
	Reason    string    `json:"reason" doc:"the grant's"`
	Locations int       `json:"locations" doc:"how many it reaches"`
	CheckedAt time.Time `json:"checked_at"`
}

func (s *server) verify(c *call, _ none) (verifyAnswer, error) {
	ref, err := s.ref(c)
	if err != nil {
		return verifyAnswer{}, err
	}
	found, err := s.c.Manager.Verify(c.r.Context(), ref)
	if err != nil {
		return verifyAnswer{}, err
	}
	a := verifyAnswer{Grants: make([]verifiedGrant, len(found))}
	for i, v := range found {
		a.Grants[i] = verifiedGrant{ID: v.GrantID, Result: string(v.Verdict), Reason: string(v.Reason), Locations: v.Locations, CheckedAt: v.CheckedAt.UTC()}
	}
	return a, nil
}
