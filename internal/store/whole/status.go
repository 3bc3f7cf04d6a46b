package whole

import "time"

// Status is what an operator wants to know of a database. What could not be
// counted, because the schema is another version's, is nil.
type Status struct {
	Store    string `json:"store"`          // sqlite or postgres
	Database string `json:"database"`       // a path, or a name
	Host     string `json:"host,omitempty"` // of the server, with its port
	Schema   int64  `json:"schema"`         // its version; 0 for an empty database
	Known    int64  `json:"schema_known"`   // the version that this program brings it to

	Counts       *Counts          `json:"rows,omitempty"`
	ByState      map[string]int64 `json:"grants_by_state,omitempty"`
	OpenAttempts *int64           `json:"open_attempts,omitempty"`
	Bytes        int64            `json:"bytes"`
	Move         *Move            `json:"move,omitempty"` // nil if it was never moved, nor moved to

	SQLite   *SQLite   `json:"sqlite,omitempty"`
	Postgres *Postgres `json:"postgres,omitempty"`
}

// SQLite is what only a file has.
type SQLite struct {
	Open bool `json:"open"`          // a process has it open
	PID  int  `json:"pid,omitempty"` // of that process, 0 if it is not known
}

// Postgres is what only a server has.
type Postgres struct {
	Version           string   `json:"version"`
	ReadOnly          bool     `json:"read_only"`
	Standby           bool     `json:"standby"`
	SynchronousCommit string   `json:"synchronous_commit"`
	Fsync             string   `json:"fsync"`
	Owners            []string `json:"owners"` // of attempts, that are alive: one a replica
}

// Move is the move of a store into another, as each of the two knows it. A store
// that is moved from is not served any more once the move has ended, and one that
// is moved to not before.
type Move struct {
	ID      string    `json:"id"`
	Other   string    `json:"other"` // the other database, for people
	From    bool      `json:"from"`  // this is the one that was moved away from
	BegunAt time.Time `json:"begun_at"`
	EndedAt time.Time `json:"ended_at,omitzero"`
}

// Ended reports whether the move is over.
func (m Move) Ended() bool { return !m.EndedAt.IsZero() }

// Copy is an unfinished move, as the store that is moved to keeps it: how far it
// has come.
type Copy struct {
	Move
	State       string // of the other store when it began; see the copying package
	Connections string // the id of the last that is here, "" for none
	Events      int64  // the number of the last that is here, 0 for none
}
