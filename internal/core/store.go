package core

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/evergrant/evergrant/internal/event"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/store/postgres"
	"github.com/evergrant/evergrant/internal/store/sqlite"
)

// openStore opens what the configuration names. A store that other processes
// share tells the manager given to follow what they do; what it tells before is
// nothing that the manager could have read.
func openStore(ctx context.Context, o Options, hub *event.Hub) (_ store.Store, follow func(*manager.Manager), _ error) {
	c := o.Config.Storage
	if !c.Shared() {
		if err := makeFolder(filepath.Dir(c.SQLite), "storage.sqlite"); err != nil {
			return nil, nil, err
		}
		s, err := sqlite.Open(ctx, sqlite.Options{Path: c.SQLite, Now: o.Now, Published: hub.Publish})
		return s, func(*manager.Manager) {}, err
	}
	var follower atomic.Pointer[manager.Manager]
	s, err := postgres.Open(ctx, postgres.Options{
		URL: c.Postgres.Value(), AllowLoss: c.AllowAsyncCommit, Logger: o.Logger,
		Published: func(events []grant.Event, own bool) {
			// The cache first: whoever is woken by an event reads what it tells of.
			if m := follower.Load(); m != nil {
				m.Follow(events)
			}
			if own {
				hub.Publish(events)
			} else {
				hub.Wake()
			}
		},
		Changed: func(connectionID string) {
			if m := follower.Load(); m != nil {
				m.Changed(connectionID)
			}
		},
	})
	return s, follower.Store, err
}

// makeFolder makes the folder a file of ours lies in.
func makeFolder(folder, key string) error {
	err := os.MkdirAll(folder, 0o700)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("folder %s cannot be made by this user; make it or set %s", folder, key)
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("folder %s cannot be made: the disk is full; free space or set %s", folder, key)
	}
	return fmt.Errorf("folder %s cannot be made: %w; set %s", folder, err, key)
}
