package move

import (
	"cmp"
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/evergrant/evergrant/internal/fault"
)

// copy copies what is not there yet.
func (m *mover) copy(ctx context.Context) error {
	if err := transfer(ctx, m, businesses(), m.at.Connections, m.counts.Connections, m.to.AddBusinesses); err != nil {
		return err
	}
	if err := transfer(ctx, m, events(), m.at.Events, m.counts.Events, m.to.AddEvents); err != nil {
		return err
	}
	return fault.Point("move.copied")
}

// transfer copies the rows of a kind that come after one. The next batch is read
// while one is written.
func transfer[T any, K cmp.Ordered](ctx context.Context, m *mover, k kind[T, K], after K, total int64, add func(context.Context, []T) error) error {
	work, ctx := errgroup.WithContext(ctx)
	batches := make(chan []T, 1)
	work.Go(func() error {
		defer close(batches)
		for {
			batch, err := k.read(m.from, ctx, after, m.o.Batch)
			if err != nil {
				return fmt.Errorf("read %s of %s: %w", k.what, m.o.Source, err)
			}
			if len(batch) > 0 {
				after = k.key(batch[len(batch)-1])
				select {
				case batches <- batch:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			if len(batch) < m.o.Batch {
				return nil
			}
		}
	})
	work.Go(func() error {
		var done int64
		for batch := range batches {
			if err := fault.Point("move.batch"); err != nil {
				return err
			}
			if err := add(ctx, batch); err != nil {
				return fmt.Errorf("write %s to %s: %w", k.what, m.to.Name(), err)
			}
			for _, v := range batch {
				m.result.Rows += k.rows(v)
			}
			done += int64(len(batch))
			m.o.Progress(Progress{What: k.what, Done: done, Total: total})
		}
		return nil
	})
	return work.Wait()
}
