package move

import (
	"cmp"
	"context"

	"github.com/evergrant/evergrant/internal/store/whole"
)

// kind is how one kind of rows is read, in the order of its keys.
type kind[T any, K cmp.Ordered] struct {
	what string
	read func(whole.Reader, context.Context, K, int) ([]T, error)
	key  func(T) K
	name func(T) string
	rows func(T) int64 // in it
}

func businesses() kind[whole.Business, string] {
	return kind[whole.Business, string]{
		what: "connections",
		read: whole.Reader.Businesses,
		key:  func(b whole.Business) string { return b.Connection.ID },
		name: func(b whole.Business) string { return "connection " + b.Connection.ID },
		rows: businessRows,
	}
}

func events() kind[whole.Event, int64] {
	return kind[whole.Event, int64]{
		what: "events",
		read: whole.Reader.Events,
		key:  func(e whole.Event) int64 { return e.Number },
		name: func(e whole.Event) string { return "event " + formatEvent(e.Number) },
		rows: func(whole.Event) int64 { return 1 },
	}
}

func businessRows(b whole.Business) int64 {
	var c whole.Counts
	c.Add(b)
	return c.Rows()
}
