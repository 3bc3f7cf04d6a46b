package move_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/evergrant/evergrant/internal/store/move"
	"github.com/evergrant/evergrant/internal/store/postgres"
	"github.com/evergrant/evergrant/internal/store/sqlite"
	"github.com/evergrant/evergrant/internal/store/whole"
)

func TestAStoreIsMovedAsItIs(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	path, url := filepath.Join(t.TempDir(), "evergrant.db"), server.Database(t)
	fill(t, path)
	result, err := run(t, path, url, nil)
	must(t, err)
	if result.Counts.Connections != businesses || result.Counts.Orphans == 0 || result.Counts.Authorizations == 0 || result.Rows != result.Counts.Rows()-2 ||
		len(result.Digest) != 64 || result.Resumed {
		t.Errorf("the move came to %+v", result)
	}
	if source, target := served(t, path, url); source || !target {
		t.Errorf("the source can be served is %t and the target %t", source, target)
	}
	same(t, path, url)

	again, err := run(t, path, url, nil)
	if err != nil || !again.Before {
		t.Errorf("moved again: %+v, %v", again, err)
	}
	other := server.Database(t)
	if _, err := run(t, path, other, nil); err == nil || !strings.Contains(err.Error(), "was moved to database") {
		t.Errorf("moved elsewhere too: %v", err)
	}
}

// TestAMoveThatEndsAnywhereGoesOn ends a move before each of its durable steps.
// At no moment can both be served, and the next run brings it to its end.
func TestAMoveThatEndsAnywhereGoesOn(t *testing.T) {
	filled := filepath.Join(t.TempDir(), "evergrant.db")
	fill(t, filled)
	content, err := os.ReadFile(filled)
	must(t, err)
	for n := 1; ; n++ {
		path, url := filepath.Join(t.TempDir(), "evergrant.db"), server.Database(t)
		must(t, os.WriteFile(path, content, 0o600))
		_, err := run(t, path, url, (&breaker{n: n}).between)
		if err == nil {
			if n < 8 {
				t.Errorf("it ends after %d steps", n-1)
			}
			return
		}
		if !errors.Is(err, errKilled) {
			t.Fatalf("step %d: %v", n, err)
		}
		if source, target := served(t, path, url); source && target && n > 2 { // before there is nothing in the target
			t.Errorf("step %d: both can be served", n)
		}
		result, err := run(t, path, url, nil)
		if err != nil || result.Resumed != (n > 2) {
			t.Errorf("step %d: then %+v, %v", n, result, err)
			continue
		}
		if source, target := served(t, path, url); source || !target {
			t.Errorf("step %d: in the end the source can be served is %t and the target %t", n, source, target)
		}
		same(t, path, url)
	}
}

func TestACopyOfWhatHasChangedSinceBeginsAgain(t *testing.T) {
	path, url := filepath.Join(t.TempDir(), "evergrant.db"), server.Database(t)
	fill(t, path)
	if _, err := run(t, path, url, (&breaker{n: 5}).between); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	must(t, err)
	must(t, s.BeginRun(t.Context(), "own_2"))
	renew(t, s, "grant_20")
	must(t, s.DeleteConnection(t.Context(), "conn_0"))
	must(t, s.Close())
	result, err := run(t, path, url, nil)
	if err != nil || result.Resumed || result.Counts.Connections != businesses-1 {
		t.Errorf("the move came to %+v, %v", result, err)
	}
	same(t, path, url)
}

func TestATargetThatHoldsAnythingElseIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "evergrant.db")
	fill(t, path)
	for name, test := range map[string]struct {
		prepare func(url string)
		want    string
	}{
		"a server has used it": {func(url string) {
			s, err := postgres.Open(t.Context(), options(url))
			must(t, err)
			must(t, s.SetDataKey(t.Context(), nil, "k1", []byte("its own")))
			must(t, s.Close())
		}, "is not empty: there are rows in its table evergrant.data_key"},
		"an unfinished copy of another": {func(url string) {
			other := filepath.Join(t.TempDir(), "other.db")
			fill(t, other)
			if _, err := run(t, other, url, (&breaker{n: 5}).between); !errors.Is(err, errKilled) {
				t.Fatal(err)
			}
		}, "holds an unfinished copy of another database"},
		"a whole copy of another": {func(url string) {
			other := filepath.Join(t.TempDir(), "other.db")
			fill(t, other)
			_, err := run(t, other, url, nil)
			must(t, err)
		}, "holds its grants; name an empty database"},
	} {
		t.Run(name, func(t *testing.T) {
			url := server.Database(t)
			test.prepare(url)
			_, err := run(t, path, url, nil)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error is %v, want %q", err, test.want)
			}
			if source, _ := served(t, path, url); !source {
				t.Error("the source cannot be served any more")
			}
		})
	}
}

// liar is a target that loses or changes something.
type liar struct {
	move.Target
	change func([]whole.Business) []whole.Business
}

func (l liar) AddBusinesses(ctx context.Context, b []whole.Business) error {
	return l.Target.AddBusinesses(ctx, l.change(b))
}

func TestACopyThatIsNotTheSameIsNotServed(t *testing.T) {
	for name, test := range map[string]struct {
		change func([]whole.Business) []whole.Business
		want   string
	}{
		"a byte of a token": {func(b []whole.Business) []whole.Business {
			for i := range b {
				for j := range b[i].Grants {
					b[i].Grants[j].Credentials = slices.Clone(b[i].Grants[j].Credentials)
					for k := range b[i].Grants[j].Credentials {
						b[i].Grants[j].Credentials[k].Sealed[0] ^= 1
					}
				}
			}
			return b
		}, "the copy is not the same: connection conn_1"},
		"the first connection": {func(b []whole.Business) []whole.Business { return b[1:] }, "has connection conn_0,"},
		"the last connection":  {func(b []whole.Business) []whole.Business { return b[:len(b)-1] }, "has 1 more connections than database"},
		"when it is due": {func(b []whole.Business) []whole.Business {
			for i := range b {
				for j := range b[i].Grants {
					b[i].Grants[j].DueAt = b[i].Grants[j].DueAt.Add(time.Microsecond)
				}
			}
			return b
		}, "the copy is not the same: connection conn_1"},
	} {
		t.Run(name, func(t *testing.T) {
			path, url := filepath.Join(t.TempDir(), "evergrant.db"), server.Database(t)
			fill(t, path)
			_, err := run(t, path, url, func(s move.Source, to move.Target) (move.Source, move.Target) {
				return s, liar{to, test.change}
			})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
			if source, target := served(t, path, url); !source || target {
				t.Errorf("the source can be served is %t and the target %t", source, target)
			}
		})
	}
}

func TestTwoAtOnceDoNotMoveIntoOneDatabase(t *testing.T) {
	url := server.Database(t)
	to, err := postgres.OpenTarget(t.Context(), options(url))
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	opened := make(chan error)
	go func() {
		other, err := postgres.OpenTarget(ctx, options(url))
		if err == nil {
			err = other.Close()
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		t.Fatalf("the second came to %v beside the first", err)
	default:
	}
	must(t, to.Close())
	must(t, <-opened)
	cancel()
}
