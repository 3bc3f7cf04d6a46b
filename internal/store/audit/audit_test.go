package audit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/store/audit"
	"github.com/evergrant/evergrant/internal/store/whole"
)

// content is a store in memory.
type content struct {
	businesses []whole.Business
	events     []whole.Event
	rest       whole.Rest
	faults     []whole.Fault
}

func (c *content) Businesses(_ context.Context, after string, limit int) ([]whole.Business, error) {
	for i, b := range c.businesses {
		if b.Connection.ID > after {
			return c.businesses[i:min(i+limit, len(c.businesses))], nil
		}
	}
	return nil, nil
}

func (c *content) Events(_ context.Context, after int64, limit int) ([]whole.Event, error) {
	for i, e := range c.events {
		if e.Number > after {
			return c.events[i:min(i+limit, len(c.events))], nil
		}
	}
	return nil, nil
}

func (c *content) Rest(context.Context) (whole.Rest, error)     { return c.rest, nil }
func (c *content) Counts(context.Context) (whole.Counts, error) { return whole.Counts{}, nil }

func (c *content) Faults(_ context.Context, found func(whole.Fault) error) error {
	for _, f := range c.faults {
		if err := found(f); err != nil {
			return err
		}
	}
	return nil
}

// keys is where a data key is kept while the ring is made.
type keys struct{ kept whole.DataKey }

func (k *keys) DataKey(ctx context.Context) (string, []byte, error) { return k.kept.DataKey(ctx) }

func (k *keys) SetDataKey(_ context.Context, _ []byte, id string, wrapped []byte) error {
	k.kept = whole.DataKey{MasterID: id, Wrapped: wrapped}
	return nil
}

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// sound is a store in which all is well, and the key that opens it.
func sound(t *testing.T) (*content, seal.Master) {
	t.Helper()
	master := seal.Master{ID: "k1", Key: seal.GenerateMaster()}
	var k keys
	ring, err := seal.Open(t.Context(), &k, []seal.Master{master})
	if err != nil {
		t.Fatal(err)
	}
	sealed := func(slot seal.Slot) []byte {
		plain, err := grant.Credential{AccessToken: secret.New("at"), ExpiresAt: start}.Plaintext()
		if err != nil {
			t.Fatal(err)
		}
		b, err := ring.Seal(slot, plain)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	id := "grant_1"
	g := whole.Grant{
		Grant: grant.Grant{ID: id, Version: grant.Version{Epoch: 1, Seq: 1}, Status: grant.StatusOf(grant.OK, start),
			Attempt: &grant.Attempt{ID: "att_3"}},
		Credentials: []whole.Credentials{
			{Version: grant.Version{Epoch: 1, Seq: 1}, Attempt: "att_2", Sealed: sealed(seal.Slot{Table: seal.Credentials, Row: id, Epoch: 1, Seq: 1})},
			{Version: grant.Version{Epoch: 1}, Sealed: sealed(seal.Slot{Table: seal.Credentials, Row: id, Epoch: 1})}},
		Orphans: []store.Orphan{{AttemptID: "att_1", Of: grant.Version{Epoch: 1}, Sealed: sealed(seal.Slot{Table: seal.Orphans, Row: "att_1", Epoch: 1})}},
	}
	auth := grant.Authorization{ID: "auth_1", Sealed: sealed(seal.Slot{Table: seal.Authorizations, Row: "auth_1"})}
	return &content{
		businesses: []whole.Business{{Connection: grant.Connection{ID: "conn_1", Status: grant.StatusOf(grant.OK, start)},
			Grants: []whole.Grant{g}, Links: []whole.Link{{Authorizations: []grant.Authorization{auth}}}}},
		events: []whole.Event{{Number: 1}, {Number: 2, Data: []byte(`{"a": 1}`)}},
		rest:   whole.Rest{DataKey: k.kept, Keys: []access.Key{{ID: "key_1"}}},
	}, master
}

func run(t *testing.T, c *content, master seal.Master) (whole.Counts, []string) {
	t.Helper()
	var list []string
	counts, err := audit.Run(t.Context(), c, audit.Options{Masters: []seal.Master{master}, Found: func(f whole.Fault) error {
		list = append(list, f.Subject+": "+f.What)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return counts, list
}

func TestASoundStoreHasNoFaults(t *testing.T) {
	c, master := sound(t)
	counts, list := run(t, c, master)
	want := whole.Counts{Connections: 1, Grants: 1, Credentials: 2, Orphans: 1, Links: 1, Authorizations: 1, Events: 2, Keys: 1}
	if len(list) != 0 || counts != want {
		t.Errorf("read %+v with faults %v", counts, list)
	}
	if _, list := run(t, &content{}, master); len(list) != 0 {
		t.Errorf("of nothing the faults are %v", list)
	}
}

func TestEveryFaultIsTold(t *testing.T) {
	for name, test := range map[string]struct {
		damage func(*content, *whole.Business, *whole.Grant)
		want   string
	}{
		"credentials of another version": {func(_ *content, _ *whole.Business, g *whole.Grant) { g.Version.Seq++ },
			"grant_1: is connected and has no credentials of its version 1.2"},
		"no credentials": {func(_ *content, _ *whole.Business, g *whole.Grant) { g.Credentials = nil },
			"grant_1: is connected and has no credentials of its version 1.1"},
		"credentials in another's place": {func(_ *content, _ *whole.Business, g *whole.Grant) {
			g.Credentials[1].Sealed = g.Credentials[0].Sealed
		}, "grant_1: credentials of its version 1.0 cannot be opened"},
		"an orphan in another's place": {func(_ *content, _ *whole.Business, g *whole.Grant) { g.Orphans[0].AttemptID = "att_9" },
			"grant_1: the parked answer to att_9 cannot be opened"},
		"a damaged authorization": {func(_ *content, b *whole.Business, _ *whole.Grant) { b.Links[0].Authorizations[0].Sealed[20] ^= 1 },
			"auth_1: what it keeps cannot be opened"},
		"a connection that says something else": {func(_ *content, b *whole.Business, _ *whole.Grant) {
			b.Connection.Status = grant.StatusOf(grant.Network, start)
		}, "conn_1: is degraded (network), and by its grants it is connected (ok)"},
		"a connection without its grants": {func(_ *content, b *whole.Business, _ *whole.Grant) { b.Grants = nil },
			"conn_1: is connected (ok), and by its grants it is pending (never_connected)"},
		"a reason of another state": {func(_ *content, _ *whole.Business, g *whole.Grant) { g.Status.Reason = grant.Revoked },
			"grant_1: is connected for the reason revoked, which is none for that"},
		"a dead grant that is being renewed": {func(_ *content, b *whole.Business, g *whole.Grant) {
			g.Status, b.Connection.Status = grant.StatusOf(grant.Revoked, start), grant.StatusOf(grant.Revoked, start)
		}, "grant_1: is needs_reauthorization and its attempt att_3 is open"},
		"an event that is none": {func(c *content, _ *whole.Business, _ *whole.Grant) { c.events[1].Data = []byte("{") },
			"its data is no JSON"},
		"what the database itself says": {func(c *content, _ *whole.Business, _ *whole.Grant) {
			c.faults = []whole.Fault{{Subject: "grant_2", What: "grant of no connection"}}
		}, "grant_2: grant of no connection"},
	} {
		t.Run(name, func(t *testing.T) {
			c, master := sound(t)
			test.damage(c, &c.businesses[0], &c.businesses[0].Grants[0])
			_, list := run(t, c, master)
			if len(list) == 0 || len(list) > 2 || !strings.Contains(strings.Join(list, "\n"), test.want) {
				t.Errorf("faults are %q, want %q", list, test.want)
			}
		})
	}
}

func TestAWrongMasterKeyIsOneFault(t *testing.T) {
	c, _ := sound(t)
	_, list := run(t, c, seal.Master{ID: "k1", Key: seal.GenerateMaster()})
	if len(list) != 1 || !strings.HasPrefix(list[0], "data key: does not open") {
		t.Errorf("faults are %q", list)
	}
}

func TestMoreThanABatchIsReadToItsEnd(t *testing.T) {
	c, master := sound(t)
	c.businesses, c.events = nil, nil
	for n := range 2500 {
		c.businesses = append(c.businesses, whole.Business{Connection: grant.Connection{ID: fmt.Sprintf("conn_%05d", n), Status: grant.StatusOf(grant.NeverConnected, start)}})
		c.events = append(c.events, whole.Event{Number: int64(n + 1)})
	}
	if counts, list := run(t, c, master); counts.Connections != 2500 || counts.Events != 2500 || len(list) != 0 {
		t.Errorf("read %+v with faults %v", counts, list)
	}
}

func TestWhoHasHeardEnoughEndsIt(t *testing.T) {
	c, master := sound(t)
	c.faults = []whole.Fault{{Subject: "a"}, {Subject: "b"}}
	enough, heard := errors.New("enough"), 0
	_, err := audit.Run(t.Context(), c, audit.Options{Masters: []seal.Master{master}, Found: func(whole.Fault) error {
		heard++
		return enough
	}})
	if !errors.Is(err, enough) || heard != 1 {
		t.Errorf("it ended with %v after %d faults", err, heard)
	}
}
