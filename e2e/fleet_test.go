package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/pgtest"
)

// cluster is the PostgreSQL server of all tests but those that break it. The
// first test that needs it starts it.
var cluster struct {
	once sync.Once
	*pgtest.Cluster
	err error
}

// removeCluster ends the server if it was started.
func removeCluster() {
	if cluster.Cluster != nil {
		cluster.Remove()
	}
}

// database returns the connection string of an empty database.
func database(t *testing.T) string {
	t.Helper()
	cluster.once.Do(func() { cluster.Cluster, cluster.err = pgtest.Start(pgtest.Options{Fsync: true}) })
	if cluster.err != nil {
		t.Fatal(cluster.err)
	}
	return cluster.EmptyDatabase(t)
}

// newReplica prepares a server on a PostgreSQL database. It shares the secrets of
// the first one, nil for the first itself.
func newReplica(t *testing.T, url string, first *server) *server {
	t.Helper()
	s := newServer(t)
	s.storage = "{postgres: {file: secrets/database}}"
	if first == nil {
		s.secret("database", url)
		return s
	}
	if err := errors.Join(os.RemoveAll(s.secrets), os.Symlink(first.secrets, s.secrets)); err != nil {
		t.Fatal(err)
	}
	s.key = first.key
	s.call()
	return s
}

// processes is how many processes a replica may have at most: the first of the
// next one has the number after, so that no two of a fleet have the same.
const processes = 1000

// newFleet starts servers on one database, with one app at the oracle.
func newFleet(t *testing.T, j *judge, policy string, n int) []*server {
	t.Helper()
	return startFleet(t, app(j.url, policy, "refresh: {min_interval: 1s}"), database(t), n)
}

// startFleet starts servers on one database.
func startFleet(t *testing.T, apps, url string, n int) []*server {
	t.Helper()
	fleet := make([]*server, n)
	for i := range fleet {
		fleet[i] = newReplica(t, url, fleet[0])
		fleet[i].lives = i * processes
		fleet[i].configure(apps, "")
		fleet[i].start()
	}
	return fleet
}

// TestEveryReplicaHandsOutWhatAnyOfThemRenewed is the fleet in small: what one
// replica adopts, each can renew, and none falls back behind what another did.
func TestEveryReplicaHandsOutWhatAnyOfThemRenewed(t *testing.T) {
	t.Parallel()
	j := newJudge(t, oracle.Options{Rotation: oracle.FamilyKill, AccessLife: time.Hour})
	fleet := newFleet(t, j, oracle.FamilyKill, 2)
	fleet[0].adopt(j, 1, 3600)
	for round := range 6 {
		s, other := fleet[round%2], fleet[(round+1)%2]
		every(t, glance, time.Minute, "a refresh", func() bool {
			res, err := s.Refresh(t.Context(), ref(1))
			return err == nil && len(res) == 1 && res[0].Refreshed
		})
		want, err := s.Token(t.Context(), ref(1), nil)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Minute, "the other replica has it too", func() bool {
			got, err := other.Token(t.Context(), ref(1), nil)
			return err == nil && got.AccessToken == want.AccessToken
		})
	}
	if r := j.Report(); r.Sends != r.Rotations || r.Overlaps != 0 || len(r.Dead) != 0 {
		t.Errorf("the provider saw %+v", r)
	}

	// Each event is told by the replica that made it, and by no other. Both have
	// renewed, and tell in the order of the log, so what one repeated would be there.
	var lines []string
	events, err := fleet[0].Events(t.Context(), client.EventFilter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events.Data {
		lines = append(lines, fmt.Sprintf("%q:%q", "event", e.ID))
	}
	eventually(t, time.Minute, "every event is in the log of one replica", func() bool {
		told := slices.Concat(fleet[0].logged(), fleet[1].logged())
		return !slices.ContainsFunc(lines, func(line string) bool { return bytes.Count(told, []byte(line)) != 1 })
	})
	for _, s := range fleet {
		if own := bytes.Count(s.logged(), []byte(`"msg":"grant.refreshed"`)); own != 3 {
			t.Errorf("a replica that has renewed 3 times tells of %d renewals", own)
		}
	}
}
