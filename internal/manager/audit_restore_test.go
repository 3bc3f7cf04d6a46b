package manager_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/spool"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/provider"
)

// cutOff is a store whose process dies before it can pause an app, and before
// its run begins.
type cutOff struct{ crashing }

func (cutOff) PauseApp(context.Context, string, store.Pause, ...grant.Event) error {
	return store.ErrUnavailable
}

func (cutOff) BeginRun(context.Context, string) error { return store.ErrUnavailable }

// The database lost commits with its disk, so it is of the spool's last run. What
// the journal holds is redone, and the process dies before it has paused the app
// for what the journal does not hold.
func TestAStartThatIsCutOffInARestorationForgetsNoDoubt(t *testing.T) {
	o := kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}}
	bubble(t, o, func(t *testing.T, k *kit) {
		busy := k.adopt("busy")
		k.adoptAt(grant.Ref{Key: "idle", App: "app"}, 1000*time.Hour)
		k.sleep(time.Hour)
		lost := filepath.Join(t.TempDir(), "lost")
		k.restart(o, func(db string) { copyFile(t, db, lost) })
		k.sleep(3 * time.Hour)
		k.restart(o, func(db string) {
			run := openStore(t, db)
			last, err := run.LastRun(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_ = run.Close()
			copyFile(t, lost, db)
			s := openStore(t, db)
			if err := s.BeginRun(t.Context(), last.ID); err != nil {
				t.Fatal(err)
			}
			_ = s.Close()

			cut := o
			cut.stopped, cut.wrap = true, func(s store.Store) store.Store { return cutOff{crashing{s}} }
			k.open(cut)
			if err := k.Start(t.Context()); err == nil {
				t.Fatal("a start that could not pause the app succeeded")
			}
			k.closeStack()
		})
		k.paused(grant.PausedByRestore)
		if h := k.token(busy); !k.oracle.AccessValid(h.Token.AccessToken) {
			t.Error("what the journal knew was not redone")
		}
	})
}

// An operator who has paused an app and then restores a backup has to be told of
// the tokens in doubt all the same: to resume is another decision now.
func TestAnAppThatAnOperatorPausedIsInDoubtAfterARestoreToo(t *testing.T) {
	o := kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}}
	bubble(t, o, func(t *testing.T, k *kit) {
		k.adopt("cafe")
		if _, err := k.PauseApp(t.Context(), "app"); err != nil {
			t.Fatal(err)
		}
		backup := filepath.Join(t.TempDir(), "backup")
		k.restart(o, func(db string) { copyFile(t, db, backup) })
		k.restart(o, func(string) {})
		k.restart(o, func(db string) {
			copyFile(t, backup, db)
			loseSpool(t, db)
			damage(t, db)
		})
		k.paused(grant.PausedByRestore)
		if _, err := k.ResumeApp(t.Context(), "app"); err != nil {
			t.Fatal(err)
		}
		k.paused("")
		k.restart(o, func(string) {})
		k.paused("")
	})
}

// without opens the kit's files without an app, and runs a while.
func (k *kit) without(o kitOptions, app string, meanwhile func(db string)) {
	apps := k.apps
	k.apps = provider.Apps{}
	for name, a := range apps {
		if name != app {
			k.apps[name] = a
		}
	}
	k.restart(o, meanwhile)
	k.sleep(time.Minute)
	k.apps = apps
}

func TestAnAppThatIsNotConfiguredWhenABackupIsRestoredLosesNothing(t *testing.T) {
	for name, test := range map[string]struct {
		mirror bool
		lose   bool
		want   grant.PauseCause
	}{
		"the journal has its tokens": {},
		"the mirror has its tokens":  {mirror: true, lose: true},
		"nobody has its tokens":      {lose: true, want: grant.PausedByRestore},
	} {
		t.Run(name, func(t *testing.T) {
			o := kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}, also: []string{"other"}, mirror: test.mirror}
			bubble(t, o, func(t *testing.T, k *kit) {
				ref := k.adopt("cafe")
				k.sleep(time.Hour)
				backup := filepath.Join(t.TempDir(), "backup")
				k.restart(o, func(db string) { copyFile(t, db, backup) })
				k.sleep(3 * time.Hour)
				k.without(o, "app", func(db string) {
					copyFile(t, backup, db)
					if test.lose {
						loseSpool(t, db)
						damage(t, db)
					}
				})
				k.restart(o, func(string) {})
				k.paused(test.want)
				if test.want == "" {
					k.sleep(3 * time.Hour)
					if h := k.token(ref); h.State != grant.Connected || !k.oracle.AccessValid(h.Token.AccessToken) {
						t.Errorf("it is %s", h.State)
					}
				}
				if r := k.oracle.Report(); r.Sends != r.Rotations {
					t.Errorf("a spent token was sent: %+v", r)
				}
			})
		})
	}
}

// neverCommits is a store that takes no new credentials.
type neverCommits struct{ crashing }

func (neverCommits) Commit(context.Context, store.Renewal) error { return store.ErrUnavailable }

func TestAnAnswerOfAnAppThatLeftTheConfigurationIsCommitted(t *testing.T) {
	o := kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}, also: []string{"other"}}
	bubble(t, o, func(t *testing.T, k *kit) {
		failing := o
		failing.wrap = func(s store.Store) store.Store { return neverCommits{crashing{s}} }
		ref := k.adopt("cafe")
		k.restart(failing, func(string) {})
		k.sleep(time.Hour) // renewed, journaled, not committed
		if n := len(k.oracle.Sends()); n != 1 {
			t.Fatalf("%d sends", n)
		}
		k.without(o, "app", func(string) {})
		k.restart(o, func(string) {})
		k.sleep(3 * time.Hour)
		if h := k.token(ref); h.State != grant.Connected || !k.oracle.AccessValid(h.Token.AccessToken) {
			t.Errorf("it is %s", h.State)
		}
		if r := k.oracle.Report(); r.Sends != r.Rotations {
			t.Errorf("a spent token was sent: %+v", r)
		}
	})
}

// Between the backup and its restoration a merchant came back whose grant had
// died. The mirror has the new tokens.
func TestAMirrorKeepsTheConsentThatCameAfterADeath(t *testing.T) {
	for _, spoolToo := range []bool{false, true} {
		o := kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}, mirror: true}
		bubble(t, o, func(t *testing.T, k *kit) {
			dead, gone := k.adopt("dead"), k.adopt("gone")
			k.oracle.Kill("dead")
			k.oracle.Kill("gone")
			k.sleep(2 * time.Hour)
			if got := k.status(dead); got.State != grant.NeedsReauthorization {
				t.Fatalf("it is %s", got.State)
			}
			backup := filepath.Join(t.TempDir(), "backup")
			k.restart(o, func(db string) { copyFile(t, db, backup) })
			k.adopt("dead") // comes back
			if _, err := k.Disconnect(t.Context(), gone); err != nil {
				t.Fatal(err)
			}
			k.sleep(3 * time.Hour)
			before := len(k.oracle.Sends())
			for range 2 { // the second start has nothing to restore any more
				k.restart(o, func(db string) {
					if backup == "" {
						return
					}
					copyFile(t, backup, db)
					backup = ""
					if !spoolToo {
						loseSpool(t, db)
						damage(t, db)
					}
				})
				k.paused("")
			}
			k.sleep(3 * time.Hour)
			if h := k.token(dead); h.State != grant.Connected || !k.oracle.AccessValid(h.Token.AccessToken) {
				t.Errorf("it is %s", h.State)
			}
			if got := k.status(gone); got.Reason != grant.DisconnectedByUs {
				t.Errorf("what was disconnected is %s", got.State)
			}
			for _, s := range k.oracle.Sends()[before:] {
				if s.Outcome != "rotated" {
					t.Errorf("a send of %s was %s", s.Grant, s.Outcome)
				}
			}
		})
	}
}

func TestWhatAMirrorSaysOfDeadGrantsIsNoRestorationAtEveryStart(t *testing.T) {
	var logs logbook
	o := kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}, mirror: true, log: slog.NewTextHandler(&logs, nil)}
	bubble(t, o, func(t *testing.T, k *kit) {
		ref := k.adopt("gone")
		if _, err := k.Disconnect(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		backup := filepath.Join(t.TempDir(), "backup")
		k.restart(o, func(db string) { copyFile(t, db, backup) })
		k.adopt("gone")
		if _, err := k.Disconnect(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		k.restart(o, func(db string) { copyFile(t, backup, db) })
		for range 3 {
			logs.take()
			k.restart(o, func(string) {})
			if said := logs.take(); strings.Contains(said, "older than the journal") {
				t.Fatalf("logged\n%s", said)
			}
		}
	})
}

// An exchange whose answer cannot be used, because its app left the configuration
// or it does not say for whom it is, waits. It keeps nobody else waiting.
func TestAnExchangeThatCannotBeFinishedKeepsNoServerFromStarting(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		starts bool
	}{
		"it cannot be used":      {errors.New("app \"shop\" is not configured"), true},
		"the store is not there": {store.ErrUnavailable, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := kitOptions{oracle: oracle.Options{Rotation: oracle.Strict}, stopped: true,
				exchange: func(context.Context, spool.Entry) error { return test.err }}
			bubble(t, o, func(t *testing.T, k *kit) {
				for range 2 {
					k.restart(o, func(db string) { spoolExchange(t, k, filepath.Join(filepath.Dir(db), "spool")) })
					if err := k.Start(t.Context()); (err == nil) != test.starts {
						t.Fatalf("start: %v", err)
					}
				}
				k.closeStack()
				defer k.open(o)
				s, err := spool.Open(spool.Options{Dir: filepath.Join(k.dir, "spool"), Ring: k.ring})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if n := len(s.Pending()); n != 2 {
					t.Errorf("%d answers wait in the spool", n)
				}
			})
		})
	}
}

// spoolExchange leaves the answer to a code exchange in a spool that nobody has
// open, writeSpool any entry.
func spoolExchange(t *testing.T, k *kit, dir string) {
	t.Helper()
	writeSpool(t, k, dir, spool.Entry{Kind: spool.Exchange, AttemptID: grant.NewID(grant.AuthorizationID, time.Now()), App: "shop", Status: 200})
}

func writeSpool(t *testing.T, k *kit, dir string, e spool.Entry) {
	t.Helper()
	s, err := spool.Open(spool.Options{Dir: dir, Ring: k.ring})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	slot, err := s.Reserve()
	if err == nil {
		err = slot.Write(e)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Once a store was redone, its versions count on from the backup's. What the
// journal or the mirror still has from before the restoration, because an answer
// waits in the same file or because it could not be written, has higher ones and
// older tokens.
func TestWhatIsLeftFromBeforeARestorationIsNotRedoneOverNewerTokens(t *testing.T) {
	for name, left := range map[string]struct {
		mirror bool
		what   string // files, below the kit's folder
	}{
		"in the journal": {what: "spool/*.spool"},
		"in the mirror":  {what: "mirror", mirror: true},
	} {
		t.Run(name, func(t *testing.T) {
			o := kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}, mirror: left.mirror}
			bubble(t, o, func(t *testing.T, k *kit) {
				ref := k.adopt("cafe")
				k.sleep(time.Hour)
				backup, then := filepath.Join(t.TempDir(), "backup"), t.TempDir()
				k.restart(o, func(db string) { copyFile(t, db, backup) })
				k.sleep(10 * time.Hour)
				k.restart(o, func(db string) {
					replaceFiles(t, k.dir, left.what, then)
					copyFile(t, backup, db)
				})
				k.sleep(3 * time.Hour)
				k.restart(o, func(string) { replaceFiles(t, then, left.what, k.dir) })
				k.sleep(3 * time.Hour)
				k.paused("")
				if h := k.token(ref); h.State != grant.Connected || !k.oracle.AccessValid(h.Token.AccessToken) {
					t.Errorf("it is %s", h.State)
				}
				if r := k.oracle.Report(); r.Sends != r.Rotations {
					t.Errorf("a spent token was sent: %+v", r)
				}
			})
		})
	}
}

// For a while the server ran without its mirror, which has older tokens since.
func TestAMirrorThatWasLeftOutForAWhileIsNotTrusted(t *testing.T) {
	with := kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}, mirror: true}
	bubble(t, with, func(t *testing.T, k *kit) {
		k.adopt("cafe")
		backup := filepath.Join(t.TempDir(), "backup")
		k.restart(with, func(db string) { copyFile(t, db, backup) })
		k.sleep(3 * time.Hour)
		without := with
		without.mirror = false
		k.restart(without, func(string) {})
		k.sleep(5 * time.Hour)
		k.restart(with, func(string) {})
		k.sleep(10 * time.Minute)
		k.restart(with, func(db string) {
			copyFile(t, backup, db)
			loseSpool(t, db)
			damage(t, db)
		})
		k.paused(grant.PausedByRestore)
		if r := k.oracle.Report(); r.Sends != r.Rotations {
			t.Errorf("a spent token was sent: %+v", r)
		}
	})
}

// replaceFiles copies the files of a pattern from one folder into another, where
// they take the place of those there.
func replaceFiles(t *testing.T, from, pattern, to string) {
	t.Helper()
	found := func(dir string) []string {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	for _, name := range found(to) {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Join(to, pattern)), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range found(from) {
		copyFile(t, name, filepath.Join(filepath.Dir(filepath.Join(to, pattern)), filepath.Base(name)))
	}
}
