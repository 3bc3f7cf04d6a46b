package manager_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
)

// logbook is a log that may be read while it is written.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// take returns what was logged since the last time.
func (l *logbook) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return l.text.String()
}

// restart ends the process and starts it again over its files, with what between
// does to them in the meantime.
func (k *kit) restart(o kitOptions, between func(db string)) {
	k.t.Helper()
	k.closeStack()
	between(filepath.Join(k.dir, "db"))
	k.open(o)
}

// copyFile copies a database that nobody has open.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestARestoredBackupIsRedoneFromTheJournal(t *testing.T) {
	const grants = 40 // more than are looked at when nothing is missing
	for name, down := range map[string]time.Duration{"at once": 0, "after a day": 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			var logs logbook
			o := kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}, log: slog.NewTextHandler(&logs, nil)}
			bubble(t, o, func(t *testing.T, k *kit) {
				backup := filepath.Join(t.TempDir(), "backup")
				var refs []grant.Ref
				for i := range grants {
					refs = append(refs, k.adopt(fmt.Sprintf("cafe_%d", i)))
				}
				k.sleep(90 * time.Minute)
				k.restart(o, func(db string) { copyFile(t, db, backup) })
				k.sleep(2 * time.Hour)
				for range 2 { // the same backup twice
					before := len(k.oracle.Sends())
					logs.take()
					k.restart(o, func(db string) {
						copyFile(t, backup, db)
						time.Sleep(down)
					})
					said := logs.take()
					if n := strings.Count(said, "older than the journal"); n != 1 || !strings.Contains(said, fmt.Sprintf("redone=%d failed=0", grants)) {
						t.Errorf("logged\n%s", said)
					}
					k.sleep(90 * time.Minute)
					for _, ref := range refs {
						if h := k.token(ref); h.State != grant.Connected || !k.oracle.AccessValid(h.Token.AccessToken) {
							t.Fatalf("%s is %s", ref, h.State)
						}
					}
					if len(k.oracle.Sends()) == before {
						t.Error("nothing was renewed")
					}
				}
				if r := k.oracle.Report(); r.TwoLate != 0 || r.Overlaps != 0 || r.Sends != r.Rotations {
					t.Errorf("a spent token was sent: %+v", r)
				}
			})
		})
	}
}

func TestAStoreThatIsWholeIsLeftAlone(t *testing.T) {
	var logs logbook
	o := kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}, log: slog.NewTextHandler(&logs, nil)}
	bubble(t, o, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		answers := 0
		k.oracle.SetFault(func(oracle.Send) oracle.Fault {
			answers++
			switch answers % 4 {
			case 1: // an answer that is parked
				return oracle.Fault{Status: 200, Body: `{"access_token":"half of`}
			case 2:
				return oracle.Fault{Status: 200, Body: `<html>welcome</html>`}
			}
			return oracle.Fault{}
		})
		for range 20 {
			k.sleep(55 * time.Minute)
			k.restart(o, func(string) {})
		}
		if said := logs.take(); strings.Contains(said, "older than the journal") {
			t.Errorf("logged\n%s", said)
		}
		if got := k.status(ref); got.State != grant.Connected {
			t.Errorf("it is %s/%s", got.State, got.Reason)
		}
		if r := k.oracle.Report(); r.TwoLate != 0 || r.Overlaps != 0 {
			t.Errorf("%+v", r)
		}
	})
}

func TestABackupFromBeforeAConsentIsRedoneToo(t *testing.T) {
	// The store does not know the epoch of the journal's answers. They are the
	// grant's newest tokens all the same.
	o := kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}}
	bubble(t, o, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		backup := filepath.Join(t.TempDir(), "backup")
		k.restart(o, func(db string) { copyFile(t, db, backup) })
		k.adopt("cafe")
		k.sleep(3 * time.Hour)
		k.restart(o, func(db string) { copyFile(t, backup, db) })
		k.sleep(2 * time.Hour)
		if h := k.token(ref); h.State != grant.Connected || !k.oracle.AccessValid(h.Token.AccessToken) {
			t.Errorf("it is %s", h.State)
		}
	})
}

func TestADisconnectIsNotUndoneByTheJournal(t *testing.T) {
	o := kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}}
	bubble(t, o, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		k.sleep(3 * time.Hour)
		if _, err := k.Disconnect(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		before := len(k.oracle.Sends())
		k.restart(o, func(string) {})
		k.sleep(3 * time.Hour)
		if got := k.status(ref); got.Reason != grant.DisconnectedByUs || len(k.oracle.Sends()) != before {
			t.Errorf("it is %s/%s after %d more sends", got.State, got.Reason, len(k.oracle.Sends())-before)
		}
	})
}
