package refresh

import (
	"context"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
)

// contradiction is something a provider did that its rotation policy rules out.
// Providers change, and a policy that is wrong costs grants at the next crash.
type contradiction string

const (
	// rotated: static says that a refresh token never changes.
	rotated contradiction = "rotated"
	// refusedAgain: the policy says that a used refresh token works again, and
	// those of two grants that were sent again within its window were refused,
	// twice each. Of one grant it may be a merchant's revocation meanwhile.
	refusedAgain contradiction = "refused_again"
)

// observe compares what became of an attempt with the app's rotation policy.
func (a *attempt) observe(tok oauth.Token, v grant.Verdict) {
	p, was := a.l.app.Policy, a.claim.Grant.Status
	switch {
	case v.Action == grant.Commit:
		if p.Rotation == grant.Static && !tok.RefreshToken.IsZero() && tok.RefreshToken != a.cred.RefreshToken {
			a.l.contradict(rotated)
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

// contradict tells of a contradiction, once in the life of the process.
func (l *lane) contradict(c contradiction) {
	l.mu.Lock()
	told := l.told[c]
	l.told[c] = true
	l.mu.Unlock()
	if told {
		return
	}
	e, policy := l.e, string(l.app.Policy.Rotation)
	e.c.Logger.Error("the provider does what the app's rotation policy rules out; correct apps."+l.app.Name+".rotation.policy, "+
		"because a wrong one costs grants when a process dies", "app", l.app.Name, "policy", policy, "observed", string(c))
	err := e.c.Store.AppendEvents(context.WithoutCancel(e.life), grant.Event{
		Type: grant.EventRotationContradicted, App: l.app.Name, Data: map[string]any{"policy": policy, "observed": string(c)},
	})
	if err != nil {
		e.c.Logger.Error("a contradiction of the rotation policy could not be recorded", "app", l.app.Name, "err", err)
	}
}
