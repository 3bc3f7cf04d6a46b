package refresh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/spool"
	"github.com/evergrant/evergrant/internal/store"
)

// replay commits what an earlier process had received and not committed. Doing
// it again changes nothing.
func (e *Engine) replay(ctx context.Context) error {
	for _, entry := range e.c.Spool.Pending() {
		err := e.replaySafely(ctx, entry)
		if entry.Kind == spool.Exchange && err != nil && !errors.Is(err, store.ErrUnavailable) {
			// It needs an operator, and the grants there are cannot wait for that.
			e.c.Logger.Error("tokens just issued cannot be stored; they wait in the spool for the next start", "authorization", entry.AttemptID, "err", err)
			continue
		}
		if err != nil {
			return fmt.Errorf("attempt %s: %w", entry.AttemptID, err)
		}
		if err := e.c.Spool.Done(entry.AttemptID); err != nil {
			return fmt.Errorf("attempt %s: %w", entry.AttemptID, err)
		}
	}
	return nil
}

// replayTries is how often an entry is replayed that sets off a bug of ours.
const replayTries = 3

// replaySafely replays an entry. A bug of ours that one answer sets off must not
// keep every start from succeeding: if trying again does not help, that answer is
// parked, to be tried before its grant is declared dead.
func (e *Engine) replaySafely(ctx context.Context, entry spool.Entry) error {
	for range replayTries {
		if panicked, err := e.replayOnce(ctx, entry); !panicked {
			return err
		}
	}
	if entry.Kind != spool.Refresh {
		return errors.New("internal error")
	}
	return e.park(ctx, entry.GrantID, entry.AttemptID, entry.Of, answerOf(entry))
}

func (e *Engine) replayOnce(ctx context.Context, entry spool.Entry) (panicked bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			panicked = true
			e.c.Logger.Error("panic while an answer of an earlier process was committed", "attempt", entry.AttemptID, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		}
	}()
	return false, e.replayEntry(ctx, entry)
}

func (e *Engine) replayEntry(ctx context.Context, entry spool.Entry) error {
	if entry.Kind == spool.Exchange {
		return e.c.Exchange(ctx, entry)
	}
	ans := answerOf(entry)
	g, err := e.c.Store.Grant(ctx, entry.GrantID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil // deleted since
	case err != nil:
		return err
	}
	if g.Attempt != nil && g.Attempt.ID == entry.AttemptID && g.Version == entry.Of {
		if done, err := e.recommitAnswer(ctx, g, ans); done || err != nil {
			return err
		}
	}
	if g.Version == entry.Of.Next() {
		// Very likely this very answer, committed and not yet marked; parking it
		// again would keep a token that is current anyway.
		return nil
	}
	return e.park(ctx, entry.GrantID, entry.AttemptID, entry.Of, ans)
}

// answerOf is the answer that was spooled.
func answerOf(e spool.Entry) oauth.Answer {
	return oauth.Answer{
		SentAt: e.SentAt, ReceivedAt: e.SentAt, Sent: true, Complete: !e.Cut,
		Status: e.Status, ContentType: e.Type, Body: e.Body,
	}
}

// recommitAnswer commits an answer under the attempt that is still open for it,
// and reports whether it is current now.
func (e *Engine) recommitAnswer(ctx context.Context, g grant.Grant, ans oauth.Answer) (bool, error) {
	tok, err := oauth.ParseToken(ans)
	if err != nil || oauth.Classify(ans, nil).Outcome != grant.Granted { // half an answer may parse
		return false, nil
	}
	return e.recommit(ctx, g, tok, ans.SentAt)
}

// recommit is recommitAnswer for the tokens of an answer.
func (e *Engine) recommit(ctx context.Context, g grant.Grant, tok oauth.Token, sentAt time.Time) (bool, error) {
	now, sealed, err := e.c.Store.Credentials(ctx, g.ID)
	if err != nil {
		return false, err
	}
	old, err := e.unseal(store.Claim{Grant: now, Sealed: sealed})
	if err != nil {
		return false, err
	}
	r, _, err := e.renewal(e.policy(g.App), g, old, tok, sentAt)
	if err != nil {
		return false, err
	}
	r.Events = []grant.Event{{Type: grant.GrantRefreshed, Connection: g.ConnectionID, Grant: g.ID, App: g.App, Reason: grant.OK,
		Data: map[string]any{"attempt": g.Attempt.ID, "epoch": g.Version.Epoch, "seq": g.Version.Seq + 1, "recovered": "journal"}}}
	err = e.save(ctx, r)
	if errors.Is(err, store.ErrStale) {
		return false, nil
	}
	return err == nil, err
}

// adoptOrphan tries the parked answers of a grant that is about to be declared
// dead. A parked answer that is newer than the refused token becomes current
// and is due as soon as the provider allows; if its token is dead too, the next
// refusal finds no orphan.
func (a *attempt) adoptOrphan() (Result, bool) {
	e, g := a.l.e, a.claim.Grant
	ctx := context.WithoutCancel(e.life)
	orphans, err := e.c.Store.Orphans(ctx, g.ID)
	if err != nil {
		e.c.Logger.Error("parked answers cannot be read", "grant", g.ID, "err", err)
		return Result{}, false
	}
	for _, o := range orphans {
		if o.Of.Before(g.Version) {
			continue
		}
		ans, err := e.openAnswer(o)
		if err != nil {
			e.c.Logger.Error("a parked answer does not open", "grant", g.ID, "attempt", o.AttemptID, "err", err)
			continue
		}
		tok, err := oauth.ParseToken(ans)
		if err != nil || tok.RefreshToken == a.cred.RefreshToken {
			continue
		}
		r, cred, err := e.renewal(a.l.app.Policy, g, a.cred, tok, ans.SentAt)
		if err != nil {
			continue
		}
		r.Times.DueAt = e.c.Now().Add(a.l.app.Policy.Spacing())
		r.Events = []grant.Event{{Type: grant.GrantRefreshed, Connection: g.ConnectionID, Grant: g.ID, App: g.App, Reason: grant.OK,
			Data: map[string]any{"attempt": o.AttemptID, "epoch": g.Version.Epoch, "seq": g.Version.Seq + 1, "recovered": "parked answer"}}}
		if err := e.save(ctx, r); err != nil {
			continue
		}
		next := g
		next.Version, next.ExpiresAt, next.DueAt, next.Attempt = r.Of.Next(), r.Times.ExpiresAt, r.Times.DueAt, nil
		next.Status = g.Status.Become(grant.OK, e.c.Now(), time.Time{})
		e.c.Renewed(next, cred, false)
		return Result{Grant: next, Credential: cred}, true
	}
	return Result{}, false
}

// answerJSON is the plaintext of a parked answer.
type answerJSON struct {
	SentAt time.Time `json:"sent_at"`
	Status int       `json:"status"`
	Type   string    `json:"type"`
	Body   []byte    `json:"body"`
}

func (e *Engine) sealAnswer(attemptID string, of grant.Version, ans oauth.Answer) ([]byte, error) {
	plain, err := json.Marshal(answerJSON{ans.SentAt.UTC(), ans.Status, ans.ContentType, ans.Body})
	if err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return e.c.Ring.Seal(orphanSlot(attemptID, of), plain)
}

func (e *Engine) openAnswer(o store.Orphan) (oauth.Answer, error) {
	plain, err := e.c.Ring.Open(orphanSlot(o.AttemptID, o.Of), o.Sealed)
	if err != nil {
		return oauth.Answer{}, err
	}
	var j answerJSON
	if err := json.Unmarshal(plain, &j); err != nil {
		return oauth.Answer{}, errors.New("parked answer: the opened bytes are not an answer")
	}
	return oauth.Answer{SentAt: j.SentAt, ReceivedAt: j.SentAt, Sent: true, Complete: true,
		Status: j.Status, ContentType: j.Type, Body: j.Body}, nil
}
