package postgres

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/evergrant/evergrant/internal/grant"
)

// truncate brings a time to what the database keeps.
func truncate(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

// stamp is a time as it is kept: to the microsecond, NULL for the zero time.
func stamp(t time.Time) pgtype.Timestamptz {
	return pgtype.Timestamptz{Time: truncate(t), Valid: !t.IsZero()}
}

// timeColumn scans a kept time.
type timeColumn struct{ t *time.Time }

// ScanTimestamptz implements [pgtype.TimestamptzScanner].
func (c timeColumn) ScanTimestamptz(v pgtype.Timestamptz) error {
	*c.t = time.Time{}
	if v.Valid {
		*c.t = v.Time.UTC()
	}
	return nil
}

// text is a string as PostgreSQL can keep it: what is no valid UTF-8, and the
// NUL it has no place for, become U+FFFD. A provider's odd answer must not keep a
// refresh from being committed.
func text(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// clean makes every text among a statement's arguments one that can be kept or
// looked for.
func clean(args []any) []any {
	for i, arg := range args {
		switch v := arg.(type) {
		case string:
			args[i] = text(v)
		case []string:
			args[i] = texts(v)
		}
	}
	return args
}

// texts is text for a list, which is left as it is.
func texts(list []string) []string {
	kept := make([]string, len(list))
	for i, s := range list {
		kept[i] = text(s)
	}
	return kept
}

// document is a list or a map as JSON text, and nil as NULL.
func document(v any) (*string, error) {
	b, err := json.Marshal(v)
	if err != nil || string(b) == "null" {
		return nil, err
	}
	s := string(b)
	return &s, nil
}

// words is document for what is made of strings, which always has JSON.
func words(v any) *string {
	s, _ := document(v)
	return s
}

// tagsDocument is tags as jsonb can keep them.
func tagsDocument(tags map[string]string) *string {
	if tags == nil {
		return nil
	}
	kept := make(map[string]string, len(tags))
	for k, v := range tags {
		kept[text(k)] = text(v)
	}
	return words(kept)
}

// statusDest is where state, reason, since and next_try_at are scanned to.
func statusDest(s *grant.Status) []any {
	return []any{&s.State, &s.Reason, timeColumn{&s.Since}, timeColumn{&s.NextTryAt}}
}

// sameStatus reports whether two statuses are kept alike.
func sameStatus(a, b grant.Status) bool {
	return a.Same(b) && truncate(a.Since).Equal(truncate(b.Since)) && truncate(a.NextTryAt).Equal(truncate(b.NextTryAt))
}

// nonNil makes nil empty, for columns that have no NULL.
func nonNil[T any](values []T) []T {
	if values == nil {
		return []T{}
	}
	return values
}
