package grant

import "time"

// EventType names an event. The list is the contract's.
type EventType string

// The events.
const (
	ConnectionConnected            EventType = "connection.connected"
	ConnectionReconnected          EventType = "connection.reconnected"
	ConnectionDegraded             EventType = "connection.degraded"
	ConnectionRecovered            EventType = "connection.recovered"
	ConnectionNeedsReauthorization EventType = "connection.needs_reauthorization"
	ConnectionDeadlineNear         EventType = "connection.deadline_near"
	ConnectionLocationsChanged     EventType = "connection.locations_changed"
	ConnectionScopeChanged         EventType = "connection.scope_changed"
	ConnectionDisconnected         EventType = "connection.disconnected"
	ConnectionDeleted              EventType = "connection.deleted"
	GrantIssued                    EventType = "grant.issued"
	GrantRefreshed                 EventType = "grant.refreshed"
	GrantRefreshFailed             EventType = "grant.refresh_failed"
	GrantRevoked                   EventType = "grant.revoked"
	LinkCreated                    EventType = "link.created"
	LinkOpened                     EventType = "link.opened"
	LinkCompleted                  EventType = "link.completed"
	LinkFailed                     EventType = "link.failed"
	LinkHelpRequested              EventType = "link.help_requested"
	EventAppRejected               EventType = "app.credentials_rejected"
	AuthorizationStarted           EventType = "authorization.started" // a merchant was sent to the provider
	EventAppPaused                 EventType = "app.paused"            // see PauseCause
	EventAppResumed                EventType = "app.resumed"           // see PauseCause
	EventAppAccepted               EventType = "app.credentials_accepted"
	EventRotationContradicted      EventType = "app.rotation_contradicted" // the provider does what the rotation policy rules out
	EventTokensExpired             EventType = "app.tokens_expired"        // what refreshes bring is over when it comes
	WebhookDisabled                EventType = "webhook.disabled"          // nothing is delivered to it any more
	WebhookTest                    EventType = "webhook.test"              // sent on demand; never in the log
)

// EventTypes returns every type that the log may hold.
func EventTypes() []EventType {
	return []EventType{
		ConnectionConnected, ConnectionReconnected, ConnectionDegraded, ConnectionRecovered, ConnectionNeedsReauthorization,
		ConnectionDeadlineNear, ConnectionLocationsChanged, ConnectionScopeChanged, ConnectionDisconnected, ConnectionDeleted,
		GrantIssued, GrantRefreshed, GrantRefreshFailed, GrantRevoked,
		LinkCreated, LinkOpened, LinkCompleted, LinkFailed, LinkHelpRequested, AuthorizationStarted,
		EventAppRejected, EventAppAccepted, EventAppPaused, EventAppResumed, EventRotationContradicted, EventTokensExpired,
		WebhookDisabled,
	}
}

// Event is one entry of the log. Its id is given by the store when the change
// it tells of commits, in the order of the log. It never carries a token.
type Event struct {
	ID         string // evt_…, sorts by time
	Type       EventType
	Time       time.Time
	Connection string // conn_…, or ""
	Grant      string // grant_…, or ""
	App        string
	Ref        string // the connection's address at that time, or ""
	Reason     Reason
	Data       map[string]any // JSON values
}

// ActBy returns who has to act on the event.
func (e Event) ActBy() Actor {
	switch {
	case e.Type == EventRotationContradicted, e.Type == EventTokensExpired, e.Type == WebhookDisabled:
		return Operator
	case e.Type == ConnectionDeadlineNear && (e.Reason == "" || e.Reason == OK):
		return Merchant // renewals work and will not move the end
	case e.Reason == "":
		return Nobody
	}
	return e.Reason.ActBy()
}

// Transition returns the connection event that going from one status to another
// is, if it is one. Consent and disconnection have events of their own and are
// not told apart here.
func Transition(from, to Status) (EventType, bool) {
	if from.Same(to) {
		return "", false
	}
	switch {
	case to.State == NeedsReauthorization && from.State != NeedsReauthorization:
		return ConnectionNeedsReauthorization, true
	case to.State == Degraded && from.State == Connected:
		return ConnectionDegraded, true
	case to.State == Connected && from.State == Degraded:
		return ConnectionRecovered, true
	}
	return "", false
}
