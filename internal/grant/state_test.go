package grant_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/evergrant/evergrant/internal/grant"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// contract is the table of reasons as the contract prints it.
var contract = []struct {
	reason grant.Reason
	state  grant.State
	actBy  grant.Actor
}{
	{"ok", "connected", "nobody"},
	{"never_connected", "pending", "merchant"},
	{"merchant_declined", "pending", "merchant"},
	{"provider_unavailable", "degraded", "provider"},
	{"rate_limited", "degraded", "provider"},
	{"network", "degraded", "provider"},
	{"answer_lost", "degraded", "nobody"},
	{"app_credentials_rejected", "degraded", "operator"},
	{"app_paused", "degraded", "operator"},
	{"store_unavailable", "degraded", "operator"},
	{"key_unavailable", "degraded", "operator"},
	{"refresh_rejected", "needs_reauthorization", "merchant"},
	{"revoked", "needs_reauthorization", "merchant"},
	{"deadline_passed", "needs_reauthorization", "merchant"},
	{"rotation_lost", "needs_reauthorization", "merchant"},
	{"scope_missing", "connected", "merchant"},
	{"locations_missing", "connected", "merchant"},
	{"disconnected_by_us", "disconnected", "nobody"},
	{"disconnected_by_merchant", "disconnected", "nobody"},
}

func TestEveryReasonHasTheStateAndActorOfTheContract(t *testing.T) {
	t.Parallel()
	for _, row := range contract {
		if row.reason.State() != row.state || row.reason.ActBy() != row.actBy {
			t.Errorf("%s is %s, for %s; want %s, for %s", row.reason, row.reason.State(), row.reason.ActBy(), row.state, row.actBy)
		}
		if st := grant.StatusOf(row.reason, now); st.State != row.state || st.ActBy() != row.actBy || st.Since != now {
			t.Errorf("StatusOf(%s) = %+v", row.reason, st)
		}
	}
	if r := grant.Reason("made_up"); r.State() != "" || r.ActBy() != grant.Operator {
		t.Errorf("an unknown reason is %q, for %s", r.State(), r.ActBy())
	}
}

func TestStatesAreParsedByName(t *testing.T) {
	t.Parallel()
	live := map[grant.State]bool{"connected": true, "degraded": true}
	for _, s := range []grant.State{"pending", "connected", "degraded", "needs_reauthorization", "disconnected"} {
		if got, ok := grant.ParseState(string(s)); !ok || got != s || got.Live() != live[s] {
			t.Errorf("ParseState(%s) = %s, %t; live %t", s, got, ok, got.Live())
		}
	}
	for _, s := range []string{"", "Connected", "ok"} {
		if got, ok := grant.ParseState(s); ok {
			t.Errorf("ParseState(%q) = %s", s, got)
		}
	}
}

func TestSinceMovesOnlyWithTheStateOrTheReason(t *testing.T) {
	t.Parallel()
	later, next := now.Add(time.Minute), now.Add(time.Hour)
	st := grant.StatusOf(grant.Network, now)
	for _, tt := range []struct {
		reason grant.Reason
		since  time.Time
	}{
		{grant.Network, now}, {grant.RateLimited, later}, {grant.OK, later}, {grant.Revoked, later},
	} {
		want := grant.Status{State: tt.reason.State(), Reason: tt.reason, Since: tt.since, NextTryAt: next}
		if got := st.Become(tt.reason, later, next); got != want {
			t.Errorf("network becomes %+v, want %+v", got, want)
		}
	}
}

func statusesOf(reasons ...grant.Reason) []grant.Grant {
	var gs []grant.Grant
	for _, r := range reasons {
		gs = append(gs, grant.Grant{Status: grant.StatusOf(r, now.Add(-time.Hour))})
	}
	return gs
}

func TestAConnectionIsAsWellAsItsBestGrant(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		current grant.Reason
		grants  []grant.Reason
		want    grant.Reason
	}{
		{"without grants it stays pending", grant.MerchantDeclined, nil, grant.MerchantDeclined},
		{"without grants it stays disconnected", grant.DisconnectedByUs, nil, grant.DisconnectedByUs},
		{"without grants it cannot stay connected", grant.OK, nil, grant.NeverConnected},
		{"nor dead", grant.Revoked, nil, grant.NeverConnected},
		{"one live grant is enough", grant.OK, []grant.Reason{grant.Revoked, grant.OK, grant.Network}, grant.OK},
		{"a degraded grant is better than a dead one", grant.OK, []grant.Reason{grant.RotationLost, grant.Network}, grant.Network},
		{"a dead grant is better than a disconnected one", grant.OK, []grant.Reason{grant.DisconnectedByMerchant, grant.RotationLost}, grant.RotationLost},
		{"all disconnected", grant.OK, []grant.Reason{grant.DisconnectedByUs}, grant.DisconnectedByUs},
		{"of two that are as good the first", grant.OK, []grant.Reason{grant.Network, grant.RateLimited}, grant.Network},
		{"a reconnected grant ends the disconnection", grant.DisconnectedByUs, []grant.Reason{grant.OK}, grant.OK},
	} {
		got := grant.Derive(grant.StatusOf(tt.current, now.Add(-time.Hour)), statusesOf(tt.grants...), now)
		if got.Reason != tt.want || got.State != tt.want.State() {
			t.Errorf("%s: %+v, want %s", tt.name, got, tt.want)
		}
	}
}

func TestDerive(t *testing.T) {
	t.Parallel()
	reason := rapid.Custom(func(t *rapid.T) grant.Reason { return rapid.SampledFrom(contract).Draw(t, "row").reason })
	rapid.Check(t, func(t *rapid.T) {
		current := grant.StatusOf(reason.Draw(t, "current"), now.Add(-time.Hour))
		grants := statusesOf(rapid.SliceOfN(reason, 1, 4).Draw(t, "grants")...)
		got := grant.Derive(current, grants, now)
		connected, live, among := false, false, false
		for _, g := range grants {
			connected = connected || g.Status.State == grant.Connected
			live = live || g.Status.State.Live()
			among = among || g.Status.Reason == got.Reason
		}
		if (got.State == grant.Connected) != connected || got.State.Live() != live || !among {
			t.Fatalf("Derive(%v) = %+v", grants, got)
		}
		again := grant.Derive(got, grants, now.Add(time.Minute))
		if d := cmp.Diff(got, again); d != "" {
			t.Fatalf("deriving again changes something (-first +second):\n%s", d)
		}
		if got.Same(current) && !got.Since.Equal(current.Since) {
			t.Fatalf("nothing changed but Since: %+v", got)
		}
	})
}

func TestTransitionsAreTheContractsEvents(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		from, to grant.Reason
		want     grant.EventType
	}{
		{grant.OK, grant.Network, "connection.degraded"},
		{grant.OK, grant.Revoked, "connection.needs_reauthorization"},
		{grant.Network, grant.Revoked, "connection.needs_reauthorization"},
		{grant.AnswerLost, grant.RotationLost, "connection.needs_reauthorization"},
		{grant.RateLimited, grant.OK, "connection.recovered"},
		{grant.OK, grant.OK, ""},
		{grant.Network, grant.RateLimited, ""},
		{grant.Revoked, grant.DeadlinePassed, ""},
		{grant.NeverConnected, grant.OK, ""}, // connection.connected, told by whoever installs
		{grant.Revoked, grant.OK, ""},        // connection.reconnected, likewise
		{grant.OK, grant.DisconnectedByUs, ""},
	} {
		got, ok := grant.Transition(grant.StatusOf(tt.from, now), grant.StatusOf(tt.to, now.Add(time.Hour)))
		if got != tt.want || ok != (tt.want != "") {
			t.Errorf("from %s to %s: %q, %t; want %q", tt.from, tt.to, got, ok, tt.want)
		}
	}
}

func TestAnEventIsForItsReasonsActor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		event grant.Event
		want  grant.Actor
	}{
		{grant.Event{}, grant.Nobody},
		{grant.Event{Reason: grant.Revoked}, grant.Merchant},
		{grant.Event{Reason: grant.KeyUnavailable}, grant.Operator},
		{grant.Event{Type: grant.ConnectionDegraded}, grant.Nobody},
		{grant.Event{Type: grant.EventRotationContradicted}, grant.Operator},
		{grant.Event{Type: grant.EventTokensExpired}, grant.Operator},
		{grant.Event{Type: grant.WebhookDisabled}, grant.Operator},
		// Renewals work and will not move the end.
		{grant.Event{Type: grant.ConnectionDeadlineNear}, grant.Merchant},
		{grant.Event{Type: grant.ConnectionDeadlineNear, Reason: grant.OK}, grant.Merchant},
		{grant.Event{Type: grant.ConnectionDeadlineNear, Reason: grant.ProviderUnavailable}, grant.Provider},
	} {
		if got := tt.event.ActBy(); got != tt.want {
			t.Errorf("%+v is for %s, want %s", tt.event, got, tt.want)
		}
	}
}

func TestAFlagIsSetOnceAndClearedAlone(t *testing.T) {
	t.Parallel()
	a, b := grant.LocationsMissing, grant.StoreUnavailable
	for name, tt := range map[string]struct {
		flags []grant.Reason
		set   bool
		want  []grant.Reason
	}{
		"set":                    {nil, true, []grant.Reason{a}},
		"set beside another":     {[]grant.Reason{b}, true, []grant.Reason{b, a}},
		"set again":              {[]grant.Reason{a}, true, []grant.Reason{a}},
		"cleared beside another": {[]grant.Reason{a, b}, false, []grant.Reason{b}},
		"cleared though not set": {[]grant.Reason{b}, false, []grant.Reason{b}},
	} {
		if d := cmp.Diff(tt.want, grant.SetFlag(tt.flags, a, tt.set)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}
