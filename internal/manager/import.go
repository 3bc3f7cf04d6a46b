package manager

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// Imported is what became of one of many.
type Imported struct {
	Created bool // else updated
	Err     error
}

// Import is Create for many, in their order: one transaction for those that are
// new, at most [store.MaxArrivals] at once. An existing connection is brought to
// what is asked for, name, tags and required locations as far as they are given.
// Tokens that it was given before are not adopted again, whatever became of them
// since, so that an import that was cut off can be made again. One that fails
// harms no other; if the store fails, all that it was to keep have failed.
func (m *Manager) Import(ctx context.Context, list []NewConnection) []Imported {
	out := make([]Imported, len(list))
	for first := 0; first < len(list); first += store.MaxArrivals {
		last := min(first+store.MaxArrivals, len(list))
		m.importTogether(ctx, list[first:last], out[first:last])
	}
	return out
}

const opImport = "import"

// importTogether stores what is new in one transaction, and the rest, those that
// exist, one by one.
func (m *Manager) importTogether(ctx context.Context, list []NewConnection, out []Imported) {
	prepared := make([]store.Arrival, len(list))
	parallel(len(list), func(i int) {
		defer m.survive(list[i], &out[i])
		prepared[i], out[i].Err = m.prepare(ctx, list[i])
	})
	var at []int
	var arrivals []store.Arrival
	for i, a := range prepared {
		if out[i].Err == nil {
			at, arrivals = append(at, i), append(arrivals, a)
		}
	}
	added, err := m.c.Store.CreateConnections(ctx, arrivals)
	if errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil && err != nil {
		for _, i := range at {
			out[i].Err = m.internal(opImport, list[i].Ref.String(), err)
		}
		return
	}
	alone := make(map[grant.Ref][]int)
	for n, i := range at {
		if err != nil || !added[n] { // with an error, one of them is at fault and finds out alone
			alone[list[i].Ref] = append(alone[list[i].Ref], i)
			continue
		}
		out[i].Created = true
		if in := arrivals[n].Installation; in != nil {
			m.issuer.Arrived(in.Grant)
		}
	}
	m.importAlone(ctx, list, alone, out)
}

// parallel calls do with every number below n, on every processor.
func parallel(n int, do func(i int)) {
	var all sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for first := range min(n, workers) {
		all.Go(func() {
			for i := first; i < n; i += workers {
				do(i)
			}
		})
	}
	all.Wait()
}

// survive makes a bug of ours that one of many sets off that one's failure.
func (m *Manager) survive(n NewConnection, out *Imported) {
	if v := recover(); v != nil {
		out.Err = m.internal(opImport, n.Ref.String(), fmt.Errorf("panic: %v", v))
	}
}

// prepare makes what is to be stored of a connection, should it be new.
func (m *Manager) prepare(ctx context.Context, n NewConnection) (store.Arrival, error) {
	if err := m.check(opImport, n); err != nil {
		return store.Arrival{}, err
	}
	c := m.fresh(n)
	if n.Tokens == nil {
		return store.Arrival{Connection: c}, nil
	}
	a, err := m.issuer.Prepare(ctx, m.adoption(c, n.Tokens))
	return a, m.internal(opImport, n.Ref.String(), err)
}

// importAlone imports connections at the same time, those of one address one
// after the other.
func (m *Manager) importAlone(ctx context.Context, list []NewConnection, byRef map[grant.Ref][]int, out []Imported) {
	work, room := sync.WaitGroup{}, make(chan struct{}, mostAlone)
	for _, same := range byRef {
		room <- struct{}{}
		work.Go(func() {
			defer func() { <-room }()
			for _, i := range same {
				func() {
					defer m.survive(list[i], &out[i])
					out[i].Created, out[i].Err = m.importOne(ctx, list[i])
				}()
			}
		})
	}
	work.Wait()
}

// mostAlone bounds how many are imported alone at the same time. The store makes
// some of their changes durable together.
const mostAlone = 64

func (m *Manager) importOne(ctx context.Context, n NewConnection) (created bool, err error) {
	c, err := m.c.Store.Connection(ctx, n.Ref)
	if errors.Is(err, store.ErrNotFound) {
		c, created, err = m.make(ctx, opImport, n)
	}
	if err != nil {
		return false, m.internal(opImport, n.Ref.String(), err)
	}
	if !created && describes(n, c) {
		if err := m.redescribe(ctx, c, n); err != nil {
			return false, err
		}
	}
	if n.Tokens == nil {
		return created, nil
	}
	if !created {
		known, err := m.adopted(ctx, c, n.Tokens)
		if err != nil || known {
			return false, m.internal(opImport, n.Ref.String(), err)
		}
	}
	return created, m.internal(opImport, n.Ref.String(), m.adopt(ctx, c, n.Tokens))
}

// describes reports whether what is asked for differs from the connection.
func describes(n NewConnection, c grant.Connection) bool {
	return n.Name != "" && n.Name != c.Name || n.Tags != nil && !maps.Equal(n.Tags, c.Tags) ||
		n.RequiredLocations != nil && !slices.Equal(n.RequiredLocations, c.RequiredLocations)
}

func (m *Manager) redescribe(ctx context.Context, c grant.Connection, n NewConnection) error {
	ch := Change{Tags: n.Tags}
	if n.Name != "" {
		ch.Name = &n.Name
	}
	if n.RequiredLocations != nil {
		ch.RequiredLocations = &n.RequiredLocations
	}
	_, err := m.Update(ctx, grant.Ref{ID: c.ID}, ch)
	return err
}

// adopted reports whether the connection was given these tokens before.
func (m *Manager) adopted(ctx context.Context, c grant.Connection, t *Adoption) (bool, error) {
	f := store.EventFilter{Types: []string{string(grant.GrantIssued)}, ConnectionID: c.ID, NewestFirst: true}
	events, _, err := m.c.Store.ListEvents(ctx, f, store.Page{Limit: 100})
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(events, func(e grant.Event) bool { return e.Data["adopted"] == t.fingerprint() }), nil
}

// fingerprint tells sets of tokens from each other: by what renews them, if they
// have that.
func (t *Adoption) fingerprint() string {
	if !t.RefreshToken.IsZero() {
		return t.RefreshToken.Fingerprint()
	}
	return t.AccessToken.Fingerprint()
}
