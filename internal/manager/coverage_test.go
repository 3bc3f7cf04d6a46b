package manager_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
)

func at(location string) evergrant.TokenOptions { return evergrant.TokenOptions{Location: location} }

// group is a business three users of which see its five locations.
func group() map[string][]string {
	return map[string][]string{"anna": {"1", "2", "3"}, "ben": {"3", "4"}, "cleo": {"4", "5"}}
}

func TestALocationLeadsToAGrantThatReachesIt(t *testing.T) {
	inTown(t, group(), []string{"ben", "anna"}, func(t *testing.T, k *kit, w *town, ref grant.Ref, _ map[string]grant.Grant) {
		for location, user := range map[string]string{"": "anna", "1": "anna", "2": "anna", "3": "anna", "4": "ben"} {
			w.expect(k, ref, at(location), user)
		}
		_, err := w.serves(k, ref, at("5"))
		var e *evergrant.Error
		if !errors.As(err, &e) || !errors.Is(err, evergrant.ErrLocationNotCovered) || e.ActBy != evergrant.ActMerchant {
			t.Errorf("nobody reaches it: %v", err)
		}
	})
}

func TestAGrantThatCannotBeRefreshedGivesWayToAnother(t *testing.T) {
	inTown(t, group(), []string{"anna", "ben"}, func(t *testing.T, k *kit, w *town, ref grant.Ref, _ map[string]grant.Grant) {
		w.let(func(w *town) { w.shut["anna"] = true })
		k.sleep(30 * time.Minute)
		// Neither token lives long enough, and only ben's can be renewed.
		long := evergrant.TokenOptions{MinValid: 50 * time.Minute, Location: "3"}
		w.expect(k, ref, long, "ben")
		w.expect(k, ref, at("3"), "anna") // hers still lives
		k.sleep(2 * time.Hour)
		w.expect(k, ref, at("3"), "ben")
		w.expect(k, ref, at(""), "ben")
		if _, err := w.serves(k, ref, at("1")); !errors.Is(err, evergrant.ErrTemporary) {
			t.Errorf("what only a grant in trouble reaches: %v", err)
		}
		if _, err := w.serves(k, ref, at("5")); !errors.Is(err, evergrant.ErrLocationNotCovered) {
			t.Errorf("what nobody reaches: %v", err)
		}
		w.let(func(w *town) { w.shut["anna"] = false })
		k.sleep(time.Hour)
		w.expect(k, ref, at("1"), "anna")
		w.expect(k, ref, at(""), "anna")
	})
}

func TestGrantsOfAConnectionLiveAndDieByThemselves(t *testing.T) {
	users := []string{"anna", "ben", "cleo"}
	inTown(t, group(), users, func(t *testing.T, k *kit, w *town, ref grant.Ref, grants map[string]grant.Grant) {
		k.sleep(5 * time.Hour)
		k.oracle.Kill("ben")
		k.sleep(5 * time.Hour)
		for _, user := range users {
			g, _, err := k.Grant(t.Context(), grants[user].ID)
			if err != nil {
				t.Fatal(err)
			}
			if g.Status.State.Live() != (user != "ben") || g.Version.Seq < 4 || user != "ben" && g.Version.Seq < 9 {
				t.Errorf("%s's grant is %s after %d refreshes", user, g.Status.State, g.Version.Seq)
			}
		}
		if s := k.status(ref); s.State != grant.Connected {
			t.Errorf("the connection is %+v", s)
		}
		for location, user := range map[string]string{"3": "anna", "4": "cleo", "5": "cleo"} {
			w.expect(k, ref, at(location), user)
		}
		if r := k.oracle.Report(); r.Overlaps != 0 {
			t.Errorf("refreshes of one grant overlapped: %+v", r)
		}
		k.oracle.Kill("cleo")
		k.sleep(2 * time.Hour)
		if d := cmp.Diff([]string{"4", "5"}, k.uncovered(ref)); d != "" {
			t.Error(d)
		}
	})
}

// TestLocationsAreReadOnceADay goes on over a restart.
func TestLocationsAreReadOnceADay(t *testing.T) {
	w := newTown(group())
	o := w.options()
	bubble(t, o, func(t *testing.T, k *kit) {
		const businesses, days = 8, 4
		for n := range businesses {
			w.let(func(w *town) { w.sees[fmt.Sprint("user", n)] = []string{"1"} })
			w.approve(k, grant.Ref{Key: fmt.Sprint("group", n), App: "app"}, fmt.Sprint("user", n))
		}
		for range days {
			k.sleep(13 * time.Hour)
			k.closeStack()
			k.open(o)
			k.sleep(11 * time.Hour)
		}
		for user, n := range w.asked() {
			if n < 1+days-1 || n > 1+days { // once when it connected; the first day is a long or a short one
				t.Errorf("the reach of %s was read %d times in %d days", user, n, days)
			}
		}
		if got := len(w.asked()); got != businesses {
			t.Errorf("%d of %d were read", got, businesses)
		}
	})
}

func TestAReadingThatFailsIsTriedAgainSoon(t *testing.T) {
	inTown(t, group(), []string{"anna"}, func(t *testing.T, k *kit, w *town, ref grant.Ref, _ map[string]grant.Grant) {
		w.let(func(w *town) { w.down = true })
		k.sleep(40 * time.Hour)
		if n := w.asked()["anna"]; n < 4 || n > 30 {
			t.Errorf("the reach was read %d times", n)
		}
		if got := k.uncovered(ref); len(got) != 0 {
			t.Errorf("an API that is down has taken %v away", got)
		}
		w.let(func(w *town) { w.down, w.sees["anna"] = false, []string{"1"} })
		k.sleep(2 * time.Hour)
		if d := cmp.Diff([]string{"2", "3"}, k.uncovered(ref)); d != "" {
			t.Error(d)
		}
	})
}

// TestManyReadingsAreSpread adopts more than are read at once.
func TestManyReadingsAreSpread(t *testing.T) {
	w := newTown(group())
	bubble(t, w.options(), func(t *testing.T, k *kit) {
		const many = 100
		for n := range many {
			user := fmt.Sprint("user", n)
			access, refresh := k.oracle.Issue(user)
			w.own(user, access, refresh)
			if _, _, err := k.Create(t.Context(), manager.NewConnection{Ref: grant.Ref{Key: user, App: "app"}, Tokens: &manager.Adoption{
				AccessToken: secret.New(access), RefreshToken: secret.New(refresh), ExpiresIn: time.Hour}}); err != nil {
				t.Fatal(err)
			}
		}
		last := 0
		for range 10 {
			k.sleep(2 * time.Second)
			n := len(w.asked())
			if n-last > 64 {
				t.Errorf("%d were read within two seconds", n-last)
			}
			last = n
		}
		if last != many {
			t.Errorf("%d of %d were read", last, many)
		}
	})
}

func TestALostLocationIsReportedWithWhoCouldRestoreIt(t *testing.T) {
	inTown(t, group(), []string{"anna", "ben"}, func(t *testing.T, k *kit, w *town, ref grant.Ref, grants map[string]grant.Grant) {
		w.expect(k, ref, at("2"), "anna")
		w.let(func(w *town) { w.sees["anna"] = []string{"1", "6"} })
		c, err := k.ReadLocations(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]string{"2"}, c.Uncovered) + cmp.Diff([]string{"1", "3", "4", "6"}, c.SingleGrant); d != "" {
			t.Error(d)
		}
		if _, err := w.serves(k, ref, at("2")); !errors.Is(err, evergrant.ErrLocationNotCovered) {
			t.Errorf("it is lost: %v", err)
		}
		w.expect(k, ref, at("6"), "anna")
		w.expect(k, ref, at("3"), "ben")
		events, _, err := k.Events(t.Context(), store.EventFilter{Types: []string{"connection.locations_changed"}, NewestFirst: true}, store.Page{Limit: 10}, 0)
		if err != nil || len(events) != 2 { // ben's coming was the first
			t.Fatalf("%v, %v", events, err)
		}
		e := events[0]
		want := map[string]any{"added": []any{"6"}, "lost": []any{"2", "3"}, "uncovered": []any{"2"}, "restore": []any{
			map[string]any{"location": "2", "name": "Bar 2", "by": []any{map[string]any{"grant": grants["anna"].ID, "live": true,
				"identity": map[string]any{"issuer": "town", "subject": "anna", "account": "the group"}}}},
		}}
		if d := cmp.Diff(want, e.Data); d != "" || e.Grant != grants["anna"].ID || e.Reason != grant.LocationsMissing || e.ActBy() != grant.Merchant {
			t.Errorf("%s\n%+v", d, e)
		}
		if _, err := k.ReadLocations(t.Context(), ref); err != nil || k.count(grant.ConnectionLocationsChanged) != 2 {
			t.Errorf("nothing more has changed: %v", err)
		}
	})
}

func TestAGrantThatCannotBeAskedDoesNotKeepOthersFromBeing(t *testing.T) {
	inTown(t, group(), []string{"anna", "ben"}, func(t *testing.T, k *kit, w *town, ref grant.Ref, _ map[string]grant.Grant) {
		w.let(func(w *town) { w.shut["anna"] = true })
		k.sleep(2 * time.Hour) // her token has ended
		asOf := time.Now()
		w.let(func(w *town) { w.sees["ben"] = []string{"4", "7"} })
		c, err := k.ReadLocations(t.Context(), ref)
		if err != nil || !slices.Contains(c.SingleGrant, "7") || !c.AsOf.Before(asOf) {
			t.Errorf("%+v, %v", c, err)
		}
		w.let(func(w *town) { w.down = true })
		if _, err := k.ReadLocations(t.Context(), ref); !errors.Is(err, evergrant.ErrTemporary) {
			t.Errorf("nobody could be asked: %v", err)
		}
	})
}

// disputed rejects the token for a location and returns whose comes instead.
func disputed(k *kit, w *town, ref grant.Ref, location string) (user string, warnings []string, err error) {
	k.t.Helper()
	h, err := k.Handout(k.t.Context(), ref, at(location))
	if err != nil {
		k.t.Fatal(err)
	}
	if h, err = k.RejectLocation(k.t.Context(), ref, h.Token.Fingerprint, location); err != nil {
		return "", nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.owner[h.Token.AccessToken], h.Warnings, nil
}

func TestALocationThatTheAPIRefusesIsReadAgain(t *testing.T) {
	inTown(t, group(), []string{"anna", "ben"}, func(t *testing.T, k *kit, w *town, ref grant.Ref, _ map[string]grant.Grant) {
		// It is lost, and another grant reaches it.
		w.let(func(w *town) { w.sees["anna"] = []string{"1", "2"} })
		if user, warnings, err := disputed(k, w, ref, "3"); user != "ben" || warnings != nil || err != nil {
			t.Errorf("%s, %v, %v", user, warnings, err)
		}
		if n := w.asked()["anna"]; n != 2 {
			t.Errorf("her reach was read %d times", n)
		}
		// It is lost, and nobody else reaches it; but it was read a moment ago.
		w.let(func(w *town) { w.sees["anna"] = []string{"1"} })
		if user, warnings, err := disputed(k, w, ref, "2"); user != "anna" || !slices.Equal(warnings, []string{"location_disputed"}) || err != nil {
			t.Errorf("%s, %v, %v", user, warnings, err)
		}
		k.sleep(time.Minute)
		if _, _, err := disputed(k, w, ref, "2"); !errors.Is(err, evergrant.ErrLocationNotCovered) {
			t.Errorf("%v", err)
		}
		// The provider lists it all the same.
		k.sleep(time.Minute)
		if user, warnings, err := disputed(k, w, ref, "1"); user != "anna" || !slices.Equal(warnings, []string{"location_disputed"}) || err != nil {
			t.Errorf("%s, %v, %v", user, warnings, err)
		}
		// The API is down, so nothing is known, and another grant reaches it.
		w.let(func(w *town) { w.sees["anna"], w.down = []string{"1", "4"}, false })
		if _, err := k.ReadLocations(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		w.let(func(w *town) { w.down = true })
		k.sleep(time.Minute)
		first, err := w.serves(k, ref, at("4"))
		if err != nil {
			t.Fatal(err)
		}
		if user, warnings, err := disputed(k, w, ref, "4"); user == first || warnings != nil || err != nil {
			t.Errorf("%s instead of %s, %v, %v", user, first, warnings, err)
		}
		// Nothing was refreshed for any of it.
		if r := k.oracle.Report(); r.Sends != 0 {
			t.Errorf("%d refreshes", r.Sends)
		}
	})
}

func TestARejectionForALocationAnswersForThatLocation(t *testing.T) {
	inTown(t, group(), []string{"anna", "ben"}, func(t *testing.T, k *kit, w *town, ref grant.Ref, _ map[string]grant.Grant) {
		for name, c := range map[string]struct {
			fingerprint, location string
			want                  error
		}{
			"a token of the past":                {"000000000000", "4", nil},
			"a location that nobody reaches":     {"000000000000", "9", evergrant.ErrLocationNotCovered},
			"without a fingerprint":              {"", "4", evergrant.ErrInvalid},
			"without a location, which is a 401": {"000000000000", "", evergrant.ErrInvalid},
		} {
			h, err := k.RejectLocation(t.Context(), ref, c.fingerprint, c.location)
			if !errors.Is(err, c.want) || err == nil && !slices.Contains(h.Token.Locations, c.location) {
				t.Errorf("%s: %+v, %v", name, h, err)
			}
		}
	})
}

// TestWhatIsReadOfAnEarlierApprovalIsNotKept: a reading that began before
// somebody else approved says nothing about their grant.
func TestWhatIsReadOfAnEarlierApprovalIsNotKept(t *testing.T) {
	inTown(t, group(), []string{"anna"}, func(t *testing.T, k *kit, w *town, ref grant.Ref, grants map[string]grant.Grant) {
		gate := make(chan struct{}) // the town's answer is on its way
		w.let(func(w *town) { w.sees["anna"], w.gate = []string{"1"}, gate })
		done := make(chan error, 1)
		go func() {
			_, err := k.ReadLocations(t.Context(), ref)
			done <- err
		}()
		time.Sleep(time.Second)
		g := grants["anna"]
		g.Version = grant.Version{Epoch: 2}
		err := k.store.Install(t.Context(), store.Installation{Grant: g, Sealed: []byte("of another"), Locations: []grant.Location{{ID: "8"}}})
		close(gate)
		if err != nil || <-done != nil {
			t.Fatal(err)
		}
		all, err := k.store.Locations(t.Context(), g.ConnectionID)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range all {
			if l.Lost() == (l.ID == "8") {
				t.Errorf("%+v", l)
			}
		}
	})
}
