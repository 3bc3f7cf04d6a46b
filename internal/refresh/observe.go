package refresh

import (
	"context"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
)

// observation is something a provider did that an operator should know of. It is
// told of once in the life of the process.
type observation string

// The first two contradict the app's rotation policy. Providers change, and a policy
// that is wrong costs grants at the next crash.
const (
	// rotated: static says that a refresh token never changes.
	rotated observation = "rotated"
	// refusedAgain: the policy says that a used refresh token works again, and
	// those of two grants that were sent again within its window were refused,
	// twice each. Of one grant it may be a merchant's revocation meanwhile.
	refusedAgain observation = "refused_again"
	// expired: a refresh brought a token that is over when it comes, or before the
	// next one may be asked for, so that callers wait most of the time.
	expired observation = "expired"
)

// observe compares what became of an attempt with what the app's policy says and
// a token is good for.
func (a *attempt) observe(tok oauth.Token, v grant.Verdict) {
	p, was := a.l.app.Policy, a.claim.Grant.Status
	switch {
	case v.Action == grant.Commit:
		if p.Rotation == grant.Static && !tok.RefreshToken.IsZero() && tok.RefreshToken != a.cred.RefreshToken {
			a.l.contradict(rotated)
		}
		// What comes again is stated to live for what is left of it.
		again := a.claim.Grant.Attempt.Kind == grant.Resend || tok.AccessToken == a.cred.AccessToken
		if !again && (tok.Ended || tok.ExpiresIn > 0 && tok.ExpiresIn < grant.LeastGap) {
			a.expired(tok.ExpiresIn)
		}
	case v.Action == grant.Die && v.Reason == grant.RotationLost && p.Rotation.Resendable():
		// How long ago the answer was lost is known only to the process that lost it.
		if was.Reason == grant.AnswerLost && (p.Window == 0 || a.began.Before(was.Since.Add(p.Window))) {
			a.l.suspect(a.claim.Grant.ID)
		}
	}
}

// suspect takes in that the repetition of a grant's refresh token was refused.
func (l *lane) suspect(grantID string) {
	l.mu.Lock()
	before := l.suspicious
	l.suspicious = grantID
	l.mu.Unlock()
	if before != "" && before != grantID {
		l.contradict(refusedAgain)
	}
}

// contradict tells of a contradiction of the rotation policy.
func (l *lane) contradict(o observation) {
	if !l.first(o) {
		return
	}
	policy := string(l.app.Policy.Rotation)
	l.e.c.Logger.Error("the provider does what the app's rotation policy rules out; correct apps."+l.app.Name+".rotation.policy, "+
		"because a wrong one costs grants when a process dies", "app", l.app.Name, "policy", policy, "observed", string(o))
	l.observed(grant.Event{Type: grant.EventRotationContradicted, Data: map[string]any{"policy": policy, "observed": string(o)}})
}

// expired tells of a token whose stated life, 0 for less than nothing, is no use.
func (a *attempt) expired(life time.Duration) {
	l, id := a.l, a.claim.Grant.ID
	if !l.first(expired) {
		return
	}
	l.e.c.Logger.Error("the provider's answer to a refresh brought a token that is over when it comes, or seconds later; "+
		"compare this machine's clock with the provider's, and the lifetime of access tokens it has set for the app",
		"app", l.app.Name, "grant", id, "expires_in", life)
	l.observed(grant.Event{Type: grant.EventTokensExpired, Data: map[string]any{"grant": id, "expires_in": life.Seconds()}})
}

// first reports whether something is observed for the first time in the life of
// the process.
func (l *lane) first(o observation) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	told := l.told[o]
	l.told[o] = true
	return !told
}

// observed records an event of the app.
func (l *lane) observed(ev grant.Event) {
	ev.App = l.app.Name
	if err := l.e.c.Store.AppendEvents(context.WithoutCancel(l.e.life), ev); err != nil {
		l.e.c.Logger.Error("what was observed of an app's provider could not be recorded", "app", l.app.Name, "event", ev.Type, "err", err)
	}
}
