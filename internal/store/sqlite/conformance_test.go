package sqlite

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, now func() time.Time) store.Store {
		s, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "evergrant.db"), Now: now})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
