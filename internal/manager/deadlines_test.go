package manager_test

import (
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/store"
)

// near returns what the log says of deadlines.
func (k *kit) near() []grant.Event {
	k.t.Helper()
	events, _, err := k.store.ListEvents(k.t.Context(), store.EventFilter{Types: []string{string(grant.ConnectionDeadlineNear)}}, store.Page{Limit: 100})
	if err != nil {
		k.t.Fatal(err)
	}
	return events
}

func TestADeadlineThatRenewalsKeepAwayIsNeverNear(t *testing.T) {
	bubble(t, kitOptions{policy: func(p *grant.Policy) { p.RefreshIdle = 12 * time.Hour }}, func(t *testing.T, k *kit) {
		k.adopt("biz_1")
		k.sleep(36 * time.Hour)
		if events := k.near(); len(events) > 0 {
			t.Errorf("the log says %+v", events)
		}
	})
}

func TestADeadlineIsNearOnceWhileRenewalsFail(t *testing.T) {
	bubble(t, kitOptions{policy: func(p *grant.Policy) { p.RefreshIdle = 12 * time.Hour }}, func(t *testing.T, k *kit) {
		ref := k.adopt("biz_1")
		k.oracle.SetFault(func(oracle.Send) oracle.Fault { return oracle.Fault{Status: 503} })
		k.sleep(5*time.Hour + 30*time.Minute)
		if events := k.near(); len(events) > 0 {
			t.Fatalf("more than half of its life before the end the log says %+v", events)
		}
		k.sleep(2 * time.Hour)
		events := k.near()
		if len(events) != 1 {
			t.Fatalf("the log says %d times that the end is near, want once: %+v", len(events), events)
		}
		e := events[0]
		text, _ := e.Data["hint"].(string)
		if e.Ref != ref.String() || e.Connection == "" || e.Grant == "" || e.ActBy() != grant.Provider || e.Data["ends"] != "unless_renewed" ||
			!strings.Contains(text, "evergrant link create biz_1@app") {
			t.Errorf("the event is %+v", e)
		}
	})
}

func TestConsentThatEndsAtAFixedTimeIsTheMerchantsToRenew(t *testing.T) {
	bubble(t, kitOptions{policy: func(p *grant.Policy) { p.RefreshAbsolute = 3 * 24 * time.Hour }}, func(t *testing.T, k *kit) {
		k.adopt("biz_1")
		k.sleep(36 * time.Hour)
		if events := k.near(); len(events) > 0 {
			t.Fatalf("a day and a half before the end the log says %+v", events)
		}
		k.sleep(24 * time.Hour)
		events := k.near()
		if len(events) != 1 || events[0].ActBy() != grant.Merchant || events[0].Data["ends"] != "consent" {
			t.Fatalf("the log says %+v", events)
		}
	})
}
