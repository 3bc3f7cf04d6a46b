package manager_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/store"
)

// crashing is a store that never learns that its process ended in order.
type crashing struct{ store.Store }

func (crashing) EndRun(context.Context, string) error { return store.ErrUnavailable }

// loseSpool removes the journal of the kit whose database is at db.
func loseSpool(t *testing.T, db string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(filepath.Dir(db), "spool")); err != nil {
		t.Fatal(err)
	}
}

// paused checks whether the kit's app is paused, and why.
func (k *kit) paused(want grant.PauseCause) {
	k.t.Helper()
	st := k.Apps()[0]
	reason := grant.OK
	if want != "" {
		reason = grant.AppPaused
	}
	if st.Reason != reason || st.Cause != want {
		k.t.Fatalf("the app is %s because of %q, want %q", st.Reason, st.Cause, want)
	}
}

func TestARestoredBackupWithoutItsJournalWaitsForAnOperator(t *testing.T) {
	for _, rotation := range []string{oracle.Strict, oracle.FamilyKill, oracle.RetireOnUse, oracle.Static} {
		t.Run(rotation, func(t *testing.T) {
			o := kitOptions{oracle: oracle.Options{Rotation: rotation}}
			bubble(t, o, func(t *testing.T, k *kit) {
				ref := k.adopt("cafe")
				k.sleep(30 * time.Minute)
				backup := filepath.Join(t.TempDir(), "backup")
				k.restart(o, func(db string) { copyFile(t, db, backup) })
				k.sleep(5 * time.Minute)
				old := k.token(ref).Token.AccessToken
				k.sleep(10 * time.Minute)
				k.restart(o, func(string) {}) // another run, so that the backup is of an earlier one
				k.restart(o, func(db string) {
					copyFile(t, backup, db)
					loseSpool(t, db)
					damage(t, db)
				})
				if !grant.Rotation(rotation).SingleUse() {
					k.paused("")
					return
				}
				k.paused(grant.PausedByRestore)
				if got := k.token(ref); got.Token.AccessToken != old || got.State != grant.Degraded {
					t.Errorf("a token that still lives is not served: %s", got.State)
				}
				before := len(k.oracle.Sends())
				k.sleep(3 * time.Hour)
				_, err := k.Handout(t.Context(), ref, evergrant.TokenOptions{})
				var e *evergrant.Error
				if !errors.As(err, &e) || !errors.Is(err, evergrant.ErrTemporary) || e.Reason != string(grant.AppPaused) || e.ActBy != evergrant.ActOperator {
					t.Errorf("its end is told as %v", err)
				}
				k.restart(o, func(string) {})
				k.sleep(time.Hour)
				k.paused(grant.PausedByRestore) // a restart decides nothing
				if n := len(k.oracle.Sends()); n != before {
					t.Fatalf("%d sends before anybody decided", n-before)
				}
				if n := k.count(grant.EventAppPaused); n != 1 {
					t.Errorf("%d events tell of it", n)
				}
				if _, err := k.ResumeApp(t.Context(), "app"); err != nil {
					t.Fatal(err)
				}
				k.sleep(time.Minute)
				if h := k.token(ref); !k.oracle.AccessValid(h.Token.AccessToken) || h.State != grant.Connected {
					t.Errorf("once resumed it is %s", h.State)
				}
				if n := k.count(grant.EventAppResumed); n != 1 {
					t.Errorf("%d events tell of the end", n)
				}
				k.restart(o, func(string) {})
				k.paused("")
			})
		})
	}
}

// damage makes the backup one that was taken while its process ran.
func damage(t *testing.T, db string) {
	t.Helper()
	s := openStore(t, db)
	defer s.Close()
	last, err := s.LastRun(t.Context())
	if err == nil {
		err = s.BeginRun(t.Context(), last.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestGrantsTheJournalDoesNotKnowPauseTheAppAfterARestore(t *testing.T) {
	o := kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill, AccessLife: time.Hour}}
	bubble(t, o, func(t *testing.T, k *kit) {
		busy := k.adopt("busy")
		k.adoptAt(grant.Ref{Key: "idle", App: "app"}, 1000*time.Hour)
		backup := filepath.Join(t.TempDir(), "backup")
		k.restart(o, func(db string) { copyFile(t, db, backup) })
		k.sleep(3 * time.Hour)
		k.restart(o, func(db string) { copyFile(t, backup, db) })
		k.paused(grant.PausedByRestore)
		if h := k.token(busy); !k.oracle.AccessValid(h.Token.AccessToken) {
			t.Error("what the journal knew was not redone")
		}
	})
}

func TestASpoolThatIsGoneMattersOnlyAfterACrash(t *testing.T) {
	for name, test := range map[string]struct {
		wrap func(store.Store) store.Store
		want grant.PauseCause
	}{
		"ended in order": {nil, ""},
		"crashed":        {func(s store.Store) store.Store { return crashing{s} }, grant.PausedByRestore},
	} {
		t.Run(name, func(t *testing.T) {
			o := kitOptions{oracle: oracle.Options{Rotation: oracle.Strict}, wrap: test.wrap}
			bubble(t, o, func(t *testing.T, k *kit) {
				k.adopt("cafe")
				k.sleep(3 * time.Hour)
				k.restart(o, func(string) {})
				k.paused("") // with its spool it is the same store
				k.sleep(time.Hour)
				k.restart(o, func(db string) { loseSpool(t, db) })
				k.paused(test.want)
			})
		})
	}
}

func TestAStartThatIsCutOffIsNoRestoration(t *testing.T) {
	// The process dies after it has told the spool of its run and before the store.
	failing := func(s store.Store) store.Store { return &firstRunFails{crashing: crashing{s}} }
	o := kitOptions{oracle: oracle.Options{Rotation: oracle.Strict}, wrap: func(s store.Store) store.Store { return crashing{s} }}
	bubble(t, o, func(t *testing.T, k *kit) {
		k.adopt("cafe")
		k.sleep(time.Hour)
		for range 3 {
			cut := o
			cut.wrap, cut.stopped = failing, true
			k.restart(cut, func(string) {})
			if err := k.Start(t.Context()); err == nil {
				t.Fatal("a start without a store succeeded")
			}
			k.restart(o, func(string) {})
			k.paused("")
		}
	})
}

type firstRunFails struct{ crashing }

func (*firstRunFails) BeginRun(context.Context, string) error { return store.ErrUnavailable }

func TestAPausedAppRefreshesNothingUntilItIsResumed(t *testing.T) {
	o := kitOptions{oracle: oracle.Options{Rotation: oracle.Grace, Window: time.Hour}}
	bubble(t, o, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		for range 2 { // twice is once
			st, err := k.PauseApp(t.Context(), "app")
			if err != nil || st.Reason != grant.AppPaused || st.Cause != grant.PausedByOperator {
				t.Fatalf("%+v, %v", st, err)
			}
		}
		if h := k.token(ref); h.State != grant.Degraded {
			t.Errorf("its connections are %s", h.State)
		}
		k.sleep(2 * time.Hour)
		k.restart(o, func(string) {})
		k.paused(grant.PausedByOperator)
		for range 2 { // what was not sent does not count
			if results, err := k.Refresh(t.Context(), ref); err != nil || results[0].Refreshed || results[0].Reason != grant.AppPaused {
				t.Errorf("a demanded refresh came to %+v, %v", results, err)
			}
		}
		if n := len(k.oracle.Sends()); n != 0 {
			t.Errorf("%d sends", n)
		}
		for range 2 {
			if st, err := k.ResumeApp(t.Context(), "app"); err != nil || st.Reason != grant.OK {
				t.Fatalf("%+v, %v", st, err)
			}
		}
		k.sleep(10 * time.Second)
		if h := k.token(ref); h.State != grant.Connected {
			t.Errorf("once resumed it is %s", h.State)
		}
		if p, r := k.count(grant.EventAppPaused), k.count(grant.EventAppResumed); p != 1 || r != 1 {
			t.Errorf("%d and %d events", p, r)
		}
		if _, err := k.PauseApp(t.Context(), "nobody"); !errors.Is(err, evergrant.ErrNotFound) {
			t.Errorf("pausing what is not there: %v", err)
		}
	})
}

func TestAMirrorMakesUpForABackupWithoutItsJournal(t *testing.T) {
	for _, rotation := range []string{oracle.Strict, oracle.FamilyKill, oracle.RetireOnUse} {
		t.Run(rotation, func(t *testing.T) {
			o := kitOptions{oracle: oracle.Options{Rotation: rotation}, mirror: true}
			bubble(t, o, func(t *testing.T, k *kit) {
				backup := filepath.Join(t.TempDir(), "backup")
				busy, idle, again, gone := k.adopt("busy"), k.adoptAt(grant.Ref{Key: "idle", App: "app"}, 500*time.Hour), k.adopt("again"), k.adopt("gone")
				k.restart(o, func(db string) { copyFile(t, db, backup) })
				k.sleep(time.Hour)
				k.adopt("again") // another consent
				if _, err := k.Disconnect(t.Context(), gone); err != nil {
					t.Fatal(err)
				}
				k.sleep(5 * time.Hour)
				for range 2 { // the same backup twice
					k.restart(o, func(db string) {
						copyFile(t, backup, db)
						loseSpool(t, db)
						damage(t, db)
					})
					k.paused("")
					k.token(idle)
					for _, ref := range []grant.Ref{busy, again} {
						if h := k.token(ref); h.State != grant.Connected || !k.oracle.AccessValid(h.Token.AccessToken) {
							t.Fatalf("%s is %s", ref, h.State)
						}
					}
					if got := k.status(gone); got.Reason != grant.DisconnectedByUs {
						t.Errorf("what was disconnected is %s", got.State)
					}
					k.sleep(5 * time.Hour)
				}
				if r := k.oracle.Report(); r.TwoLate != 0 || r.Overlaps != 0 || r.Sends != r.Rotations {
					t.Errorf("a spent token was sent: %+v", r)
				}
			})
		})
	}
}

func TestAnOldJournalBesideANewMirrorHidesNothing(t *testing.T) {
	// Database and spool are restored together, and only the mirror is new.
	o := kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}, mirror: true}
	bubble(t, o, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		k.sleep(3 * time.Hour)
		old := t.TempDir()
		k.restart(o, func(db string) { copyTree(t, filepath.Dir(db), old) })
		k.sleep(5 * time.Hour)
		k.restart(o, func(db string) {
			loseSpool(t, db)
			copyTree(t, filepath.Join(old, "spool"), filepath.Join(filepath.Dir(db), "spool"))
			copyFile(t, filepath.Join(old, "db"), db)
		})
		k.paused("")
		k.sleep(3 * time.Hour)
		if h := k.token(ref); h.State != grant.Connected || !k.oracle.AccessValid(h.Token.AccessToken) {
			t.Errorf("it is %s", h.State)
		}
		if r := k.oracle.Report(); r.Sends != r.Rotations {
			t.Errorf("a spent token was sent: %+v", r)
		}
	})
}

// copyTree copies a folder over another.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		switch target := filepath.Join(to, rel); {
		case err != nil:
			return err
		case d.IsDir():
			return os.MkdirAll(target, 0o700)
		default:
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(target, b, 0o600)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
