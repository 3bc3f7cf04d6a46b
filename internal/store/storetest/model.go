package storetest

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// model is what one grant must be after any sequence of changes, in plain Go.
type model struct {
	f      *fixture
	g      grant.Grant
	sealed []byte
	// brought are the attempts that brought the current version and the one before.
	brought [2]string
	// claims are all that were ever made, most of them stale.
	claims []store.Claim
	owner  int // rises with each restart of the process
}

func modelTests() map[string]func(*fixture) {
	return map[string]func(*fixture){
		"a grant goes the way of its model": func(f *fixture) {
			var n atomic.Int64
			rapid.Check(f.T, func(t *rapid.T) {
				m := newModel(f, fmt.Sprint("model-", n.Add(1)))
				t.Repeat(map[string]func(*rapid.T){
					"":           m.check,
					"advance":    m.advance,
					"restart":    func(*rapid.T) { m.owner++ },
					"claim":      m.claim,
					"claim one":  m.claimOne,
					"commit":     m.commit,
					"settle":     m.settle,
					"install":    m.install,
					"disconnect": m.disconnect,
				})
			})
		},
	}
}

// newModel makes a grant that is the only one of an app.
func newModel(f *fixture, app string) *model {
	c := f.newConnection("k")
	c.App = app
	f.ok(f.CreateConnection(f.ctx, c))
	g := f.install(f.newGrant(c))
	return &model{f: f, g: g, sealed: sealed(g.ID, g.Version)}
}

// check compares what is stored with the model.
func (m *model) check(t *rapid.T) {
	got, bytes, err := m.f.Credentials(m.f.ctx, m.g.ID)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(m.g, got); d != "" {
		t.Fatalf("grant (-want +got):\n%s", d)
	}
	if d := cmp.Diff(m.sealed, bytes); d != "" {
		t.Fatalf("credentials (-want +got):\n%s", d)
	}
	due, ok, err := m.f.NextDue(m.f.ctx, m.g.App)
	live := m.g.Status.State.Live() && !m.g.DueAt.IsZero()
	if err != nil || ok != live || live && !due.Equal(m.g.DueAt) {
		t.Fatalf("next due is %v, %v, %v; want %v, %v", due, ok, err, m.g.DueAt, live)
	}
	c, err := m.f.Connection(m.f.ctx, grant.Ref{ID: m.g.ConnectionID})
	if err != nil || !c.Status.Same(m.g.Status) {
		t.Fatalf("connection is %v, %v; its grant %v", c.Status, err, m.g.Status)
	}
}

// expect ends the check unless err is nil exactly if it should be, and ErrStale
// otherwise.
func expect(t *rapid.T, what string, err error, ok bool) {
	if ok && err != nil || !ok && !isError(err, store.ErrStale) {
		t.Fatalf("%s: error is %v; should it succeed: %v", what, err, ok)
	}
}

func (m *model) advance(t *rapid.T) {
	m.f.clock.advance(time.Duration(rapid.Int64Range(0, int64(2*settle)).Draw(t, "by")))
}

func (m *model) request() store.ClaimRequest {
	return store.ClaimRequest{App: m.g.App, Owner: fmt.Sprint("inc_", m.owner), Limit: 10, Barrier: grant.Barrier{Settle: settle}}
}

// free reports whether the grant's attempt, if any, lets another be opened.
func (m *model) free() bool {
	a := m.g.Attempt
	return a == nil || m.due() && (a.Unknown || a.Owner != m.request().Owner)
}

func (m *model) due() bool { return !m.g.DueAt.IsZero() && !m.g.DueAt.After(m.f.now()) }

// claimed brings the model up to date with an attempt that was opened.
func (m *model) claimed(t *rapid.T, c store.Claim) {
	want := store.Claim{Grant: m.g, Sealed: m.sealed, DueAt: m.g.DueAt, Repeats: m.g.Attempt}
	kind := grant.FirstSend
	if m.g.Attempt != nil {
		kind = grant.Resend
	}
	if c.Grant.Attempt == nil {
		t.Fatal("a claim without an attempt")
	}
	want.Grant.Attempt = &grant.Attempt{ID: c.Grant.Attempt.ID, Owner: m.request().Owner, Kind: kind, Of: m.g.Version, OpenedAt: m.f.now()}
	want.Grant.DueAt = kept(m.f.clock.now().Add(settle))
	if d := cmp.Diff(want, c); d != "" {
		t.Fatalf("claim (-want +got):\n%s", d)
	}
	m.g = want.Grant
	m.claims = append(m.claims, c)
}

func (m *model) claim(t *rapid.T) {
	want := m.g.Status.State.Live() && m.due() && m.free()
	claims, err := m.f.Claim(m.f.ctx, m.request())
	if err != nil || (len(claims) == 1) != want || len(claims) > 1 {
		t.Fatalf("%d claims, %v; want one: %v", len(claims), err, want)
	}
	if want {
		m.claimed(t, claims[0])
	}
}

func (m *model) claimOne(t *rapid.T) {
	v := m.version(t)
	want := v == m.g.Version && m.g.Status.State.Live() && m.free()
	c, err := m.f.ClaimOne(m.f.ctx, m.request(), m.g.ID, v)
	expect(t, "claim one", err, want)
	if want {
		m.claimed(t, c)
	}
}

// version draws the current version or one beside it.
func (m *model) version(t *rapid.T) grant.Version {
	v := m.g.Version
	v.Epoch += rapid.SampledFrom([]int64{0, 0, 0, 0, -1, 1}).Draw(t, "epochs off")
	v.Seq += rapid.SampledFrom([]int64{0, 0, 0, 0, -1, 1}).Draw(t, "seqs off")
	return v
}

// attempt draws one of the claims that were made, the last most often.
func (m *model) attempt(t *rapid.T) store.Claim {
	if len(m.claims) == 0 {
		t.Skip("no claims yet")
	}
	back := min(rapid.SampledFrom([]int{1, 1, 1, 2, 3, 5}).Draw(t, "claims back"), len(m.claims))
	return m.claims[len(m.claims)-back]
}

// open reports whether a claim's attempt is the grant's.
func (m *model) open(c store.Claim) bool {
	return m.g.Attempt != nil && m.g.Attempt.ID == c.Grant.Attempt.ID
}

func (m *model) commit(t *rapid.T) {
	c := m.attempt(t)
	r := m.f.renewal(c)
	again := m.brought[0] == r.AttemptID || m.brought[1] == r.AttemptID
	err := m.f.Commit(m.f.ctx, r)
	expect(t, "commit", err, m.open(c) || again)
	if !m.open(c) {
		return
	}
	g := &m.g
	g.Version, g.Scope, g.IssuedAt = g.Version.Next(), r.Scope, r.IssuedAt
	g.ExpiresAt, g.DeadlineAt, g.DueAt = r.Times.ExpiresAt, r.Times.DeadlineAt, r.Times.DueAt
	g.Status = g.Status.Become(grant.OK, m.f.now(), time.Time{})
	g.Failures, g.Refusals, g.RefusedAt, g.Attempt = 0, 0, time.Time{}, nil
	m.sealed, m.brought = r.Sealed, [2]string{r.AttemptID, m.brought[0]}
}

func (m *model) settle(t *rapid.T) {
	c := m.attempt(t)
	reason := rapid.SampledFrom([]grant.Reason{grant.OK, grant.Network, grant.AnswerLost, grant.Revoked}).Draw(t, "reason")
	s := m.f.settlement(c, reason)
	s.Hold = rapid.Bool().Draw(t, "hold")
	if !reason.State().Live() {
		s.DueAt = time.Time{}
	}
	err := m.f.Settle(m.f.ctx, s)
	expect(t, "settle", err, m.open(c))
	if !m.open(c) {
		return
	}
	g := &m.g
	g.DueAt, g.Status, g.Failures, g.Refusals, g.RefusedAt = s.DueAt, s.Status, s.Failures, s.Refusals, s.RefusedAt
	if s.Hold {
		held := *g.Attempt
		held.Unknown = true
		g.Attempt = &held
	} else {
		g.Attempt = nil
	}
}

func (m *model) install(t *rapid.T) {
	n := m.f.newGrant(grant.Connection{ID: m.g.ConnectionID, App: m.g.App})
	n.ID = m.g.ID
	n.Version = grant.Version{Epoch: m.g.Version.Epoch + rapid.Int64Range(-1, 2).Draw(t, "epochs on")}
	in := store.Installation{Grant: n, Sealed: sealed(n.ID, n.Version)}
	ok := n.Version.Epoch > m.g.Version.Epoch
	expect(t, "install", m.f.Install(m.f.ctx, in), ok)
	if ok {
		m.g, m.sealed, m.brought = n, in.Sealed, [2]string{}
	}
}

func (m *model) disconnect(t *rapid.T) {
	v := m.version(t)
	ok := v == m.g.Version
	expect(t, "disconnect", m.f.Disconnect(m.f.ctx, m.g.ID, v, grant.DisconnectedByUs), ok)
	if ok {
		m.g.Version = grant.Version{Epoch: v.Epoch + 1}
		m.g.Status = m.g.Status.Become(grant.DisconnectedByUs, m.f.now(), time.Time{})
		m.g.DueAt, m.g.Attempt = time.Time{}, nil
		m.sealed, m.brought = nil, [2]string{}
	}
}
