package webhook

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/evergrant/evergrant/internal/grant"
)

// TestNoEventIsSkippedWhateverHappens has two processes deliver to a receiver that
// fails as it likes, while they lose what they record, stop and begin again.
func TestNoEventIsSkippedWhateverHappens(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		// Everything is drawn before, because a draw may not end a bubble.
		type step struct{ events, process, seconds int }
		var steps []step
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			steps = append(steps, step{rapid.IntRange(0, 3).Draw(rt, "events"), rapid.IntRange(0, 3).Draw(rt, "what happens"), rapid.IntRange(0, 90).Draw(rt, "seconds")})
		}
		statuses := rapid.SliceOfN(rapid.SampledFrom([]int{200, 200, 204, 0, 301, 429, 500}), 1, 8).Draw(rt, "answers")
		synctest.Test(t, func(t *testing.T) {
			k := newKit(t)
			r := newReceiver(t)
			r.answer = func(_ http.Header, _ string, n int) int {
				if n > len(statuses) {
					return http.StatusOK
				}
				return statuses[n-1]
			}
			k.hooked()
			var want []string
			stores := [2]*lossy{{Store: k.store}, {Store: k.store}}
			var stops [2]func()
			for _, s := range steps {
				want = append(want, k.emit(s.events, grant.ConnectionConnected)...)
				i := s.process % 2
				switch {
				case s.process == 3:
					stores[i].lose.Store(!stores[i].lose.Load())
				case stops[i] == nil:
					_, stops[i] = k.start(stores[i], &http.Client{Transport: r}, fileEndpoint("https://app.example/"))
				default:
					stops[i]()
					stops[i] = nil
				}
				time.Sleep(time.Duration(s.seconds) * time.Second)
			}
			for i, stop := range stops {
				stores[i].lose.Store(false)
				if stop != nil {
					stop()
				}
			}
			_, stop := k.start(k.store, &http.Client{Transport: r}, fileEndpoint("https://app.example/"))
			time.Sleep(time.Hour)
			stop()
			// Repetitions apart, what was accepted is the log.
			next := 0
			for _, id := range r.got() {
				switch {
				case next < len(want) && id == want[next]:
					next++
				case next > 0 && id == want[next-1]: // once more
				default:
					t.Fatalf("%s came after %d of %v", id, next, want)
				}
			}
			if next != len(want) {
				t.Fatalf("%d of %d events came", next, len(want))
			}
		})
	})
}
