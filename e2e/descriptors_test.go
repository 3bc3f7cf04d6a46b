//go:build linux

package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/oracle"
)

// descriptors is how many files and connections the process may have open.
const descriptors = 64

// TestAProcessOutOfDescriptorsLosesNothingAndRecovers starts the program where it
// may open few files, and has connections take all of them while grants are due.
func TestAProcessOutOfDescriptorsLosesNothingAndRecovers(t *testing.T) {
	t.Parallel()
	var all []shortage
	for _, policy := range []string{oracle.FamilyKill, oracle.Grace} { // a fresh connection for each request, and kept ones
		all = append(all, shortage{policy, false}, shortage{policy, true})
	}
	together(t, all, atOnce, outOfDescriptors)
}

// shortage is one case of running out.
type shortage struct {
	policy string
	dies   bool // else the connections close
}

func (c shortage) String() string {
	if c.dies {
		return c.policy + ", and it dies"
	}
	return c.policy + ", and the connections close"
}

func outOfDescriptors(t *testing.T, c shortage) {
	const grants = 30
	j := newJudge(t, oracle.Options{Rotation: c.policy, Window: 30 * time.Minute, AccessLife: 20 * time.Second})
	s := newServer(t)
	s.program = limited(t)
	s.configure(app(j.url, c.policy, "refresh: {min_interval: 1s}"), "")
	s.start()
	for n := range grants { // due from one second on
		s.adopt(j, n, 2+int64(n)%8)
	}
	s.CloseIdleConnections()

	holding, release := context.WithCancel(t.Context())
	defer release()
	var held sync.WaitGroup
	for _, address := range []string{s.api, s.public} {
		for range descriptors {
			held.Go(func() { hold(holding, strings.TrimPrefix(address, "http://")) })
		}
	}
	eventually(t, time.Minute, "no descriptor is left", func() bool { return s.descriptors() >= descriptors-1 })
	// For as long as it takes until every grant was due without one.
	deadline := time.NewTimer(12 * time.Second)
	defer deadline.Stop()
	exhausted := 0
	for over := false; !over; {
		select {
		case <-deadline.C:
			over = true
		case <-time.After(50 * time.Millisecond):
		}
		if s.descriptors() >= descriptors-1 {
			exhausted++
		}
	}
	during := j.Report()
	if c.dies {
		s.kill()
		release()
		held.Wait()
		s.start()
	} else {
		release()
		held.Wait()
	}

	after := time.Now()
	eventually(t, time.Minute, "every grant is renewed", func() bool {
		for n := range grants {
			g, err := s.Grants(t.Context(), ref(n))
			if err != nil || len(g) != 1 || g[0].State != "connected" || g[0].Seq == 0 || g[0].ExpiresAt.Before(time.Now()) {
				return false
			}
		}
		return true
	})
	recovered := time.Since(after)
	for n := range grants {
		if token, err := s.Token(t.Context(), ref(n), nil); err != nil || !j.AccessValid(token.AccessToken) {
			t.Errorf("%s has no working token: %v", ref(n), err)
		}
	}
	if r := j.Report(); r.Overlaps != 0 || r.Unknown != 0 || len(r.Dead) != 0 || r.Cuts != 0 || wentBack(j.Sends()) != 0 {
		t.Errorf("the provider saw %+v, %d tokens after their successors", r, wentBack(j.Sends()))
	}
	if page, err := s.Events(t.Context(), client.EventFilter{Types: []string{"connection.needs_reauthorization"}, Limit: 10}); err != nil || len(page.Data) != 0 {
		t.Errorf("%d grants were given up, %v", len(page.Data), err)
	}
	for _, word := range []string{"panic", "goroutine "} {
		if bytes.Contains(s.logged(), []byte(word)) {
			t.Errorf("the log has a %s", word)
		}
	}
	if !bytes.Contains(s.logged(), []byte("too many open files")) || exhausted < 100 {
		t.Errorf("it was out of descriptors at %d looks of 240, too few to prove anything", exhausted)
	}
	t.Logf("without a descriptor at %d looks of 240: %d sends, %d rotations; renewed %v after that: %d sends, %d rotations",
		exhausted, during.Sends, during.Rotations, recovered.Round(10*time.Millisecond), j.Report().Sends, j.Report().Rotations)
}

// limited returns a program that starts the binary where it may open few files.
func limited(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "limited")
	text := fmt.Sprintf("#!/bin/sh\nulimit -n %d\nexec '%s' \"$@\"\n", descriptors, binary)
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// descriptors counts what the process has open.
func (s *server) descriptors() int {
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.process.Process.Pid))
	if err != nil {
		return 0
	}
	return len(open)
}

// hold keeps a connection open, and opens another when it is closed.
func hold(ctx context.Context, address string) {
	for ctx.Err() == nil {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			continue
		}
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		// One request, so that it is kept alive; the rest waits for the end.
		if r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/livez", nil); err == nil && r.Write(conn) == nil {
			_, _ = io.Copy(io.Discard, conn)
		}
		stop()
		_ = conn.Close()
	}
}
