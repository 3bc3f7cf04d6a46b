// Package postgres keeps everything in a PostgreSQL database, for any number of
// processes.
//
// # Tables
//
// What belongs to a connection is hash-partitioned by the connection's id, and
// every key of these tables begins with it, so that partitions can live on other
// nodes. Unique keys over all connections are therefore tables of their own:
// addresses (app and key) and grant_ids, where a grant's id leads to its
// connection. Nothing but the log is one sequence for all.
//
// # Locks
//
// A change that may alter a connection's status locks the connection's row, then
// the grant's, then the log's. A renewal of a grant that is connected and stays
// so is the only frequent one; it alters no connection and locks grants, in the
// order of their ids, and then the log. So no two changes wait for each other.
//
// # The log
//
// Whoever appends events takes their numbers from the one row of event_log and
// holds it until its commit, so transactions that append commit in the order of
// the numbers they gave. A reader that has seen an id has seen all that will ever
// be below it. The row is taken by the last statement of a transaction, which
// goes to the server together with its COMMIT; nobody waits for a client with
// the log locked. Commits that arrive together share a transaction.
//
// # Owners
//
// Attempts are opened on one session per process. It holds an advisory lock for
// the owner of these attempts, so the lock cannot be lost without the ability to
// open attempts. When the session ends, with its process or with its network,
// nothing can be claimed until another session holds the lock again; meanwhile
// others may find the owner dead. An owner whose lock is free is dead at once if
// it said goodbye, and otherwise after the grace in which it could have come
// back: after a restart of the server every lock is free for a moment. Even then
// its attempts are taken over only after their barrier, and what it commits later
// is compared with the attempt that is open. So a lost lock costs time and never
// correctness, and the engine need not know of it.
//
// A transaction pooler such as PgBouncer must not stand between: locks and
// notifications belong to sessions.
//
// # What other processes change
//
// Appending to the log notifies every process. Each follows the log with a
// cursor, also every second without a notification, and passes on what is new;
// see Options.Published and Options.Changed.
package postgres
