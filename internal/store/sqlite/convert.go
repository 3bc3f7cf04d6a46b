package sqlite

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	driverlib "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/evergrant/evergrant/internal/store"
)

// scanner is a row to read from.
type scanner interface{ Scan(dest ...any) error }

// eachRow calls row for every row and closes them.
func eachRow(rows *sql.Rows, row func(scanner) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// truncate brings a time to what the database keeps.
func truncate(t time.Time) time.Time { return fromMicros(micros(t)) }

// micros is a time as it is kept: microseconds, 0 for the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// orNull is a due time as it is kept: never is NULL, so that the index of due
// grants does not hold it.
func orNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// timeColumn scans a kept time.
type timeColumn struct{ t *time.Time }

func (c timeColumn) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*c.t = time.Time{}
	case int64:
		*c.t = fromMicros(v)
	default:
		return fmt.Errorf("a time is kept as %T", src)
	}
	return nil
}

// jsonColumn keeps a list or a map as JSON text, and nil as NULL.
type jsonColumn struct{ v any }

func (c jsonColumn) Value() (driver.Value, error) {
	b, err := json.Marshal(c.v)
	if err != nil || string(b) == "null" {
		return nil, err
	}
	return string(b), nil
}

func (c jsonColumn) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		return nil
	case string:
		return json.Unmarshal([]byte(v), c.v)
	default:
		return fmt.Errorf("JSON is kept as %T", src)
	}
}

// dbError gives a database's error the identity callers act on. A missing row
// is ErrNotFound; a broken constraint is our own mistake, which trying again
// does not cure; everything else is the database's trouble.
func dbError(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, sql.ErrNoRows) {
		return store.ErrNotFound
	}
	var e *driverlib.Error
	if errors.As(err, &e) {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG:
			return err
		}
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}
