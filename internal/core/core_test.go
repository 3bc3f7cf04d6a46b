package core

import (
	"context"
	"errors"
	"slices"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEverythingIsUndoneBackwardsWhateverFails(t *testing.T) {
	t.Parallel()
	var u Undo
	var done []string
	add := func(name string, err error) {
		u.Add(name, func(context.Context) error { done = append(done, name); return err })
	}
	add("store", nil)
	broken := errors.New("broken")
	add("spool", broken)
	u.Add("", func(context.Context) error { return errors.New("stop sender: stuck") })
	add("renewals", nil)
	err := u.Run(t.Context())
	if want := "stop sender: stuck\nstop spool: broken"; !errors.Is(err, broken) || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
	if !slices.Equal(done, []string{"renewals", "spool", "store"}) {
		t.Errorf("undone: %v", done)
	}
}
