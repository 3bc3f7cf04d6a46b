package core

import (
	"context"
	"errors"
	"fmt"
)

// Undo is what has to be undone when something ends. Its zero value is nothing.
type Undo struct{ steps []step }

// step undoes one thing.
type step struct {
	what string
	f    func(context.Context) error
}

// Add puts a step on top. The name stands in front of its error; "" leaves the
// error as it is.
func (u *Undo) Add(what string, f func(context.Context) error) {
	u.steps = append(u.steps, step{what, f})
}

// Run takes all steps, the last one first, whatever fails, and returns what did.
func (u *Undo) Run(ctx context.Context) error {
	var errs []error
	for i := len(u.steps) - 1; i >= 0; i-- {
		err := u.steps[i].f(ctx)
		if err != nil && u.steps[i].what != "" {
			err = fmt.Errorf("stop %s: %w", u.steps[i].what, err)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
