package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

func isError(err, want error) bool { return errors.Is(err, want) }

// method is a call of one method of a store.
type method struct {
	name string
	call func(ctx context.Context) error
}

// methods calls every method with arguments it succeeds with.
func (f *fixture) methods() []method {
	g := f.connected("every")
	c := f.connection("none")
	l, a := f.link(c), grant.Authorization{}
	a = f.authorization(f.link(c))
	claim := f.claim(g)
	e := grant.Event{Type: grant.EventAppAccepted, App: app}
	page := store.Page{Limit: 10}
	f.ok(f.SetDataKey(f.ctx, nil, "master", []byte("wrapped")))
	key := access.Key{ID: "key_1", Name: "one", Hash: access.Hash("one"), CreatedAt: f.now()}
	f.ok(f.CreateKey(f.ctx, key))
	login := f.login("one")
	other := access.Key{ID: "key_2", Name: "two", Hash: access.Hash("two"), CreatedAt: f.now()}
	fresh := f.newConnection("fresh")
	arrival := f.arrival("arrival")
	hook, gone, newHook := f.webhook("hook"), f.webhook("gone"), f.newWebhook("new")
	dying := f.dying("dying", time.Hour)
	return []method{
		{"CreateConnection", func(ctx context.Context) error { return f.CreateConnection(ctx, fresh, e) }},
		{"CreateConnections", func(ctx context.Context) error {
			added, err := f.CreateConnections(ctx, []store.Arrival{arrival})
			if err == nil && !added[0] {
				err = store.ErrExists
			}
			return err
		}},
		{"Connection", func(ctx context.Context) error { _, err := f.Connection(ctx, grant.Ref{ID: c.ID}); return err }},
		{"ListConnections", func(ctx context.Context) error {
			_, _, err := f.ListConnections(ctx, store.ConnectionFilter{}, page)
			return err
		}},
		{"CountConnections", func(ctx context.Context) error { _, err := f.CountConnections(ctx); return err }},
		{"UpdateConnection", func(ctx context.Context) error {
			_, err := f.UpdateConnection(ctx, c.ID, func(c *grant.Connection) error { c.Name = "new"; return nil }, e)
			return err
		}},
		{"Grants", func(ctx context.Context) error { _, err := f.Grants(ctx, g.ConnectionID); return err }},
		{"Grant", func(ctx context.Context) error { _, err := f.Grant(ctx, g.ID); return err }},
		{"LiveGrants", func(ctx context.Context) error { _, _, err := f.LiveGrants(ctx, app, page); return err }},
		{"Credentials", func(ctx context.Context) error { _, _, err := f.Credentials(ctx, g.ID); return err }},
		{"Holdings", func(ctx context.Context) error {
			_, _, err := f.Holdings(ctx, grant.Ref{ID: g.ConnectionID})
			return err
		}},
		{"Locations", func(ctx context.Context) error { _, err := f.Locations(ctx, g.ConnectionID); return err }},
		{"SetLocations", func(ctx context.Context) error {
			return f.SetLocations(ctx, g.ID, []grant.Location{{ID: "loc-1"}}, e)
		}},
		{"ClaimReadings", func(ctx context.Context) error {
			_, err := f.ClaimReadings(ctx, app, 1, time.Hour)
			return err
		}},
		{"SkipReading", func(ctx context.Context) error { return f.SkipReading(ctx, g.ID) }},
		{"Deadlines", func(ctx context.Context) error {
			_, _, err := f.Deadlines(ctx, store.DeadlineFilter{App: app}, page)
			return err
		}},
		{"CountDeadlines", func(ctx context.Context) error {
			_, err := f.CountDeadlines(ctx, store.DeadlineFilter{App: app}, []time.Time{f.now()})
			return err
		}},
		{"Latest", func(ctx context.Context) error {
			_, _, err := f.Latest(ctx, store.LatestFilter{State: grant.Pending}, page)
			return err
		}},
		{"Find", func(ctx context.Context) error { _, err := f.Find(ctx, "none", 1); return err }},
		{"Changes", func(ctx context.Context) error {
			_, err := f.Changes(ctx, []string{c.ID}, time.Time{}, 1)
			return err
		}},
		{"ConnectionsByID", func(ctx context.Context) error { _, err := f.ConnectionsByID(ctx, []string{c.ID}); return err }},
		{"NewestLinks", func(ctx context.Context) error { _, err := f.NewestLinks(ctx, []string{c.ID}); return err }},
		{"CountLinks", func(ctx context.Context) error { _, err := f.CountLinks(ctx, time.Time{}, f.now()); return err }},
		{"TellDeadline", func(ctx context.Context) error { return f.TellDeadline(ctx, dying.ID, dying.DeadlineAt, e) }},
		{"Replicas", func(ctx context.Context) error { _, err := f.Replicas(ctx, owner); return err }},
		{"Redone", func(ctx context.Context) error {
			fleet, err := f.Replicas(ctx, owner)
			return errors.Join(err, f.Redone(ctx, owner, fleet.Incarnation))
		}},
		{"NextDue", func(ctx context.Context) error { _, _, err := f.NextDue(ctx, app); return err }},
		{"Settle", func(ctx context.Context) error {
			s := f.settlement(claim, grant.AnswerLost)
			s.Hold = true
			s.Events = []grant.Event{e}
			return f.Settle(ctx, s)
		}},
		{"Commit", func(ctx context.Context) error {
			r := f.renewal(claim)
			r.Events = []grant.Event{e}
			return f.Commit(ctx, r)
		}},
		{"Claim", func(ctx context.Context) error { _, err := f.Claim(ctx, request(owner)); return err }},
		{"ClaimOne", func(ctx context.Context) error {
			_, err := f.ClaimOne(ctx, request(owner), g.ID, g.Version.Next())
			return err
		}},
		{"Park", func(ctx context.Context) error {
			return f.Park(ctx, store.Orphan{AttemptID: "att_1", GrantID: g.ID, Of: g.Version, Sealed: []byte("x")})
		}},
		{"Orphans", func(ctx context.Context) error { _, err := f.Orphans(ctx, g.ID); return err }},
		{"Install", func(ctx context.Context) error {
			n := g
			n.Version = grant.Version{Epoch: 7}
			return f.Install(ctx, store.Installation{Grant: n, Sealed: []byte("x"), Events: []grant.Event{e}})
		}},
		{"Disconnect", func(ctx context.Context) error {
			return f.Disconnect(ctx, g.ID, grant.Version{Epoch: 7}, grant.DisconnectedByUs, e)
		}},
		{"CreateLink", func(ctx context.Context) error { return f.CreateLink(ctx, f.newLink(c), e) }},
		{"Link", func(ctx context.Context) error { _, err := f.Link(ctx, l.ID); return err }},
		{"LinkByToken", func(ctx context.Context) error { _, err := f.LinkByToken(ctx, l.TokenHash); return err }},
		{"ListLinks", func(ctx context.Context) error {
			_, _, err := f.ListLinks(ctx, store.LinkFilter{}, page)
			return err
		}},
		{"UpdateLink", func(ctx context.Context) error {
			_, err := f.UpdateLink(ctx, l.ID, func(l *grant.Link) error { l.State = grant.LinkStateOpened; return nil }, e)
			return err
		}},
		{"CreateAuthorization", func(ctx context.Context) error { return f.CreateAuthorization(ctx, f.newAuthorization(l)) }},
		{"UseAuthorization", func(ctx context.Context) error {
			_, err := f.UseAuthorization(ctx, a.StateHash, a.BrowserHash)
			return err
		}},
		{"Authorization", func(ctx context.Context) error { _, err := f.Authorization(ctx, a.ID); return err }},
		{"FinishAuthorization", func(ctx context.Context) error {
			return f.FinishAuthorization(ctx, a.ID, grant.ProblemDeclined, e)
		}},
		{"DeleteConnection", func(ctx context.Context) error { return f.DeleteConnection(ctx, c.ID, e) }},
		{"AppendEvents", func(ctx context.Context) error { return f.AppendEvents(ctx, e) }},
		{"ListEvents", func(ctx context.Context) error {
			_, _, err := f.ListEvents(ctx, store.EventFilter{}, page)
			return err
		}},
		{"LastEvent", func(ctx context.Context) error { _, err := f.LastEvent(ctx); return err }},
		{"CreateWebhook", func(ctx context.Context) error { return f.CreateWebhook(ctx, newHook, e) }},
		{"Webhooks", func(ctx context.Context) error { _, err := f.Webhooks(ctx); return err }},
		{"UpdateWebhook", func(ctx context.Context) error {
			_, err := f.UpdateWebhook(ctx, hook.ID, func(w *store.Webhook) error { w.URL = "https://new.example/"; return nil }, e)
			return err
		}},
		{"DeleteWebhook", func(ctx context.Context) error { return f.DeleteWebhook(ctx, gone.ID, e) }},
		{"LeaseWebhook", func(ctx context.Context) error { _, err := f.LeaseWebhook(ctx, hook.ID, owner); return err }},
		{"AdvanceWebhook", func(ctx context.Context) error {
			return f.AdvanceWebhook(ctx, hook.ID, owner, store.Progress{}, nil, e)
		}},
		{"ReleaseWebhook", func(ctx context.Context) error { return f.ReleaseWebhook(ctx, hook.ID, owner) }},
		{"RecordDelivery", func(ctx context.Context) error {
			_, err := f.RecordDelivery(ctx, hook.ID, f.delivery(1))
			return err
		}},
		{"Deliveries", func(ctx context.Context) error {
			_, _, err := f.Deliveries(ctx, hook.ID, page)
			return err
		}},
		{"CreateKey", func(ctx context.Context) error { return f.CreateKey(ctx, other) }},
		{"ListKeys", func(ctx context.Context) error { _, err := f.ListKeys(ctx); return err }},
		{"RevokeKey", func(ctx context.Context) error { return f.RevokeKey(ctx, key.ID, f.now()) }},
		{"TouchKeys", func(ctx context.Context) error {
			return f.TouchKeys(ctx, map[string]time.Time{key.ID: f.now()})
		}},
		{"CreateLogin", func(ctx context.Context) error {
			_, err := f.CreateLogin(ctx, store.Login{Hash: access.Hash("two"), Name: "two", Role: access.Viewer}, time.Hour)
			return err
		}},
		{"Login", func(ctx context.Context) error { _, err := f.Login(ctx, login.Hash); return err }},
		{"UseLogin", func(ctx context.Context) error { _, err := f.UseLogin(ctx, login.Hash); return err }},
		{"DataKey", func(ctx context.Context) error { _, _, err := f.DataKey(ctx); return err }},
		{"SetDataKey", func(ctx context.Context) error {
			return f.SetDataKey(ctx, []byte("wrapped"), "master", []byte("again"))
		}},
		{"PausedApps", func(ctx context.Context) error { _, err := f.PausedApps(ctx); return err }},
		{"PauseApp", func(ctx context.Context) error {
			return f.PauseApp(ctx, app, store.Pause{Cause: grant.PausedByOperator}, e)
		}},
		{"ResumeApp", func(ctx context.Context) error { return f.ResumeApp(ctx, app, e) }},
		{"LastRun", func(ctx context.Context) error { _, err := f.LastRun(ctx); return err }},
		{"BeginRun", func(ctx context.Context) error { return f.BeginRun(ctx, "run_1") }},
		{"EndRun", func(ctx context.Context) error { return f.EndRun(ctx, "run_1") }},
		{"Check", f.Check},
	}
}

func methodTests() map[string]func(*fixture) {
	return map[string]func(*fixture){
		"does nothing when its context is cancelled already": func(f *fixture) {
			ctx, cancel := context.WithCancel(f.ctx)
			methods := f.methods()
			cancel()
			mark := f.mark()
			for _, m := range methods {
				f.Run(m.name, func(t *testing.T) {
					if err := m.call(ctx); !errors.Is(err, context.Canceled) {
						t.Errorf("error is %v, want context.Canceled", err)
					}
				})
			}
			equal(f, "events", f.since(mark), nil)
			// Each of them still succeeds, so none of them was done.
			for _, m := range methods {
				f.Run(m.name+" later", func(t *testing.T) {
					if err := m.call(f.ctx); err != nil {
						t.Error(err)
					}
				})
			}
		},
		"is unavailable after Close": func(f *fixture) {
			methods := f.methods()
			f.ok(f.Close())
			for _, m := range methods {
				f.Run(m.name, func(t *testing.T) {
					if err := m.call(f.ctx); !errors.Is(err, store.ErrUnavailable) {
						t.Errorf("error is %v, want ErrUnavailable", err)
					}
				})
			}
		},
		"may be called again after Close, if it is Close": func(f *fixture) {
			f.ok(f.Close())
			f.ok(f.Close())
		},
		"refuses a page without a sensible limit, if it lists": func(f *fixture) {
			for _, limit := range []int{-1, 0, 1001} {
				p := store.Page{Limit: limit}
				if _, _, err := f.ListConnections(f.ctx, store.ConnectionFilter{}, p); err == nil {
					f.Errorf("ListConnections takes limit %d", limit)
				}
				if _, _, err := f.ListLinks(f.ctx, store.LinkFilter{}, p); err == nil {
					f.Errorf("ListLinks takes limit %d", limit)
				}
				if _, _, err := f.LiveGrants(f.ctx, app, p); err == nil {
					f.Errorf("LiveGrants takes limit %d", limit)
				}
				if _, _, err := f.ListEvents(f.ctx, store.EventFilter{}, p); err == nil {
					f.Errorf("ListEvents takes limit %d", limit)
				}
				if _, _, err := f.Deadlines(f.ctx, store.DeadlineFilter{App: app}, p); err == nil {
					f.Errorf("Deadlines takes limit %d", limit)
				}
				if _, _, err := f.Deliveries(f.ctx, "wh_1", p); err == nil {
					f.Errorf("Deliveries takes limit %d", limit)
				}
			}
		},
	}
}
