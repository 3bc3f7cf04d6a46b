package seal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/evergrant/evergrant/internal/store"
)

// openTries bounds how often Open gives way to another process that changes the
// data keyset at the same moment. Each does so at most twice, at its start.
const openTries = 16

// Open returns the ring of a store. The first master encrypts, all decrypt.
//
// A new store gets a data keyset, wrapped with the first master. The keyset of
// an existing one is unwrapped with the master it names; if that is not the
// first, the keyset is wrapped again with the first, which is all that a
// rotation of the master key costs. Any number of processes may do this at
// once: they end with the same data keyset.
func Open(ctx context.Context, keys store.DataKeys, masters []Master) (*Ring, error) {
	if err := checkMasters(masters); err != nil {
		return nil, err
	}
	for range openTries {
		h, err := openKeyset(ctx, keys, masters)
		if errors.Is(err, store.ErrStale) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return newRing(h)
	}
	return nil, errors.New("the data key kept changing while it was read; start again when no other process rotates it")
}

// checkMasters reports a list that cannot be meant.
func checkMasters(masters []Master) error {
	if len(masters) == 0 {
		return errors.New("encryption.keys lists no master key; " + makeOne)
	}
	for i, m := range masters {
		if _, _, err := m.aead(); err != nil {
			return err
		}
		if slices.ContainsFunc(masters[:i], func(o Master) bool { return o.ID == m.ID }) {
			return fmt.Errorf("encryption.keys lists master key %q twice; ids must differ", m.ID)
		}
	}
	return nil
}

// openKeyset makes one try. It returns store.ErrStale if another process was
// faster.
func openKeyset(ctx context.Context, keys store.DataKeys, masters []Master) (*keyset.Handle, error) {
	id, wrapped, err := keys.DataKey(ctx)
	if errors.Is(err, store.ErrNotFound) {
		h, err := newKeyset()
		if err != nil {
			return nil, err
		}
		return h, save(ctx, keys, nil, h, masters[0])
	}
	if err != nil {
		return nil, fmt.Errorf("read the data key: %w", err)
	}
	i := slices.IndexFunc(masters, func(m Master) bool { return m.ID == id })
	if i < 0 {
		return nil, fmt.Errorf("the database is sealed with master key %q, which encryption.keys does not list; add it back", id)
	}
	h, err := unwrap(wrapped, masters[i])
	if err != nil || i == 0 {
		return h, err
	}
	return h, save(ctx, keys, wrapped, h, masters[0])
}

// save stores the keyset wrapped with m.
func save(ctx context.Context, keys store.DataKeys, previous []byte, h *keyset.Handle, m Master) error {
	wrapped, err := wrap(h, m)
	if err != nil {
		return err
	}
	if err := keys.SetDataKey(ctx, previous, m.ID, wrapped); err != nil {
		return fmt.Errorf("store the data key: %w", err)
	}
	return nil
}
