package move

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/evergrant/evergrant/internal/store/eventid"
	"github.com/evergrant/evergrant/internal/store/whole"
)

// verify reads both stores from one end to the other and compares every row.
func (m *mover) verify(ctx context.Context) error {
	sum := sha256.New()
	var read whole.Counts
	err := compare(ctx, m, businesses(), m.counts.Connections, sum, read.Add)
	if err != nil {
		return err
	}
	if err := compare(ctx, m, events(), m.counts.Events, sum, func(whole.Event) { read.Events++ }); err != nil {
		return err
	}
	rest, err := m.to.Rest(ctx)
	if err != nil {
		return fmt.Errorf("read %s: %w", m.to.Name(), err)
	}
	if err := m.same("what belongs to no connection", m.rest, rest, sum); err != nil {
		return err
	}
	read.Keys = int64(len(rest.Keys))
	there, err := m.to.Counts(ctx)
	if err != nil {
		return fmt.Errorf("count %s: %w", m.to.Name(), err)
	}
	if m.counts != read || there != read {
		return fmt.Errorf("%w: %s has %+v, %+v belong together, and %s has %+v; see: evergrant db check",
			errDiffers, m.o.Source, m.counts, read, m.to.Name(), there)
	}
	m.result.Counts, m.result.Digest = read, hex.EncodeToString(sum.Sum(nil))
	return nil
}

// errDiffers is the end of a move that went wrong. Both stores stay as they are.
var errDiffers = errors.New("the copy is not the same")

// compare reads the rows of a kind from both stores, side by side.
func compare[T any, K cmp.Ordered](ctx context.Context, m *mover, k kind[T, K], total int64, sum hash.Hash, seen func(T)) error {
	var after K
	for done := int64(0); ; {
		var here, there []T
		work, reading := errgroup.WithContext(ctx)
		work.Go(func() (err error) {
			here, err = k.read(m.from, reading, after, m.o.Batch)
			return err
		})
		work.Go(func() (err error) {
			there, err = k.read(m.to, reading, after, m.o.Batch)
			return err
		})
		if err := work.Wait(); err != nil {
			return fmt.Errorf("read %s of both: %w", k.what, err)
		}
		for i := range min(len(here), len(there)) {
			if k.key(here[i]) != k.key(there[i]) {
				return fmt.Errorf("%w: where %s has %s, %s has %s", errDiffers, m.o.Source, k.name(here[i]), m.to.Name(), k.name(there[i]))
			}
			if err := m.same(k.name(here[i]), here[i], there[i], sum); err != nil {
				return err
			}
			seen(here[i])
		}
		if len(here) != len(there) {
			return fmt.Errorf("%w: %s has %d more %s than %s", errDiffers, m.o.Source, len(here)-len(there), k.what, m.to.Name())
		}
		done += int64(len(here))
		m.o.Progress(Progress{Verifying: true, What: k.what, Done: done, Total: total})
		if len(here) < m.o.Batch {
			return nil
		}
		after = k.key(here[len(here)-1])
	}
}

// same compares a thing with its copy and adds it to the digest.
func (m *mover) same(name string, here, there any, sum hash.Hash) error {
	a, err := json.Marshal(here)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", name, m.o.Source, err)
	}
	b, err := json.Marshal(there)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", name, m.to.Name(), err)
	}
	if !slices.Equal(a, b) && !m.sameText(a, b) {
		return fmt.Errorf("%w: %s", errDiffers, name)
	}
	_, _ = sum.Write(b) // never fails
	return nil
}

// sameText compares again with every text as the target keeps it: it may have no
// place for what is no text.
func (m *mover) sameText(a, b []byte) bool {
	var here, there any
	if json.Unmarshal(a, &here) != nil || json.Unmarshal(b, &there) != nil {
		return false
	}
	a, errA := json.Marshal(m.kept(here))
	b, errB := json.Marshal(m.kept(there))
	return errA == nil && errB == nil && slices.Equal(a, b)
}

// kept is a JSON value with its texts as the target keeps them. Bytes that are no
// text have become U+FFFD already, each one or some together.
func (m *mover) kept(v any) any {
	switch v := v.(type) {
	case string:
		return m.keptText(v)
	case []any:
		for i := range v {
			v[i] = m.kept(v[i])
		}
	case map[string]any:
		for _, name := range slices.Collect(maps.Keys(v)) {
			value := m.kept(v[name])
			delete(v, name)
			v[m.keptText(name)] = value
		}
	}
	return v
}

func (m *mover) keptText(s string) string {
	for s = m.to.Keeps(s); strings.Contains(s, "\uFFFD\uFFFD"); {
		s = strings.ReplaceAll(s, "\uFFFD\uFFFD", "\uFFFD")
	}
	return s
}

func formatEvent(n int64) string { return eventid.Format(n) }
