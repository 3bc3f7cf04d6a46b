package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/config"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/spool"
	"github.com/evergrant/evergrant/internal/store/move"
	"github.com/evergrant/evergrant/internal/store/postgres"
	"github.com/evergrant/evergrant/internal/store/sqlite"
	"github.com/evergrant/evergrant/internal/store/whole"
)

type dbCopyCmd struct {
	ToConfig string `required:"" name:"to-config" placeholder:"FILE" help:"Configuration of the server to come; its storage.postgres is copied into."`
}

// Run moves the store of one configuration into that of another.
func (c *dbCopyCmd) Run(s *session) (err error) {
	file := s.configFile("")
	conf, next, err := copyConfigs(file, c.ToConfig)
	if err != nil {
		return err
	}
	from, err := sqlite.OpenSource(s.ctx, conf.Storage.SQLite)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	rest, err := from.Rest(s.ctx)
	if err != nil {
		return err
	}
	ring, err := copyRing(s.ctx, rest.DataKey, conf, next)
	if err != nil {
		return err
	}
	moved, _, err := from.Move(s.ctx)
	if err != nil {
		return err
	}
	if !moved.Ended() { // no server has used it since, and none will
		journal, err := settled(s.ctx, from, conf, ring)
		if err != nil {
			return err
		}
		if journal != nil {
			defer func() { err = errors.Join(err, journal.Close()) }()
		}
	}
	to, err := postgres.OpenTarget(s.ctx, postgresOptions(next.Storage))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	for _, app := range slices.Sorted(maps.Keys(conf.Apps)) {
		if next.Apps[app] == nil {
			s.say("%s has no app %s; its grants are copied, and not renewed until it has.", c.ToConfig, app)
		}
	}
	result, err := move.Run(s.ctx, from, to, move.Options{Source: conf.Storage.SQLite, Progress: s.copyProgress()})
	if err != nil {
		return s.copyFailed(err)
	}
	return s.copied(result, conf.Storage.SQLite, to.Name(), c.ToConfig)
}

// copyConfigs reads both configurations and checks that one can follow the other.
func copyConfigs(file, toFile string) (conf, next *config.Config, err error) {
	if conf, err = config.Load(file, nil); err != nil {
		return nil, nil, err
	}
	if next, err = config.Load(toFile, nil); err != nil {
		return nil, nil, err
	}
	switch {
	case conf.Storage.Shared():
		return nil, nil, usage("%s names storage.postgres; only a SQLite file can be copied from", file)
	case !next.Storage.Shared():
		return nil, nil, usage("%s names no storage.postgres; only a PostgreSQL database can be copied to", toFile)
	}
	return conf, next, nil
}

// copyRing opens the data key with the keys of either configuration. What is
// copied stays sealed with it.
func copyRing(ctx context.Context, key whole.DataKey, conf, next *config.Config) (*seal.Ring, error) {
	if key.Wrapped == nil {
		return nil, fmt.Errorf("no server has ever used %s; there is nothing to copy: evergrant serve --config %s", conf.Storage.SQLite, next.File())
	}
	ring, err := seal.Open(ctx, key, conf.Masters())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", conf.File(), err)
	}
	if _, err := seal.Open(ctx, key, next.Masters()); err != nil {
		return nil, fmt.Errorf("%s: %w", next.File(), err)
	}
	return ring, nil
}

// settled refuses a store that is behind its spool: what was received and not
// committed would be left behind. It returns the spool, so that nobody uses it
// meanwhile, or nil if there is none.
func settled(ctx context.Context, from *sqlite.Source, conf *config.Config, ring *seal.Ring) (_ *spool.Spool, err error) {
	once := "; start and stop its server once: evergrant serve --config " + conf.File()
	last, err := from.LastRun(ctx)
	if err != nil {
		return nil, err
	}
	var known []string
	var journal *spool.Spool
	if _, err := os.Stat(conf.Spool); err == nil {
		if journal, err = spool.Open(spool.Options{Dir: conf.Spool, Ring: ring}); err != nil {
			return nil, err
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, journal.Close())
			}
		}()
		if n := journal.Stats().Entries; n > 0 {
			return nil, fmt.Errorf("%s holds %d received answers that are not in %s yet%s", conf.Spool, n, conf.Storage.SQLite, once)
		}
		if known, err = journal.Runs(); err != nil {
			return nil, err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// The same question a server asks when it starts.
	if last.ID != "" && !slices.Contains(known, last.ID) && (len(known) > 0 || !last.Ended) {
		return nil, fmt.Errorf("%s was restored, or is used with another spool, and its refresh tokens may be spent%s", conf.Storage.SQLite, once)
	}
	return journal, nil
}

// copyFailed adds what is true of every failure.
func (s *session) copyFailed(err error) error {
	if errors.Is(err, context.Canceled) && s.ctx.Err() != nil {
		return errors.New("interrupted; the same command goes on where it stopped")
	}
	return err
}

// pace says when something was not said for a while.
type pace struct{ last time.Time }

func newPace() *pace { return &pace{time.Now()} }

func (p *pace) due() bool {
	const every = 5 * time.Second
	if time.Since(p.last) < every {
		return false
	}
	p.last = time.Now()
	return true
}

// copyProgress tells how far a copy is, now and then.
func (s *session) copyProgress() func(move.Progress) {
	p := newPace()
	return func(m move.Progress) {
		if !p.due() {
			return
		}
		doing := "copied"
		if m.Verifying {
			doing = "compared"
		}
		s.say("%s %d of %d %s", doing, m.Done, m.Total, m.What)
	}
}

// copied tells what a move came to and what comes next.
func (s *session) copied(r move.Result, from, to, toFile string) error {
	if s.root.JSON {
		return s.printValue(map[string]any{
			"from": from, "to": to, "moved_before": r.Before, "resumed": r.Resumed, "rows": r.Counts,
			"rows_copied": r.Rows, "seconds": r.Took.Seconds(), "sha256": r.Digest,
		})
	}
	if r.Before {
		s.say("%s was moved to %s before.", from, to)
	} else {
		c := r.Counts
		s.say("Copied %d rows to %s in %s%s.", r.Rows, to, r.Took.Round(10*time.Millisecond), rate(r))
		s.say("Every row was compared: %s. SHA-256 of both: %s", strings.Join([]string{
			fmt.Sprintf("%d connections", c.Connections), fmt.Sprintf("%d grants", c.Grants), fmt.Sprintf("%d orphans", c.Orphans),
			fmt.Sprintf("%d links", c.Links), fmt.Sprintf("%d events", c.Events), fmt.Sprintf("%d API keys", c.Keys)}, ", "), r.Digest)
		s.say("%s is not served any more.", from)
	}
	s.say("Next: evergrant serve --config %s", toFile)
	return nil
}

// rate is how fast a copy was, if it was long enough to tell.
func rate(r move.Result) string {
	if r.Took < time.Second {
		return ""
	}
	return fmt.Sprintf(" (%.0f rows/s)", float64(r.Rows)/r.Took.Seconds())
}
