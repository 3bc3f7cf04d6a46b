package store

import "github.com/evergrant/evergrant/internal/grant"

// ReasonsOf returns the reasons an actor has to act on. A reason nobody knows is
// the operator's; so for them, except is set and the reasons are everybody
// else's.
func ReasonsOf(actor grant.Actor) (reasons []string, except bool) {
	except = actor == grant.Operator
	for _, r := range knownReasons {
		if (r.ActBy() == actor) != except {
			reasons = append(reasons, string(r))
		}
	}
	return reasons, except
}

// knownReasons are the reasons a connection can be in its state for.
var knownReasons = []grant.Reason{
	grant.OK, grant.NeverConnected, grant.MerchantDeclined, grant.ProviderUnavailable, grant.RateLimited, grant.Network,
	grant.AnswerLost, grant.AppCredentialsRejected, grant.AppPaused, grant.StoreUnavailable, grant.KeyUnavailable,
	grant.RefreshRejected, grant.Revoked, grant.DeadlinePassed, grant.RotationLost, grant.ScopeMissing,
	grant.LocationsMissing, grant.DisconnectedByUs, grant.DisconnectedByMerchant,
}
