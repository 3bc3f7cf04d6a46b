package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// configure reads the connection string and fills in what o leaves out.
func configure(o *Options) (*pgxpool.Config, error) {
	if o.Conns <= 0 {
		o.Conns = defaultConns
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	config, err := pgxpool.ParseConfig(o.URL.Reveal())
	if err != nil {
		// The error of the driver may quote what it could not read.
		return nil, errors.New("cannot open database: storage.postgres is not a connection string; " +
			"write it like postgres://user:password@host:5432/evergrant?sslmode=verify-full")
	}
	config.MaxConns = int32(o.Conns)
	config.PingTimeout = o.Timeout
	c := config.ConnConfig
	c.ConnectTimeout = o.Timeout
	for name, value := range map[string]string{
		"application_name": "evergrant",
		"search_path":      schemaName,
		// Most queries touch one partition that is known only when they run. Planning
		// for all of them each time would cost more than running.
		"plan_cache_mode": "force_generic_plan",
		// Compiling a query takes longer than any of these runs.
		"jit":      "off",
		"timezone": "UTC",
		// A session whose client is gone holds its locks until the server notices.
		"idle_in_transaction_session_timeout": milliseconds(o.Timeout),
		"statement_timeout":                   milliseconds(o.Timeout),
		"tcp_keepalives_idle":                 "5",
		"tcp_keepalives_interval":             "2",
		"tcp_keepalives_count":                "3",
		"tcp_user_timeout":                    "11000",
	} {
		c.RuntimeParams[name] = value
	}
	return config, nil
}

// claimConfig is the configuration of the session that claims. The planner does
// not see how few rows are claimed of how many are due, and would read whole
// partitions to join with them.
func claimConfig(c *pgx.ConnConfig) *pgx.ConnConfig {
	c = c.Copy()
	for _, name := range []string{"enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_bitmapscan"} {
		c.RuntimeParams[name] = "off"
	}
	return c
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// refusedError says why a server that answers is not used.
type refusedError struct{ what, next string }

func (e *refusedError) Error() string { return e.what }

// checkSession refuses a server that cannot be written, or whose commits could be
// lost.
func checkSession(ctx context.Context, config *pgx.ConnConfig, allowLoss bool) error {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var standby bool
	var readOnly, synchronous, fsync string
	var version int
	err = conn.QueryRow(ctx, `SELECT pg_is_in_recovery(), current_setting('transaction_read_only'),
		current_setting('synchronous_commit'), current_setting('fsync'), current_setting('server_version_num')::int`).
		Scan(&standby, &readOnly, &synchronous, &fsync, &version)
	if err != nil {
		return err
	}
	switch {
	case version < oldestVersion*10000:
		return &refusedError{fmt.Sprintf("it is PostgreSQL %d", version/10000),
			fmt.Sprintf("use PostgreSQL %d or later", oldestVersion)}
	case standby:
		return &refusedError{"it is a standby and cannot be written",
			"name the primary, or several hosts with target_session_attrs=read-write"}
	case readOnly == "on":
		return &refusedError{"its sessions are read-only", "turn default_transaction_read_only off for this user and database"}
	case allowLoss:
		return nil
	case synchronous == "off":
		return &refusedError{"synchronous_commit is off, so a crash would lose tokens that were handed out",
			"turn it on for this user and database"}
	case fsync == "off":
		return &refusedError{"fsync is off, so a loss of power would lose tokens that were handed out", "turn it on"}
	}
	return nil
}

// oldestVersion of PostgreSQL that has what the migrations and queries use.
const oldestVersion = 14
