// Package audit looks for what cannot be in a store: rows that belong to nothing,
// grants without credentials, credentials that do not open with the keys there
// are, connections whose status their grants do not make. It changes nothing and
// may run beside a server; it takes the same memory for a million grants as for a
// thousand.
package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/store/eventid"
	"github.com/evergrant/evergrant/internal/store/whole"
)

// Options say how to look.
type Options struct {
	Masters []seal.Master
	// Found is told of each fault. An error of it ends the audit and is returned.
	Found func(whole.Fault) error
	// Progress, if not nil, is told how many connections and events were read.
	Progress func(read whole.Counts)
}

// batch is how many connections or events are read at once.
const batch = 1000

// Run reads a whole store and returns what it read.
func Run(ctx context.Context, r whole.Reader, o Options) (whole.Counts, error) {
	if o.Progress == nil {
		o.Progress = func(whole.Counts) {}
	}
	a := &auditor{r: r, o: o, now: time.Now()}
	for _, step := range []func(context.Context) error{a.dataKey, a.faults, a.businesses, a.events} {
		if err := step(ctx); err != nil {
			return a.read, err
		}
	}
	return a.read, nil
}

type auditor struct {
	r    whole.Reader
	o    Options
	now  time.Time
	ring *seal.Ring // nil if the data key does not open
	read whole.Counts
}

func (a *auditor) found(subject, format string, args ...any) error {
	return a.o.Found(whole.Fault{Subject: subject, What: fmt.Sprintf(format, args...)})
}

// dataKey opens the key that everything is sealed with. If it does not open,
// that is one fault and not one for every row.
func (a *auditor) dataKey(ctx context.Context) error {
	rest, err := a.r.Rest(ctx)
	if err != nil {
		return err
	}
	a.read.Keys = int64(len(rest.Keys))
	if rest.DataKey.Wrapped == nil {
		return nil
	}
	if a.ring, err = seal.Open(ctx, rest.DataKey, a.o.Masters); err != nil {
		return a.found("data key", "does not open, so that nothing that is sealed was tried: %v", err)
	}
	return nil
}

func (a *auditor) faults(ctx context.Context) error { return a.r.Faults(ctx, a.o.Found) }

func (a *auditor) businesses(ctx context.Context) error {
	for after := ""; ; {
		list, err := a.r.Businesses(ctx, after, batch)
		if err != nil {
			return err
		}
		for i := range list {
			if err := a.business(&list[i]); err != nil {
				return err
			}
		}
		a.o.Progress(a.read)
		if len(list) < batch {
			return nil
		}
		after = list[len(list)-1].Connection.ID
	}
}

func (a *auditor) business(b *whole.Business) error {
	a.read.Add(*b)
	errs := []error{a.status(b)}
	for i := range b.Grants {
		errs = append(errs, a.grant(&b.Grants[i]))
	}
	for _, l := range b.Links {
		for _, auth := range l.Authorizations {
			if len(auth.Sealed) > 0 {
				errs = append(errs, a.opens(auth.ID, "what it keeps", seal.Slot{Table: seal.Authorizations, Row: auth.ID}, auth.Sealed, nil))
			}
		}
	}
	return errors.Join(errs...)
}

// status compares a connection's status with what its grants make of it.
func (a *auditor) status(b *whole.Business) error {
	c := &b.Connection
	if c.Status.Reason.State() != c.Status.State {
		return a.found(c.ID, "is %s for the reason %s, which is none for that", c.Status.State, c.Status.Reason)
	}
	grants := make([]grant.Grant, len(b.Grants))
	for i, g := range b.Grants {
		grants[i] = g.Grant
	}
	if is := grant.Derive(c.Status, grants, a.now); !is.Same(c.Status) {
		return a.found(c.ID, "is %s (%s), and by its grants it is %s (%s)", c.Status.State, c.Status.Reason, is.State, is.Reason)
	}
	return nil
}

func (a *auditor) grant(g *whole.Grant) error {
	var errs []error
	live := g.Status.State.Live()
	if g.Status.Reason.State() != g.Status.State {
		errs = append(errs, a.found(g.ID, "is %s for the reason %s, which is none for that", g.Status.State, g.Status.Reason))
	}
	if live && (len(g.Credentials) == 0 || g.Credentials[0].Version != g.Version) {
		errs = append(errs, a.found(g.ID, "is %s and has no credentials of its version %d.%d", g.Status.State, g.Version.Epoch, g.Version.Seq))
	}
	if !live && g.Attempt != nil {
		errs = append(errs, a.found(g.ID, "is %s and its attempt %s is open", g.Status.State, g.Attempt.ID))
	}
	for _, c := range g.Credentials {
		slot := seal.Slot{Table: seal.Credentials, Row: g.ID, Epoch: c.Version.Epoch, Seq: c.Version.Seq}
		what := fmt.Sprintf("credentials of its version %d.%d", c.Version.Epoch, c.Version.Seq)
		errs = append(errs, a.opens(g.ID, what, slot, c.Sealed, func(plain []byte) error {
			_, err := grant.ParseCredential(plain)
			return err
		}))
	}
	for _, o := range g.Orphans {
		slot := seal.Slot{Table: seal.Orphans, Row: o.AttemptID, Epoch: o.Of.Epoch, Seq: o.Of.Seq}
		errs = append(errs, a.opens(g.ID, "the parked answer to "+o.AttemptID, slot, o.Sealed, nil))
	}
	return errors.Join(errs...)
}

// opens opens what is sealed and, if it is to be something, reads it.
func (a *auditor) opens(subject, what string, slot seal.Slot, sealed []byte, parse func([]byte) error) error {
	if a.ring == nil {
		return nil
	}
	plain, err := a.ring.Open(slot, sealed)
	if err != nil {
		return a.found(subject, "%s cannot be opened", what)
	}
	if parse != nil && parse(plain) != nil {
		return a.found(subject, "%s open and are none", what)
	}
	return nil
}

func (a *auditor) events(ctx context.Context) error {
	for after := int64(0); ; {
		list, err := a.r.Events(ctx, after, batch)
		if err != nil {
			return err
		}
		for _, e := range list {
			if e.Data != nil && !json.Valid(e.Data) {
				if err := a.found(eventid.Format(e.Number), "its data is no JSON"); err != nil {
					return err
				}
			}
		}
		a.read.Events += int64(len(list))
		a.o.Progress(a.read)
		if len(list) < batch {
			return nil
		}
		after = list[len(list)-1].Number
	}
}
