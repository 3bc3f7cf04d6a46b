package manager_test

import (
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/oracle"
)

// TestEveryoneWhoRejectsATokenTogetherGetsItsSuccessor repeats what a race needs
// luck for: nobody may come between the one who is allowed to refresh and the
// refresh that all the others join.
func TestEveryoneWhoRejectsATokenTogetherGetsItsSuccessor(t *testing.T) {
	const rounds, callers = 200, 50
	bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.Strict, AccessLife: 24 * time.Hour}}, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		for round := range rounds {
			rejected := k.token(ref).Token
			answers := make([]*manager.Handout, callers)
			var all sync.WaitGroup
			line := make(chan struct{})
			for i := range callers {
				all.Go(func() {
					<-line
					h, err := k.RejectHandout(t.Context(), ref, rejected.Fingerprint)
					if err != nil {
						t.Errorf("round %d: %v", round, err)
						return
					}
					answers[i] = h
				})
			}
			close(line)
			all.Wait()
			for _, h := range answers {
				if h != nil && (h.Token.AccessToken == rejected.AccessToken || len(h.Warnings) > 0) {
					t.Fatalf("round %d: a caller got the token it rejected, or a warning: %v", round, h.Warnings)
				}
			}
			if n := len(k.oracle.Sends()); n != round+1 {
				t.Fatalf("round %d: %d token requests so far, want one a round", round, n)
			}
			k.sleep(31 * time.Second) // more than the interval between forced refreshes
		}
	})
}
