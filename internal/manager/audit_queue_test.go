package manager_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
)

// Callers who wait for the app's rate were let in when nothing spoke against it.
// Something does by the time their turn comes.
func TestCallersInTheQueueAreHeldBackByWhatComesMeanwhile(t *testing.T) {
	for name, test := range map[string]struct {
		fault oracle.Fault
		pause bool
		most  int // sends after it
	}{
		"an operator pauses the app":       {pause: true, most: 0},
		"the provider asks for an hour":    {fault: oracle.Fault{Status: 429, Header: http.Header{"Retry-After": {"3600"}}}, most: 1},
		"nothing, so that the test counts": {most: 60},
	} {
		t.Run(name, func(t *testing.T) {
			o := kitOptions{oracle: oracle.Options{Rotation: oracle.Strict}, policy: func(p *grant.Policy) { p.RatePerSecond, p.MaxInFlight = 1, 100 }}
			bubble(t, o, func(t *testing.T, k *kit) {
				var refs []grant.Ref
				for i := range 20 {
					refs = append(refs, k.adoptAt(grant.Ref{Key: fmt.Sprint("cafe_", i), App: "app"}, time.Hour))
				}
				k.oracle.SetFault(func(oracle.Send) oracle.Fault { return oracle.Fault{} })
				if _, err := k.PauseApp(t.Context(), "app"); err != nil {
					t.Fatal(err)
				}
				k.sleep(2 * time.Hour) // all have ended
				if _, err := k.ResumeApp(t.Context(), "app"); err != nil {
					t.Fatal(err)
				}
				for _, ref := range refs {
					go func() { _, _ = k.Handout(context.Background(), ref, evergrant.TokenOptions{}) }()
				}
				synctest.Wait()
				k.sleep(2500 * time.Millisecond)
				if test.pause {
					if _, err := k.PauseApp(t.Context(), "app"); err != nil {
						t.Fatal(err)
					}
				}
				before := len(k.oracle.Sends())
				k.oracle.SetFault(func(oracle.Send) oracle.Fault { return test.fault })
				k.sleep(15 * time.Second)
				if n := len(k.oracle.Sends()) - before; before == 0 || n > test.most || test.most == 60 && n < 10 {
					t.Errorf("%d sends before and %d after, want at most %d", before, n, test.most)
				}
			})
		})
	}
}
