package connect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/spool"
	"github.com/evergrant/evergrant/internal/store"
)

// Recover finishes a code exchange whose answer is in the spool and, after a
// crash or while the store was down, perhaps nowhere else. It returns nil when
// the entry is of no more use: stored now or before, superseded, or a problem
// that is recorded. An error means that the entry must be kept and tried again.
// Doing it twice, or while the exchange is still under way, changes nothing.
func (s *Service) Recover(ctx context.Context, e spool.Entry) error {
	if e.Kind != spool.Exchange {
		return fmt.Errorf("recover %s: a spool entry of kind %s is not a code exchange", e.AttemptID, e.Kind)
	}
	a, err := s.c.Store.Authorization(ctx, e.AttemptID)
	if gone, err := gone(e, err); gone || err != nil {
		return err
	}
	if a.Finished {
		return nil
	}
	var v visit
	v.link, err = s.c.Store.Link(ctx, a.LinkID)
	if gone, err := gone(e, err); gone || err != nil {
		return err
	}
	v.conn, err = s.c.Store.Connection(ctx, grant.Ref{ID: v.link.ConnectionID})
	if gone, err := gone(e, err); gone || err != nil {
		return err
	}
	grants, err := s.c.Store.Grants(ctx, v.conn.ID)
	if err != nil {
		return fmt.Errorf("recover %s: %w", e.AttemptID, err)
	}
	if slices.ContainsFunc(grants, func(g grant.Grant) bool { return g.ConsentAt.After(e.SentAt) }) {
		// Somebody approved again in the meantime. What is newer stays.
		s.finish(ctx, v, a, grant.ProblemLostSession)
		return nil
	}
	var ok bool
	if v.app, ok = s.c.Apps[v.link.App]; !ok {
		return fmt.Errorf("recover %s: app %q is not configured; its tokens wait in the spool", e.AttemptID, v.link.App)
	}
	ans := oauth.Answer{
		SentAt: e.SentAt, ReceivedAt: e.SentAt, Sent: true, Complete: !e.Cut,
		Status: e.Status, ContentType: e.Type, Body: e.Body,
	}
	if _, err := s.settle(ctx, v, a, ans, oauth.Classify(ans, v.app.Recipe.Errors)); err != nil {
		return fmt.Errorf("recover %s: %w", e.AttemptID, err)
	}
	return nil
}

// gone reports whether what a spool entry is for is not there any more.
func gone(e spool.Entry, err error) (bool, error) {
	switch {
	case err == nil:
		return false, nil
	case errors.Is(err, store.ErrNotFound):
		return true, nil
	}
	return false, fmt.Errorf("recover %s: %w", e.AttemptID, err)
}

// storeLater goes on storing an answer that the merchant could not wait for. It
// ends when that is done, when trying again cannot help, or with [Service.Close];
// the entry is in the spool all the while.
func (s *Service) storeLater(e spool.Entry, slot *spool.Slot) {
	s.background.Go(func() {
		wait := time.NewTicker(s.patience.again)
		defer wait.Stop()
		for {
			err := s.Recover(s.ctx, e)
			switch {
			case err == nil:
				s.drop(slot, e.AttemptID)
				return
			case !errors.Is(err, store.ErrUnavailable):
				s.c.Logger.Error("tokens just issued cannot be stored; they wait in the spool", "err", err)
				return
			}
			select {
			case <-s.ctx.Done():
				return
			case <-wait.C:
			}
		}
	})
}

// Close ends what goes on after requests have been answered, and waits for it.
// Call it after the server has stopped and before the store and the spool are
// closed. What could not be stored is in the spool. Closing twice does nothing.
func (s *Service) Close() {
	s.stop()
	s.background.Wait()
}
