//go:build scale

package e2e_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/oracle"
)

// TestScaleGrowth measures how much a database grows by refreshes of grants that
// have been renewed before: by then both versions of their credentials have their
// place, and what is added is the log. GROWTH is how many grants; each is renewed
// about six times.
//
//	GROWTH=20000 STORES="sqlite postgres" go test -C e2e -tags scale -run '^TestScaleGrowth$' -count 1 -timeout 0 -v .
func TestScaleGrowth(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("GROWTH"))
	if err != nil {
		t.Fatalf("GROWTH: %v", err)
	}
	for _, store := range strings.Fields(os.Getenv("STORES")) {
		t.Run(store, func(t *testing.T) {
			b := &burst{store: store, grants: n, replicas: 1}
			j := newJudge(t, oracle.Options{Rotation: oracle.RetireOnUse, AccessLife: 90 * time.Second, Pad: scalePad})
			x := &scale{t: t, name: store, oracle: j, server: b.start(t, app(j.url, oracle.RetireOnUse, "refresh: {max_in_flight: 128}"))[0]}
			b.fill(t, j, x.server)
			renewed := func(times int) {
				every(t, glance, 20*time.Minute, "every grant is renewed", func() bool { return j.Rotations() >= times*n })
			}
			renewed(2)
			before, from := x.onDisk(), j.Rotations()
			renewed(6)
			after, to := x.onDisk(), j.Rotations()
			fmt.Printf("\ncommit %s, %s: %d refreshes, %d B of growth for each\n", headOf(t), store, to-from, (after-before)/int64(to-from))
		})
	}
}
