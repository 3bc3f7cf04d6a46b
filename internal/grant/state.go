package grant

import "time"

// State is where a connection or a grant stands. The states and the moves
// between them are drawn in the package documentation.
type State string

// The five states.
const (
	Pending              State = "pending"
	Connected            State = "connected"
	Degraded             State = "degraded"
	NeedsReauthorization State = "needs_reauthorization"
	Disconnected         State = "disconnected"
)

// states lists every state.
var states = []State{Connected, Degraded, NeedsReauthorization, Pending, Disconnected}

// ParseState returns the state named s.
func ParseState(s string) (State, bool) {
	for _, st := range states {
		if string(st) == s {
			return st, true
		}
	}
	return "", false
}

// Live reports whether a grant in this state can still be renewed.
func (s State) Live() bool { return s == Connected || s == Degraded }

// Actor is who has to do something about a reason.
type Actor string

// The actors.
const (
	Merchant Actor = "merchant"
	Operator Actor = "operator"
	Provider Actor = "provider"
	Nobody   Actor = "nobody"
)

// Reason says why a connection or a grant is in its state.
type Reason string

// The reasons. Each belongs to one state and names one actor; see [Reason.State]
// and [Reason.ActBy].
const (
	OK                     Reason = "ok"
	NeverConnected         Reason = "never_connected"
	MerchantDeclined       Reason = "merchant_declined"
	ProviderUnavailable    Reason = "provider_unavailable"
	RateLimited            Reason = "rate_limited"
	Network                Reason = "network"
	AnswerLost             Reason = "answer_lost"
	AppCredentialsRejected Reason = "app_credentials_rejected"
	AppPaused              Reason = "app_paused"
	StoreUnavailable       Reason = "store_unavailable"
	KeyUnavailable         Reason = "key_unavailable"
	RefreshRejected        Reason = "refresh_rejected"
	Revoked                Reason = "revoked"
	DeadlinePassed         Reason = "deadline_passed"
	RotationLost           Reason = "rotation_lost"
	ScopeMissing           Reason = "scope_missing"
	LocationsMissing       Reason = "locations_missing"
	DisconnectedByUs       Reason = "disconnected_by_us"
	DisconnectedByMerchant Reason = "disconnected_by_merchant"
)

// reasons is the one table of what each reason means. scope_missing and
// locations_missing leave the state alone; they are flags.
var reasons = map[Reason]struct {
	state State
	actor Actor
}{
	OK:                     {Connected, Nobody},
	NeverConnected:         {Pending, Merchant},
	MerchantDeclined:       {Pending, Merchant},
	ProviderUnavailable:    {Degraded, Provider},
	RateLimited:            {Degraded, Provider},
	Network:                {Degraded, Provider},
	AnswerLost:             {Degraded, Nobody},
	AppCredentialsRejected: {Degraded, Operator},
	AppPaused:              {Degraded, Operator},
	StoreUnavailable:       {Degraded, Operator},
	KeyUnavailable:         {Degraded, Operator},
	RefreshRejected:        {NeedsReauthorization, Merchant},
	Revoked:                {NeedsReauthorization, Merchant},
	DeadlinePassed:         {NeedsReauthorization, Merchant},
	RotationLost:           {NeedsReauthorization, Merchant},
	ScopeMissing:           {Connected, Merchant},
	LocationsMissing:       {Connected, Merchant},
	DisconnectedByUs:       {Disconnected, Nobody},
	DisconnectedByMerchant: {Disconnected, Nobody},
}

// State returns the state a reason belongs to, and "" for an unknown reason.
func (r Reason) State() State { return reasons[r].state }

// ActBy returns who has to act on a reason; an unknown reason is the operator's.
func (r Reason) ActBy() Actor {
	if m, ok := reasons[r]; ok {
		return m.actor
	}
	return Operator
}

// Status is a state with its story. Build one with [StatusOf], so that state,
// reason and actor cannot disagree.
type Status struct {
	State     State
	Reason    Reason
	Since     time.Time // when this state and reason began
	NextTryAt time.Time // when we try again by ourselves; zero if we do not
}

// StatusOf returns the status of reason r since the given moment.
func StatusOf(r Reason, since time.Time) Status {
	return Status{State: r.State(), Reason: r, Since: since}
}

// ActBy returns who has to act.
func (s Status) ActBy() Actor { return s.Reason.ActBy() }

// Same reports whether two statuses differ in neither state nor reason: going
// from one to the other is no news.
func (s Status) Same(o Status) bool { return s.State == o.State && s.Reason == o.Reason }

// Become returns the status after reason r at now. Since moves only when the
// state or the reason does.
func (s Status) Become(r Reason, now, nextTry time.Time) Status {
	n := StatusOf(r, now)
	if s.Same(n) {
		n.Since = s.Since
	}
	n.NextTryAt = nextTry
	return n
}
