package simulation

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// storeWeather is what the store is like.
type storeWeather struct {
	mu   sync.Mutex
	dice *rand.Rand
	down bool
	seen tally // what went wrong
}

func (w *storeWeather) set(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down = down; down {
		w.seen.count(storeDown, 1)
	}
}

// err is ErrUnavailable while the store is down.
func (w *storeWeather) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		return fmt.Errorf("simulated: %w", store.ErrUnavailable)
	}
	return nil
}

// failed is what went wrong so far.
func (w *storeWeather) failed() tally {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.seen)
}

// lag is how long a commit waits for the disk.
func (w *storeWeather) lag() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(w.dice.Int64N(int64(300 * time.Millisecond)))
}

// doubt is the error, now and then, of a change that was made all the same.
func (w *storeWeather) doubt() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dice.IntN(50) == 0 {
		w.seen.count(inDoubt, 1)
		return fmt.Errorf("simulated doubt: %w", store.ErrUnavailable)
	}
	return nil
}

// watched is the store with the judge and the weather before it. Of the changes
// it notes, those of an attempt that is already open may overlap: they commute.
// The others need their order.
type watched struct {
	store.Store
	j *judge
	w *storeWeather
}

func (s *watched) Connection(ctx context.Context, ref grant.Ref) (grant.Connection, error) {
	if err := s.w.err(); err != nil {
		return grant.Connection{}, err
	}
	return s.Store.Connection(ctx, ref)
}

func (s *watched) Holdings(ctx context.Context, ref grant.Ref) (grant.Connection, []store.Holding, error) {
	if err := s.w.err(); err != nil {
		return grant.Connection{}, nil, err
	}
	return s.Store.Holdings(ctx, ref)
}

func (s *watched) Credentials(ctx context.Context, grantID string) (grant.Grant, []byte, error) {
	if err := s.w.err(); err != nil {
		return grant.Grant{}, nil, err
	}
	return s.Store.Credentials(ctx, grantID)
}

func (s *watched) NextDue(ctx context.Context, app string) (time.Time, bool, error) {
	if err := s.w.err(); err != nil {
		return time.Time{}, false, err
	}
	return s.Store.NextDue(ctx, app)
}

func (s *watched) Claim(ctx context.Context, r store.ClaimRequest) ([]store.Claim, error) {
	if err := s.w.err(); err != nil {
		return nil, err
	}
	s.j.record.Lock()
	defer s.j.record.Unlock()
	all, err := s.Store.Claim(ctx, r)
	for _, c := range all {
		s.j.claimed(c)
	}
	return all, err
}

func (s *watched) ClaimOne(ctx context.Context, r store.ClaimRequest, grantID string, of grant.Version) (store.Claim, error) {
	if err := s.w.err(); err != nil {
		return store.Claim{}, err
	}
	s.j.record.Lock()
	defer s.j.record.Unlock()
	c, err := s.Store.ClaimOne(ctx, r, grantID, of)
	if err == nil {
		s.j.claimed(c)
	}
	return c, err
}

func (s *watched) Commit(ctx context.Context, r store.Renewal) error {
	time.Sleep(s.w.lag())
	if err := s.w.err(); err != nil {
		return err
	}
	s.j.record.RLock()
	defer s.j.record.RUnlock()
	if err := s.Store.Commit(ctx, r); err != nil {
		return err
	}
	s.j.committed(r)
	return s.w.doubt()
}

func (s *watched) Settle(ctx context.Context, r store.Settlement) error {
	if err := s.w.err(); err != nil {
		return err
	}
	s.j.record.RLock()
	defer s.j.record.RUnlock()
	if err := s.Store.Settle(ctx, r); err != nil {
		return err
	}
	s.j.settled(r)
	return s.w.doubt()
}

func (s *watched) Install(ctx context.Context, in store.Installation) error {
	if err := s.w.err(); err != nil {
		return err
	}
	s.j.record.Lock()
	defer s.j.record.Unlock()
	err := s.Store.Install(ctx, in)
	if err == nil {
		s.j.installed(in)
	}
	return err
}

func (s *watched) Disconnect(ctx context.Context, grantID string, from grant.Version, reason grant.Reason, events ...grant.Event) error {
	if err := s.w.err(); err != nil {
		return err
	}
	s.j.record.Lock()
	defer s.j.record.Unlock()
	err := s.Store.Disconnect(ctx, grantID, from, reason, events...)
	if err == nil {
		s.j.disconnected(grantID)
	}
	return err
}
