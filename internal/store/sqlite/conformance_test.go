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
		path := filepath.Join(t.TempDir(), "evergrant.db")
		s, err := Open(t.Context(), Options{Path: path, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { checkFile(t, path) }) // after the suite has closed it
		return s
	})
}

// checkFile finds what no method shows: rows nobody points at, and pointers to
// nothing.
func checkFile(t *testing.T, path string) {
	t.Helper()
	db, err := pool(path, readerPragmas, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for what, query := range map[string]string{
		"damage":                 `SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'`,
		"broken foreign keys":    `SELECT count(*) FROM pragma_foreign_key_check`,
		"grants without consent": `SELECT count(*) FROM grants WHERE n NOT IN (SELECT grant_n FROM consents)`,
		"wrong current credentials": `SELECT count(*) FROM grants g WHERE g.credential_n IS NOT NULL AND NOT EXISTS (
			SELECT 1 FROM credentials v WHERE v.n = g.credential_n AND v.grant_n = g.n AND v.epoch = g.epoch AND v.seq = g.seq)`,
		"wrong previous credentials": `SELECT count(*) FROM grants g WHERE g.previous_n IS NOT NULL AND NOT EXISTS (
			SELECT 1 FROM credentials v WHERE v.n = g.previous_n AND v.grant_n = g.n AND v.epoch = g.epoch AND v.seq = g.seq - 1)`,
		"live grants without credentials": `SELECT count(*) FROM grants WHERE state IN ('connected', 'degraded') AND credential_n IS NULL`,
		"credentials nobody points at": `SELECT count(*) FROM credentials v WHERE NOT EXISTS (
			SELECT 1 FROM grants g WHERE v.n IN (g.credential_n, g.previous_n))`,
	} {
		var n int
		if err := db.QueryRow(query).Scan(&n); err != nil || n != 0 {
			t.Errorf("%s: %d, %v", what, n, err)
		}
	}
}
