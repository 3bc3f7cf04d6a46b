package sqlite

import (
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOpenCloseReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ever grant?#%.db")
	for range 2 {
		s, err := Open(t.Context(), Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), Options{Path: path}); err == nil {
			t.Fatal("a second Open succeeded")
		} else {
			t.Log(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
