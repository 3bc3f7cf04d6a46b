package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/evergrant/evergrant/internal/store/whole"
	"github.com/evergrant/evergrant/internal/words"
)

type dbStatusCmd struct{}

// Run says what the database is.
func (c *dbStatusCmd) Run(s *session) error {
	storage, err := s.storageOf()
	if err != nil {
		return err
	}
	db, err := openDatabase(s.ctx, storage)
	if err != nil {
		return err
	}
	defer db.Close()
	st, err := db.Status(s.ctx)
	if err != nil {
		return err
	}
	if s.root.JSON {
		return s.printValue(st)
	}
	for _, row := range statusRows(st) {
		if _, err := fmt.Fprintf(s.stdout, "%-11s %s\n", row[0], words.Printable(row[1])); err != nil {
			return err
		}
	}
	return nil
}

// statusRows words a status.
func statusRows(st whole.Status) [][2]string {
	rows := [][2]string{{"database", databaseName(st)}, {"schema", schemaText(st)}, {"size", size(st.Bytes)}}
	if p := st.SQLite; p != nil {
		rows = append(rows, [2]string{"server", holderText(p)})
	}
	if p := st.Postgres; p != nil {
		rows = append(rows, [2]string{"server", "PostgreSQL " + p.Version + ", " + writable(p)},
			[2]string{"commits", "synchronous_commit " + p.SynchronousCommit + ", fsync " + p.Fsync})
		if st.Counts != nil {
			rows = append(rows, [2]string{"replicas", strings.Join(append([]string{fmt.Sprintf("%d alive", len(p.Owners))}, p.Owners...), " ")})
		}
	}
	if m := st.Move; m != nil {
		rows = append(rows, [2]string{"move", moveText(m)})
	}
	if st.Counts == nil {
		return rows
	}
	grants := fmt.Sprint(st.Counts.Grants)
	var states []string
	for _, state := range slices.Sorted(maps.Keys(st.ByState)) {
		states = append(states, fmt.Sprintf("%d %s", st.ByState[state], state))
	}
	if len(states) > 0 {
		grants += ": " + strings.Join(states, ", ")
	}
	return append(rows, [2]string{"connections", fmt.Sprint(st.Counts.Connections)}, [2]string{"grants", grants},
		[2]string{"attempts", fmt.Sprintf("%d open", *st.OpenAttempts)}, [2]string{"orphans", fmt.Sprint(st.Counts.Orphans)},
		[2]string{"links", fmt.Sprint(st.Counts.Links)}, [2]string{"events", fmt.Sprint(st.Counts.Events)},
		[2]string{"api keys", fmt.Sprint(st.Counts.Keys)})
}

// databaseName names a database for people.
func databaseName(st whole.Status) string {
	if st.Host == "" {
		return st.Database
	}
	return st.Database + " on " + st.Host
}

func schemaText(st whole.Status) string {
	switch {
	case st.Schema == st.Known:
		return fmt.Sprintf("version %d, current", st.Schema)
	case st.Schema > st.Known:
		return fmt.Sprintf("version %d, of a later evergrant; this one knows %d", st.Schema, st.Known)
	case st.Schema == 0:
		return "none; a server makes it when it starts, or: evergrant db migrate"
	}
	return fmt.Sprintf("version %d; a server brings it to %d when it starts, or: evergrant db migrate", st.Schema, st.Known)
}

func holderText(p *whole.SQLite) string {
	switch {
	case p.PID != 0:
		return fmt.Sprintf("process %d has it open", p.PID)
	case p.Open:
		return "a process has it open"
	}
	return "none has it open"
}

func writable(p *whole.Postgres) string {
	switch {
	case p.Standby:
		return "a standby: it cannot be written"
	case p.ReadOnly:
		return "sessions are read-only"
	}
	return "can be written"
}

func moveText(m *whole.Move) string {
	switch {
	case m.From && m.Ended():
		return fmt.Sprintf("moved to %s on %s; it is not served any more", m.Other, when(m.EndedAt))
	case m.From:
		return fmt.Sprintf("a copy to %s was begun on %s and is not finished", m.Other, when(m.BegunAt))
	case m.Ended():
		return fmt.Sprintf("moved here from %s on %s", m.Other, when(m.EndedAt))
	}
	return fmt.Sprintf("an unfinished copy of %s, begun on %s; finish it with: evergrant db copy", m.Other, when(m.BegunAt))
}

// size writes a number of bytes for people.
func size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d bytes", n)
	}
	v, names := float64(n)/unit, []string{"KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; v >= unit && i < len(names)-1; i++ {
		v /= unit
	}
	return fmt.Sprintf("%.1f %s", v, names[i])
}
