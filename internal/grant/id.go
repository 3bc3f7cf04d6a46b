package grant

import (
	"crypto/rand"
	"time"

	"github.com/oklog/ulid/v2"
)

// Prefixes of the ids we give.
const (
	ConnectionID    = "conn_"
	GrantID         = "grant_"
	LinkID          = "link_"
	EventID         = "evt_"
	KeyID           = "key_"
	AttemptID       = "att_"
	AuthorizationID = "auth_"
	RequestID       = "req_"
)

// NewID returns a fresh id with the given prefix. Ids made at different
// milliseconds sort by time. It is safe for concurrent use.
func NewID(prefix string, now time.Time) string {
	return prefix + ulid.MustNew(ulid.Timestamp(now), rand.Reader).String()
}
