package e2e_test

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/oracle"
)

// judge is an oracle that listens.
type judge struct {
	*oracle.Server
	url string
}

// newJudge serves an oracle until the test ends.
func newJudge(t *testing.T, o oracle.Options) *judge {
	t.Helper()
	j := &judge{Server: oracle.New(o)}
	srv := httptest.NewServer(j.Server)
	t.Cleanup(srv.Close)
	j.url = srv.URL
	return j
}

// app returns the configuration of the app named app at an oracle. more is
// further keys, like "refresh: {min_interval: 1s}".
func app(url, policy, more string) string {
	return fmt.Sprintf(`  app:
    provider: generic
    client_id: evergrant
    client_secret: {file: secrets/client-secret}
    endpoints: {authorize: %[1]s/authorize, token: '%[1]s/token?client=0', api: %[1]s/api}
    rotation: {policy: %[2]s, window: 30m}
    %[3]s`, url, policy, more)
}

// ref is the address of the n-th business.
func ref(n int) evergrant.Ref { return evergrant.Ref(business(n) + "@app") }

func business(n int) string { return fmt.Sprintf("biz_%d", n) }

// adopt gives the server a grant that the oracle issues, whose access token is
// said to live for so many seconds.
func (s *server) adopt(j *judge, n int, expiresIn int64) client.Connection {
	s.t.Helper()
	access, refresh := j.Issue(business(n))
	c, err := s.CreateConnection(s.t.Context(), client.NewConnection{
		Ref: ref(n), Tokens: &client.Tokens{AccessToken: access, RefreshToken: refresh, ExpiresIn: expiresIn},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// grant returns the one grant of a connection as it is now.
func (s *server) grant(r evergrant.Ref) client.Grant {
	s.t.Helper()
	all, err := s.Grants(s.t.Context(), r)
	if err != nil {
		s.t.Fatal(err)
	}
	if len(all) != 1 {
		s.t.Fatalf("%s has %d grants, want 1", r, len(all))
	}
	return all[0]
}
