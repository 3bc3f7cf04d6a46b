package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/evergrant/evergrant/internal/store"
)

// errClosed is what every method returns after Close.
var errClosed = fmt.Errorf("%w: it is closed", store.ErrUnavailable)

// SQLSTATEs this package tells apart; see PostgreSQL's documentation, appendix A.
const (
	uniqueViolation      = "23505"
	readOnlyTransaction  = "25006"
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
)

// dbError gives a database's error the identity callers act on. A missing row is
// ErrNotFound; data the database refuses and a broken constraint are our own
// mistakes, which trying again does not cure; everything else is the database's
// or the network's trouble.
func dbError(err error) error {
	if err == nil || errors.Is(err, store.ErrUnavailable) {
		return err
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return store.ErrNotFound
	}
	if code := sqlState(err); code != "" {
		switch code[:2] {
		case "22", "23": // data exception, integrity constraint violation
			return err
		}
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}

// readError tells the caller's own cancellation from the database's trouble.
func readError(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && !errors.Is(err, pgx.ErrNoRows) {
		return ctx.Err()
	}
	return dbError(err)
}

// sqlState is what the server said, "" if the error is not the server's.
func sqlState(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) && len(e.Code) == 5 {
		return e.Code
	}
	return ""
}

// taken reports whether an insert failed because something unique exists.
func taken(err error) bool { return sqlState(err) == uniqueViolation }

// again reports whether a change failed only because of others that ran beside
// it, so that it may be made again at once.
func again(err error) bool {
	switch sqlState(err) {
	case serializationFailure, deadlockDetected:
		return true
	}
	return false
}
